"""Errors that name the place, state the rule and the value, and end with the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HwModelError(ValueError):
    """Base of every error a user can cause. The command line exits with 3 on it."""


class LayerError(HwModelError):
    """A layer, its bit-widths or its density breaks a rule."""


class GraphError(HwModelError):
    """A layer graph is inconsistent, or a name matches none of its layers."""


class AcceleratorError(HwModelError):
    """An accelerator description is invalid, or no accelerator has that name."""


class PrecisionError(HwModelError):
    """An accelerator has no arithmetic of a layer's widths, and the caller accepts no other."""


class MappingError(HwModelError):
    """A mapping does not fit its layer or accelerator, or none exists."""


class ConfigError(HwModelError):
    """A configuration or specification file is invalid."""


class TraceError(HwModelError):
    """A model could not be traced."""


def nearest(name: str, options: Iterable[str], num: int = 1) -> list[str]:
    """The `num` options most like `name`, best first; empty when nothing is alike."""
    return difflib.get_close_matches(name, list(options), n=num, cutoff=0.5)


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """`" Did you mean 'bandwidth'?"`, or an empty string when nothing is alike."""
    close = nearest(name, options)
    return f" Did you mean {close[0]!r}?" if close else ""
