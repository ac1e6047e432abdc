"""Public names of a package that load their module on first use, so that importing the package costs nothing."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any


def lazy_exports(
    package: str, homes: Mapping[str, Sequence[str]], *, old: Mapping[str, str] = MappingProxyType({})
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package (PEP 562).

    Args:
        package: its `__name__`.
        homes: module, relative to the package (`price.results`; `.sparse.penalties` of a sibling) -> the names that
            it gives.
        old: name of the release before -> name of today, with its package where that is another; it warns, and is
            no attribute that `dir` shows.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if name in old:
            home, _, new = old[name].rpartition(".")
            warnings.warn(f"{package}.{name} is now {old[name]}", DeprecationWarning, stacklevel=2)
            return getattr(import_module(home or package), new)
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module("." + home_of[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted(home_of)

    return load, names
