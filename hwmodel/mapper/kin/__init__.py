"""Chips that differ in sizes and bandwidths alone, and the mappings that they share."""
