"""Prices: energy, cycles and storage of a layer, by the kind of chip."""
