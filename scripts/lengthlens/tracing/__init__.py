"""Where N is, layer by layer, and what looks at it: the stream traced, attention by role."""
