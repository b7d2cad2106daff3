"""Claims written beforehand, and the verdict on each."""
