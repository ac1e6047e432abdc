"""Call a builder with the options of a user: an unknown one is answered with the nearest that exists."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard, TypeVar

from hwmodel.errors import ConfigError, did_you_mean

T = TypeVar("T")


def call_with_options(what: str, build: Callable[..., T], options: Mapping[str, Any]) -> T:
    """`build(**options)`, refusing options that it does not have.

    Args:
        what: who takes the options, for messages: `"model 'resnet20'"`.
        build: its keyword parameters are the options.
        options: by name.

    Raises:
        ConfigError: an option that `build` does not take (with the nearest one), or one that it needs.
    """
    parameters = inspect.signature(build).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    known = [n for n, p in parameters.items() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    for name in options:
        if name not in known and not takes_any:
            listed = ", ".join(known) or "none"
            raise ConfigError(f"{what} has no option {name!r}.{did_you_mean(name, known)} Its options: {listed}.")
    for name, parameter in parameters.items():
        required = parameter.default is inspect.Parameter.empty and parameter.kind in (
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.KEYWORD_ONLY,
        )
        if required and name not in options:
            raise ConfigError(f"{what} needs the option {name!r}.")
    return build(**options)


def check_count(what: str, name: str, value: Any, least: int = 1) -> int:
    """An option that counts something.

    Raises:
        ConfigError: not an integer, or below `least`.
    """
    if not is_integer(value, least):
        raise ConfigError(f"{what}: `{name} >= {least}` must hold (an integer), but got {name}={value!r}")
    return value


def is_integer(value: object, least: int, most: int | None = None) -> TypeGuard[int]:
    """An integer (no bool) in `least` .. `most`, both ends in."""
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return value >= least and (most is None or value <= most)
