"""Numbers that are known before the network runs: shapes, and what is computed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workloads.onnx_import.values import MAX_CONSTANT, Node, meta_tensor, numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


class NotFoldedError(Exception):
    """The inputs of a node are known, but its outputs cannot be computed; the message says why."""


def fold(node: Node) -> Numbers | None:
    """The outputs of a node whose inputs are all known; None where one is not, or they are too many.

    Raises:
        NotFoldedError: the op cannot be run.
    """
    values = [(name, value) for name, value in zip(node.proto.input, node.inputs, strict=True) if value is not None]
    if node.domain or node.op in _NOT_FOLDED or not values or any(value.constant is None for _, value in values):
        return None
    arrays = [np.asarray(array) for array in _evaluated(node, {name: value.constant for name, value in values})]
    return arrays if sum(array.size for array in arrays) <= 2 * MAX_CONSTANT else None


def _evaluated(node: Node, feeds: dict[str, Any]) -> list[Any]:
    """What the reference implementation of the op set of the node gives.

    It takes the op set from a model: of a bare node it runs the newest form, whose axes are inputs.
    """
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    reads, writes = (
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in names if name]
        for names in (feeds, node.proto.output)
    )
    graph = helper.make_graph([node.proto], "node", reads, writes)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)])
    try:
        return list(ReferenceEvaluator(model).run(None, feeds))
    except Exception as error:  # an op that the reference implementation does not have, or refuses
        raise NotFoldedError(
            f"{node.op} of op set {node.opset} cannot be computed: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__).rstrip(".")


def stand_ins(arrays: Numbers) -> list[torch.Tensor]:
    """Meta tensors of the same shapes."""
    return [meta_tensor(array.shape, _dtype_of(array)) for array in arrays]


def _dtype_of(array: NDArray[Any]) -> torch.dtype:
    if array.dtype.kind == "b":
        return torch.bool
    return torch.int64 if array.dtype.kind in "iu" else torch.float32
