"""Models as files: where they are, whether they are whole, and what they are. Nothing is loaded."""
