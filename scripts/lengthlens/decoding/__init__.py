"""The decode loop: a batch of prompts, components read or replaced on the way. Knows no metric."""
