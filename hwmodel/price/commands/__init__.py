"""Cycles of a layer on a chip with `timing: {kind: commands}`."""
