"""Values that a notebook shows: they know of no HTML, the public face says who writes it.

A graph and a cost stand below the room that draws them (`hwmodel.show`), so they carry the hook that a notebook
calls and nothing else. `hwmodel/__init__` fills it with names, as it does for all that is lazy: the writer is
loaded when it is first called.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

_WRITERS: dict[str, tuple[str, str]] = {}


def shown_by(writers: Mapping[str, tuple[str, str]]) -> None:
    """Name who writes the HTML of a class.

    Args:
        writers: name of a subclass of `Shown` -> (module, function from a value of it to HTML).
    """
    _WRITERS.update(writers)


class Shown:
    """A value that a notebook shows as HTML, by the writer of its class or of the nearest class above it."""

    def _repr_html_(self) -> str:
        module, function = next(_WRITERS[kind.__name__] for kind in type(self).__mro__ if kind.__name__ in _WRITERS)
        html: str = getattr(import_module(module), function)(self)
        return html
