"""The fastest tiling on chips with `timing: {kind: commands}`."""
