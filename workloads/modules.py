"""Names of what modules hold."""

from __future__ import annotations


def join_names(module: str, name: str) -> str:
    """`block.0` and `weight` -> `block.0.weight`; the model itself has the name ""."""
    return f"{module}.{name}" if module else name
