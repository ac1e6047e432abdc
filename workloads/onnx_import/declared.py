"""Shapes of tensors that no function of ours gives: from the user, from the file, from onnx.shape_inference."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from hwmodel.errors import TraceError
from workloads.onnx_import.inputs import Bound, declared_bounds
from workloads.onnx_import.values import torch_type, type_bits

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

Shape = tuple[int, ...]


class DeclaredShapes:
    """Shapes by tensor name.

    Args:
        model: the network.
        inputs: shapes of its inputs.
        given: shapes of other tensors, from the user.
        symbols: bounds of symbolic dims.
    """

    def __init__(
        self,
        model: ModelProto,
        *,
        inputs: Mapping[str, Shape],
        given: Mapping[str, Shape],
        symbols: Mapping[str, int],
    ) -> None:
        self.given = given
        self._model = model
        self._inputs = inputs
        self._symbols = symbols

    def of(self, name: str) -> tuple[Shape, torch.dtype]:
        """The shape of a tensor, and a dtype.

        Raises:
            TraceError: it is not known.
        """
        if name in self.given:
            return self.given[name], torch.float32
        found = self._known(self._written.get(name)) or self._known(self._inferred.get(name))
        if found is not None:
            return found
        raise TraceError(
            f"no rule, and the shape of its output {name!r} is not in the file. "
            f"Give it: shapes={{{name!r}: (1, ...)}}, or --input '{name}=1,...'."
        )

    def width(self, name: str) -> int | None:
        """Width of the element type of a tensor, where that is a type of quantized numbers [bit]; None otherwise.

        What the file leaves open follows from the types of the inputs, as ONNX defines its ops.
        """
        values = self._written
        if name not in values or not values[name].type.tensor_type.elem_type:
            try:
                values = self._inferred
            except TraceError:  # shapes that onnx does not infer are asked for elsewhere
                return None
        return type_bits(values[name].type.tensor_type.elem_type) if name in values else None

    def _known(self, value: ValueInfoProto | None) -> tuple[Shape, torch.dtype] | None:
        """Shape and dtype of a declaration; None where a dim of it is open."""
        bounds = None if value is None else declared_bounds(value.type)
        if value is None or bounds is None:
            return None
        resolved: list[Bound] = [self._symbols.get(b) if isinstance(b, str) else b for b in bounds]
        numbers = tuple(bound for bound in resolved if isinstance(bound, int))
        dtype = torch_type(value.type.tensor_type.elem_type)
        return (numbers, dtype) if len(numbers) == len(resolved) else None

    @cached_property
    def _written(self) -> dict[str, ValueInfoProto]:
        graph = self._model.graph
        return {value.name: value for value in (*graph.value_info, *graph.output)}

    @cached_property
    def _inferred(self) -> dict[str, ValueInfoProto]:
        """What onnx.shape_inference finds once the inputs have their shapes."""
        import onnx.shape_inference

        model = type(self._model)()
        model.CopyFrom(self._model)
        for value in model.graph.input:
            if value.name in self._inputs:
                del value.type.tensor_type.shape.dim[:]
                for bound in self._inputs[value.name]:
                    value.type.tensor_type.shape.dim.add().dim_value = bound
        del model.graph.value_info[:]
        try:
            inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        except (RuntimeError, ValueError, onnx.shape_inference.InferenceError) as error:
            raise TraceError(f"onnx.shape_inference fails: {str(error).partition(chr(10))[0]}") from error
        return {value.name: value for value in (*inferred.graph.value_info, *inferred.graph.output)}
