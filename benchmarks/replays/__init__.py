"""Replays of reference files, one module per kind: `replay(data) -> list[Case]`."""
