"""Errors that name the place, state the rule and the value, and end with the fix."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable


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


def check_one_of(what: str, value: object, options: Iterable[str], error: type[HwModelError] = ConfigError) -> None:
    """A word is one of the words that are known.

    Args:
        what: the word is, for the message: `rounding`, or `data 'mine': normalize`.
        value: the word.
        options: the known ones, in the order of the message.
        error: what is raised.

    Raises:
        HwModelError: (`error`) it is none of them; the nearest is offered.
    """
    words = list(options)
    if value not in words:
        hint = did_you_mean(str(value), words)
        raise error(f"{what} must be one of {', '.join(words)}, but got {value!r}.{hint}")


def check_names(
    names: Iterable[str],
    known: Iterable[str],
    what: str = "layers",
    *,
    place: str = "",
    error: type[HwModelError] = ConfigError,
) -> None:
    """Every name is one of those that are known; patterns are `hwmodel.network.patterns`'.

    Args:
        names: to look up.
        known: names of `what`; their number is in the message.
        place: where the name stands, such as `frozen`.
        error: what is raised.

    Raises:
        HwModelError: (`error`) a name is none of them; the nearest is offered.
    """
    there = list(dict.fromkeys(known))
    met = set(there)
    for name in names:
        if name not in met:
            raise error(matched_none(name, there, what, place))


def check_keys(keys: Iterable[str], known: Iterable[str], what: str = "key") -> None:
    """Every key of a mapping is one of those that are known.

    Raises:
        ConfigError: one is not; the nearest is offered.
    """
    there = list(known)
    for key in keys:
        if key not in there:
            raise ConfigError(f"unknown {what} {key!r}.{did_you_mean(str(key), there)}")


def matched_none(name: str, known: Collection[str], what: str = "layers", place: str = "") -> str:
    """`frozen: 'conv_1' matched 0 of 6 layers. Did you mean 'conv1'?`"""
    start = f"{place}: " if place else ""
    return f"{start}{name!r} matched 0 of {len(known)} {what}.{did_you_mean(name.strip('*?.'), known)}"
