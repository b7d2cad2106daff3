"""The count in the stream: words left as a direction that can be read, and written to."""
