"""Spellings of the release before: names, orders of arguments and attributes that still work, and warn."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from os import PathLike
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


def warn_old(old: str, new: str, stacklevel: int = 3) -> None:
    """Say that a spelling goes with the next release.

    Args:
        old, new: as the user writes them.
        stacklevel: of the caller's caller, as of `warnings.warn`.
    """
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=stacklevel)


def old_keywords(**new_of: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function that still takes keywords under their old names: `old_keywords(observer="progress")`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> R:
            for old in new_of.keys() & kwargs.keys():
                warn_old(f"{function.__name__}({old}=...)", f"{function.__name__}({new_of[old]}=...)")
                kwargs[new_of[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return cast("Callable[P, R]", call)

    return decorate


def path_was_not_first(*old_order: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function whose first argument is a path, and that still takes the order in which it was not.

    Args:
        old_order: of the positional arguments, by their names of today.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> R:
            if args and not isinstance(args[0], (str, PathLike)):
                name = function.__name__
                warn_old(f"{name}({', '.join(old_order)})", f"{name}(path, ...)")
                kwargs |= dict(zip(old_order, args, strict=False))
                args = ()
            return function(*args, **kwargs)

        return cast("Callable[P, R]", call)

    return decorate


def example_was_spread(place: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function that takes several example inputs as one tuple, and still takes them one by one.

    Args:
        place: of the example among the positional arguments, from 0.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> R:
            if len(args) > place + 1:
                name = function.__name__
                warn_old(f"{name}(..., x, y)", f"{name}(..., (x, y))")
                args = (*args[:place], args[place:])
            return function(*args, **kwargs)

        return cast("Callable[P, R]", call)

    return decorate


def old_attribute(old: str, new: str) -> Any:
    """A property that reads another one: `num_bytes = old_attribute("num_bytes", "size_bytes")`."""

    def read(self: object) -> Any:
        warn_old(f"{type(self).__name__}.{old}", new)
        return getattr(self, new)

    return property(read, doc=f"The old name of `{new}`.")
