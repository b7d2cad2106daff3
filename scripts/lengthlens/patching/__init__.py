"""What carries N: components exchanged between runs that differ in nothing but the number."""
