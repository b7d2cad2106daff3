"""What tuning changed: parts of one model's weights in the other, and outputs across both."""
