"""Names and shell patterns against the names of layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from hwmodel.errors import ConfigError, matched_none


def matching(
    patterns: str | Iterable[str], names: Sequence[str], what: str = "layers", *, place: str = ""
) -> list[str]:
    """The names that one of the patterns meets, in the order of `names`.

    Args:
        patterns: exact names, or shell patterns such as `layer1.*`; an exact name goes first, so a
            layer called `blocks[0]` can be named.
        names: to choose from.
        what: they are, for messages.
        place: where the patterns stand, for messages.

    Raises:
        ConfigError: a pattern meets nothing; the nearest name is offered.
    """
    chosen: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        met = {pattern} & set(names) or {name for name in names if fnmatchcase(name, pattern)}
        if not met:
            raise ConfigError(matched_none(pattern, names, what, place))
        chosen |= met
    return [name for name in names if name in chosen]
