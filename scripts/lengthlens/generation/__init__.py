"""Answers with everything recorded on the way, and given texts under the same recording."""
