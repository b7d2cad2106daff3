"""Given answers under one model: the other variant's text, another N, single components removed."""
