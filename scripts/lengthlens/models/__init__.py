"""Loaded models: where their components are, and what their vocabulary means."""
