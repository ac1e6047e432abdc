"""Example inputs: one input of a forward, or several as a tuple."""

from __future__ import annotations

from typing import Any


def arguments(example: Any) -> tuple[Any, ...]:
    """The positional arguments that an example stands for: those of a tuple or list, or itself."""
    return tuple(example) if isinstance(example, (tuple, list)) else (example,)
