"""What each component adds to each logit, and its sums over answers."""
