"""Circuits: sets of components, and how much of the effect of N each carries by itself."""
