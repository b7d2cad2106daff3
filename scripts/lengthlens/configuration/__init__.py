"""The configuration of a study: read, checked as a whole, and described."""
