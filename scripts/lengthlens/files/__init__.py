"""Files of every kind: written whole, checked on opening, and traced to what made them."""
