"""Given answers under one model: the other model's text, another N, single components removed."""
