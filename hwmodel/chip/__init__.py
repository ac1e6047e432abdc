"""Accelerators: what a chip is made of, and the files that say so."""
