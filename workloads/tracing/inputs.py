"""The tensors in the arguments of a forward: found with their names, and put back in copies of what held them.

Containers, mappings, named tuples, dataclasses and any other object that holds tensors in its
attributes (a batch, a key-value cache) are followed; the caller's own objects are never written to.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

#: Reads a tensor at a path of attribute names, keys and indices, and says what to put there.
Visit = Callable[[tuple[str, ...], torch.Tensor], torch.Tensor]

_PLAIN = (str, bytes, int, float, complex, bool, type(None), type, nn.Module, torch.dtype, torch.device)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Arguments of a forward and the tensors in them.

    Attributes:
        args, kwargs: of the forward, keywords in the order of its signature.
        names: one per tensor, `"x"` or `"batch.x"`; a tensor that is given twice has one, of its first place.
        tensors: in the same order.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    names: tuple[str, ...]
    tensors: tuple[torch.Tensor, ...]

    def rebuild(self, tensors: Sequence[torch.Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """(args, kwargs) with other tensors in place of these, in copies of what holds them."""
        replaced = {id(old): new for old, new in zip(self.tensors, tensors, strict=True)}
        args, kwargs = map_tensors((self.args, self.kwargs), lambda _, tensor: replaced[id(tensor)])
        return args, kwargs


def find_inputs(args: tuple[Any, ...], kwargs: dict[str, Any], positional: Sequence[str]) -> Inputs:
    """The tensors of the arguments; `positional` names the `args`."""
    found: dict[int, tuple[str, torch.Tensor]] = {}

    def visit(path: tuple[str, ...], tensor: torch.Tensor) -> torch.Tensor:
        found.setdefault(id(tensor), (".".join(path), tensor))
        return tensor

    for name, value in [*zip(positional, args, strict=True), *kwargs.items()]:
        map_tensors(value, visit, (name,))
    names, tensors = zip(*found.values(), strict=True) if found else ((), ())
    return Inputs(args=args, kwargs=kwargs, names=tuple(names), tensors=tuple(tensors))


def find_tensors(value: Any) -> list[torch.Tensor]:
    """The tensors in a value."""
    found: list[torch.Tensor] = []

    def visit(_: tuple[str, ...], tensor: torch.Tensor) -> torch.Tensor:
        found.append(tensor)
        return tensor

    map_tensors(value, visit)
    return found


def map_tensors(value: Any, visit: Visit, path: tuple[str, ...] = ()) -> Any:
    """The value with `visit(path, tensor)` in place of every tensor; what holds none comes back as it is."""
    return _map(value, visit, path, {})


def _map(value: Any, visit: Visit, path: tuple[str, ...], done: dict[int, Any]) -> Any:
    if isinstance(value, torch.Tensor):
        return visit(path, value)
    if isinstance(value, _PLAIN):
        return value
    if id(value) in done:
        return done[id(value)]
    done[id(value)] = value  # an object that holds itself keeps the original there
    done[id(value)] = _copy_of(value, visit, path, done)
    return done[id(value)]


def _copy_of(value: Any, visit: Visit, path: tuple[str, ...], done: dict[int, Any]) -> Any:
    """The value, or a copy where a tensor in it was replaced."""
    items = _items(value)
    mapped = {key: _map(item, visit, (*path, str(key)), done) for key, item in items.items()}
    if all(mapped[key] is item for key, item in items.items()):
        return value
    if isinstance(value, tuple):
        made = mapped.values()
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    clone = copy.copy(value)
    if isinstance(clone, (list, MutableMapping)):
        for key, item in mapped.items():
            clone[key] = item
    else:
        for key, item in mapped.items():
            object.__setattr__(clone, key, item)  # a frozen dataclass too
    return clone


def _items(value: Any) -> dict[Any, Any]:
    """What an object holds, by key, index or attribute."""
    if isinstance(value, Mapping):
        return dict(value.items())
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    slots = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    slotted = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    return slotted | dict(getattr(value, "__dict__", {}))
