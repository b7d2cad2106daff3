"""Which components are removed, and what the model does without them."""
