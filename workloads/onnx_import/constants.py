"""Numbers that are known before the network runs: shapes, and what is computed from them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workloads.onnx_import.values import MAX_CONSTANT, Node, meta_tensor, numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

_log = logging.getLogger(__name__)

Numbers = list["NDArray[Any]"]
#: Their result is not decided by their inputs, or they run a graph.
_NOT_FOLDED = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli",
     "If", "Loop", "Scan", "SequenceMap"}
)  # fmt: skip


def numbers_of(node: Node) -> Numbers | None:
    """What Constant, Shape and Size give; None for other ops."""
    if node.op == "Constant":
        return [_constant(node)]
    if node.op == "Size":
        return [np.array(node.tensor(0).numel(), dtype=np.int64)]
    if node.op == "Shape":
        shape = tuple(node.tensor(0).shape)
        return [np.array(shape[node.attribute("start", 0) : node.attribute("end")], dtype=np.int64)]
    return None


def _constant(node: Node) -> NDArray[Any]:
    tensor = node.attribute("value")
    if tensor is not None:
        array = numbers(tensor)
        return np.zeros(tuple(tensor.dims), dtype=np.float32) if array is None else array
    for name, dtype in (("value_int", np.int64), ("value_ints", np.int64), ("value_float", np.float32),
                        ("value_floats", np.float32)):  # fmt: skip
        if name in node.attributes:
            return np.array(node.attributes[name], dtype=dtype)
    return np.zeros((), dtype=np.float32)  # a string


def fold(node: Node) -> Numbers | None:
    """The outputs of a node whose inputs are all known; None where one is not, or the op cannot be run."""
    values = [(name, value) for name, value in zip(node.proto.input, node.inputs, strict=True) if value is not None]
    if node.domain or node.op in _NOT_FOLDED or not values or any(value.constant is None for _, value in values):
        return None
    from onnx.reference import ReferenceEvaluator

    try:
        evaluator = ReferenceEvaluator(node.proto, opsets={"": node.opset})
        found = evaluator.run(None, {name: value.constant for name, value in values})
    except Exception as error:  # an op that the reference implementation does not have, or refuses
        _log.debug("%s is not folded: %s", node.proto.name, error)
        return None
    arrays = [np.asarray(array) for array in found]
    return arrays if sum(array.size for array in arrays) <= 2 * MAX_CONSTANT else None


def stand_ins(arrays: Numbers) -> list[torch.Tensor]:
    """Meta tensors of the same shapes."""
    return [meta_tensor(array.shape, _dtype_of(array)) for array in arrays]


def _dtype_of(array: NDArray[Any]) -> torch.dtype:
    if array.dtype.kind == "b":
        return torch.bool
    return torch.int64 if array.dtype.kind in "iu" else torch.float32
