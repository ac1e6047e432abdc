"""A first chip file from a few answers: `hwmodel hw new`."""
