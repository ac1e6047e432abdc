"""The tensors in the arguments and results of ops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch


def tensors_in(tree: Any) -> list[torch.Tensor]:
    """The tensors in the arguments or the result of an op: these nest in tuples, lists and dicts alone."""
    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, (tuple, list)):
        return [tensor for item in tree for tensor in tensors_in(item)]
    return tensors_in(list(tree.values())) if isinstance(tree, dict) else []


def distinct_elements(tensor: torch.Tensor) -> int:
    """Elements that lie apart: along an expanded dim all are one."""
    return math.prod(
        size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or size == 0
    )


def storage_of(tensor: torch.Tensor) -> int:
    """What tells one storage from another, as long as both are there."""
    return int(tensor.untyped_storage()._cdata)


def written_by(func: Any, arguments: Mapping[str, Any]) -> list[torch.Tensor]:
    """The argument tensors that an in-place op writes to."""
    if not func._schema.is_mutable:
        return []
    names = [a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    return tensors_in([arguments[name] for name in names])
