"""Names and shell patterns of modules, and which choice holds for each. Plain values: no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from hwmodel.errors import ConfigError, matched_none

V = TypeVar("V")


def is_pattern(name: str) -> bool:
    """The name holds `*`, `?` or `[`."""
    return any(sign in name for sign in "*?[")


def expand(choices: Mapping[str, V], names: Sequence[str], exact: Collection[str] = ()) -> dict[str, V]:
    """Exact names for patterns. A name that is given exactly goes before every pattern.

    Args:
        choices: by name or shell pattern such as `layer1.*`.
        names: what patterns may meet.
        exact: further names that may be given exactly, so that `blocks[0]` can be called by its name.

    Raises:
        ConfigError: a pattern meets nothing (the nearest name is offered), or two that differ meet one name:
            the order of a configuration means nothing.
    """
    given = {name: value for name, value in choices.items() if name in exact or not is_pattern(name)}
    found: dict[str, V] = {}
    source: dict[str, str] = {}
    for pattern, value in choices.items():
        if pattern in given:
            continue
        met = [name for name in names if fnmatchcase(name, pattern)]
        if not met:
            raise ConfigError(matched_none(pattern, names))
        for name in met:
            if name in given:
                continue
            if name in found and found[name] != value:
                raise ConfigError(
                    f"{name!r} is met by {source[name]!r} and {pattern!r}, which differ. Give it by its own name."
                )
            found[name], source[name] = value, pattern
    return {**found, **given}
