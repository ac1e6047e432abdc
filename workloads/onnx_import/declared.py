"""Shapes of tensors that no function of ours gives: from the user, from the file, from onnx.shape_inference."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from hwmodel.errors import TraceError
from workloads.onnx_import.inputs import Bound, declared_bounds
from workloads.onnx_import.values import torch_type

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
        for values in (self._written, self._inferred):
            if name in values and (shape := self._shape(values[name])) is not None:
                return shape, torch_type(values[name].type.tensor_type.elem_type)
        raise TraceError(
            f"no rule, and the shape of its output {name!r} is not in the file. "
            f"Give it: shapes={{{name!r}: (1, ...)}}, or --input '{name}=1,...'."
        )

    def _shape(self, value: ValueInfoProto) -> Shape | None:
        bounds = declared_bounds(value.type)
        if bounds is None:
            return None
        resolved: list[Bound] = [self._symbols.get(b) if isinstance(b, str) else b for b in bounds]
        numbers = tuple(bound for bound in resolved if isinstance(bound, int))
        return numbers if len(numbers) == len(resolved) else None

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
        except (RuntimeError, ValueError) as error:
            raise TraceError(f"onnx.shape_inference fails: {str(error).partition(chr(10))[0]}") from error
        return {value.name: value for value in (*inferred.graph.value_info, *inferred.graph.output)}
