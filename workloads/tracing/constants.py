"""Tensors that are known to depend on no input, as far as a plain call shows it.

A tensor is a constant when it is a weight, or when a torch function made it of constants alone. What cannot be
seen (numpy, another thread, a gradient) gives no constants: its work is then counted, not folded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils.weak import WeakTensorKeyDictionary

from workloads.tracing.tensors import storage_of

#: Methods by which numbers leave for Python.
_LEAVES = frozenset(
    {"numpy", "__array__", "tolist", "__dlpack__", "item", "__bool__", "__int__", "__float__", "__index__"}
)
#: Functions that make tensors of numbers from outside, or draw them.
_NOT_FIXED = (
    "from_numpy", "from_dlpack", "frombuffer", "rand", "normal", "bernoulli", "multinomial", "poisson", "binomial",
    "uniform_", "exponential_", "log_normal_", "cauchy_", "geometric_",
)  # fmt: skip
#: Their results depend on the shapes of their inputs alone.
_OF_A_SHAPE = frozenset(
    {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty", "size"}
)
#: `add_`, `__iadd__`, `__setitem__`
_WRITES = re.compile(r".*[^_]_|__i(add|sub|mul|div|truediv|floordiv|mod|pow|and|or|xor|matmul)__|__setitem__")


class Constants(TorchFunctionMode):
    """Follows constants through the torch functions that are called under it.

    Args:
        weights: parameters and buffers.
    """

    def __init__(self, weights: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self._known: MutableMapping[torch.Tensor, bool] = WeakTensorKeyDictionary()
        self._written: set[int] = set()
        self._data_left = False
        for tensor in weights:
            self._known[tensor] = True

    def __contains__(self, tensor: object) -> bool:
        return (
            isinstance(tensor, torch.Tensor) and tensor in self._known and storage_of(tensor) not in self._written
        )

    def add(self, tensor: torch.Tensor) -> None:
        """The tensor depends on no input."""
        self._known[tensor] = True

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        given = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        fixed = name in _OF_A_SHAPE or all(tensor in self for tensor in given)
        fixed = fixed and not name.startswith(_NOT_FIXED)
        if name in _LEAVES and not fixed:
            self._data_left = True
        if not given and self._data_left:  # a tensor of numbers that may have come from the data
            fixed = False
        made = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, torch.Tensor)]
        if fixed:
            self._written -= {storage_of(tensor) for tensor in made} - {storage_of(tensor) for tensor in given}
            for tensor in made:
                self._known[tensor] = True
        elif given and (_WRITES.fullmatch(name) or "out" in (kwargs or {})):
            self._written |= {storage_of(tensor) for tensor in (given[0], *made)}
        return output
