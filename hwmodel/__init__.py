"""Layers, accelerators, mappings and what they cost: pure arithmetic, no torch."""
