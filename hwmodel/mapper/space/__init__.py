"""What a layer may be mapped to: levels, unrollings and tiles."""
