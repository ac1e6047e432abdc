"""What flows through an ONNX network while it is run on shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from hwmodel.errors import TraceError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import NodeProto, TensorProto

#: Values of more elements than this are weights: only their shapes are looked at.
MAX_CONSTANT = 4096

#: TensorProto.DataType -> (torch dtype to compute shapes with, width [bit] where it is narrower than 32).
#: Integer types that torch does not compute with stand as the next one; a float type of 8 bits or less
#: stands as float32. Source: onnx/onnx.proto, TensorProto.DataType.
_TYPES: dict[int, tuple[torch.dtype, int | None]] = {
    1: (torch.float32, None), 2: (torch.uint8, 8), 3: (torch.int8, 8), 4: (torch.int32, 16), 5: (torch.int16, 16),
    6: (torch.int32, None), 7: (torch.int64, None), 9: (torch.bool, None), 10: (torch.float16, None),
    11: (torch.float64, None), 12: (torch.int64, None), 13: (torch.int64, None), 14: (torch.complex64, None),
    15: (torch.complex128, None), 16: (torch.bfloat16, None), 17: (torch.float32, 8), 18: (torch.float32, 8),
    19: (torch.float32, 8), 20: (torch.float32, 8), 21: (torch.uint8, 4), 22: (torch.int8, 4),
    23: (torch.float32, 4), 24: (torch.float32, 8), 25: (torch.uint8, 2), 26: (torch.int8, 2),
    27: (torch.float32, 6), 28: (torch.float32, 6),
}  # fmt: skip


def torch_type(data_type: int) -> torch.dtype:
    """The dtype that stands for an ONNX element type."""
    return _TYPES.get(data_type, (torch.float32, None))[0]


def type_bits(data_type: int) -> int | None:
    """Width of an element type that holds quantized numbers [bit]; None for the others."""
    return _TYPES.get(data_type, (torch.float32, None))[1]


def meta_tensor(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """A tensor with a shape and no numbers."""
    return torch.empty(tuple(shape), dtype=dtype, device="meta")


#: (scale, zero point), both of a shape that broadcasts against what they round.
Quantizer = tuple["NDArray[Any]", "NDArray[Any]"]


@dataclass(frozen=True, kw_only=True)
class OnnxValue:
    """One value of the network.

    Attributes:
        tensor: on the meta device: its shape and dtype.
        constant: its numbers where they are few and do not depend on the inputs (shapes, axes, scales).
        bits: width of the grid that its numbers lie on [bit]; None where it is not quantized.
        is_weight: it does not depend on the inputs of the network.
        weight, weight_shape: name and shape of the largest initializer that it was computed from.
        quantizer: (scale, zero point) that round the initializer, where they are known.
        unfolded: why its numbers are not known although those that it is computed from are; "" otherwise.
    """

    tensor: torch.Tensor
    constant: NDArray[Any] | None = None
    bits: int | None = None
    is_weight: bool = False
    weight: str = ""
    weight_shape: tuple[int, ...] = ()
    quantizer: Quantizer | None = None
    unfolded: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    def is_whole(self, elements: int) -> bool:
        """So many elements are the whole initializer."""
        return bool(self.weight) and math.prod(self.weight_shape) == elements


class StandIns(Protocol):
    """Tensors that a function needs beside its inputs, known to the recorder."""

    def reshaped(self, tensor: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """What `tensor` holds in another shape, at no cost."""

    def padded(self, tensor: torch.Tensor, before: Sequence[int], after: Sequence[int]) -> torch.Tensor:
        """What `tensor` holds with zeros around its last dims, at no cost."""

    def part_of(self, weight: torch.Tensor, name: str, shape: Sequence[int]) -> torch.Tensor:
        """A part of a weight, as the parameter `name` of its module."""

    def repetition(self, op: str) -> int:
        """How often an op ran in this module before: the number of a stacked recurrent layer."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node of the network with its inputs, as the function of its op sees it.

    Attributes:
        proto: the node.
        inputs: None where an optional one is left out.
        domain: of the op; "" for that of ONNX.
        attributes: by name.
        opset: version of the op's domain.
        stand_ins: makes tensors.
    """

    proto: NodeProto
    domain: str
    inputs: tuple[OnnxValue | None, ...]
    attributes: dict[str, Any]
    opset: int
    stand_ins: StandIns

    @property
    def op(self) -> str:
        return str(self.proto.op_type)

    def value(self, index: int) -> OnnxValue | None:
        """An input; None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def tensor(self, index: int) -> torch.Tensor:
        """An input that must be there."""
        value = self.value(index)
        if value is None:
            raise TraceError(f"input {index} of {self.op} is missing")
        return value.tensor

    def optional(self, index: int) -> torch.Tensor | None:
        value = self.value(index)
        return None if value is None else value.tensor

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The inputs that are there."""
        return [value.tensor for value in self.inputs if value is not None]

    def attribute(self, name: str, default: Any = None) -> Any:
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def ints(self, index: int, name: str = "") -> list[int] | None:
        """Integers from an input, or (in older op sets) from an attribute; None where neither is there.

        Raises:
            TraceError: the numbers of the input are not known before the network runs.
        """
        value = self.value(index)
        if value is None:
            found = self.attribute(name) if name else None
            return None if found is None else [int(item) for item in np.atleast_1d(found)]
        if value.constant is None:
            reason = value.unfolded or "they depend on the input of the network, or were removed from the file"
            raise TraceError(
                f"the numbers of {self.proto.input[index]!r} decide the shape of {self.op}, and are not known: "
                f"{reason}. Give the shape of its output: shapes={{{self.proto.output[0]!r}: (...)}}"
            )
        return [int(item) for item in np.atleast_1d(value.constant)]


Function = Callable[[Node], torch.Tensor | tuple[torch.Tensor | None, ...]]


def initializer_value(tensor: TensorProto) -> OnnxValue:
    """The value of an initializer or constant."""
    shape = [int(bound) for bound in tensor.dims]
    meta = meta_tensor(shape, torch_type(tensor.data_type))
    constant = numbers(tensor) if meta.numel() <= MAX_CONSTANT else None
    return OnnxValue(tensor=meta, constant=constant, bits=type_bits(tensor.data_type), is_weight=True)


def numbers(tensor: TensorProto, folder: str = "") -> NDArray[Any] | None:
    """The numbers of a tensor; None where the file does not hold them (removed, or in an absent file)."""
    from onnx import numpy_helper
    from onnx.checker import ValidationError

    if tensor.data_location == tensor.EXTERNAL and not folder:
        return None
    try:
        return np.asarray(numpy_helper.to_array(tensor, folder))
    except (ValueError, TypeError, OSError, ValidationError):  # fewer bytes than the shape needs, or a link
        return None
