"""Chips explored: what networks cost on every design of a chip file, or on many of a space too large for that."""
