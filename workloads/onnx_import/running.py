"""Runs an ONNX graph on shapes, node by node, under the recorder of the tracer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from hwmodel.errors import TraceError
from workloads.onnx_import import bits, products
from workloads.onnx_import.constants import NotFoldedError, Numbers, fold, numbers_of, stand_ins
from workloads.onnx_import.declared import DeclaredShapes
from workloads.onnx_import.functions import function_of
from workloads.onnx_import.naming import OnnxNames, split_parameter
from workloads.onnx_import.recording import OnnxRecorder
from workloads.onnx_import.values import (
    MAX_CONSTANT,
    Function,
    Node,
    OnnxValue,
    initializer_value,
    meta_tensor,
    torch_type,
    type_bits,
)

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto


@dataclass(frozen=True, kw_only=True)
class Operands:
    """What a layer multiplies, and the width that its node rounds the output to [bit] (None: it does not)."""

    stream: OnnxValue | None
    weight: OnnxValue | None
    written: int | None


class Run:
    """One run of a network.

    Args:
        model: with its functions inlined.
        names: of its modules.
        recorder: receives the ops.
        declared: shapes of tensors that no function gives.

    Attributes:
        operands: layer name -> its operands.
        rounded: node of the layer graph -> width that a quantizer behind it rounds to [bit].
    """

    def __init__(
        self, model: ModelProto, names: OnnxNames, recorder: OnnxRecorder, declared: DeclaredShapes
    ) -> None:
        self.operands: dict[str, Operands] = {}
        self.rounded: dict[str, int] = {}
        self._values: dict[str, OnnxValue] = {}
        self._names = names
        self._recorder = recorder
        self._declared = declared
        self._opsets = {opset.domain: opset.version for opset in model.opset_import}
        self._annotated = bits.annotated_bits(model.graph)
        self._readers: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in (*node.input, *_read_inside(node)):
                self._readers.setdefault(name, []).append(node)
        self._outputs = {value.name for value in model.graph.output}
        self._read = _all_read(model.graph)
        self._done: set[str] = set()

    # ---- ends ----------------------------------------------------------------------------------

    def add_input(self, name: str, shape: Sequence[int], data_type: int) -> None:
        """An input of the network."""
        tensor = meta_tensor(shape, torch_type(data_type))
        self._recorder.add_input(tensor, name)
        self._values[name] = OnnxValue(tensor=tensor, bits=self._annotated.get(name, type_bits(data_type)))

    def add_weight(self, name: str, shape: Sequence[int], data_type: int) -> None:
        """A weight whose numbers are absent."""
        value = OnnxValue(
            tensor=meta_tensor(shape, torch_type(data_type)), bits=type_bits(data_type), is_weight=True
        )
        self._own(name, value)

    def add_initializers(self, tensors: Iterable[TensorProto]) -> None:
        for tensor in tensors:
            self._own(tensor.name, initializer_value(tensor))

    def _own(self, name: str, value: OnnxValue) -> None:
        owner, parameter = split_parameter(name) or ("", name)
        self._recorder.add_weight(value.tensor, owner, parameter, is_parameter=True)
        width = self._annotated.get(name, value.bits)
        self._values[name] = replace(value, weight=name, weight_shape=value.shape, bits=width)

    def add_outputs(self, names: Sequence[str]) -> None:
        """The outputs of the network: `output`, or `output.NAME` where there are several."""
        for name in names:
            port = "output" if len(names) == 1 else f"output.{name}"
            self._recorder.add_output(self._value(name, "the network").tensor, port)

    # ---- nodes ---------------------------------------------------------------------------------

    def run(self, nodes: Iterable[NodeProto]) -> None:
        """Run the nodes that something reads, in order.

        Raises:
            TraceError: a node fails on the shapes of its inputs, or the shape that it writes is not known.
        """
        for proto in nodes:
            if self._done.intersection(proto.output) or not self._read.intersection(proto.output):
                continue
            try:
                self._run_node(proto)
            except TraceError as error:
                raise TraceError(f"{self._place(proto)}: {error}") from error
            except Exception as error:  # torch raises anything on shapes that do not fit
                raise TraceError(self._failure(proto, error)) from error

    def _run_node(self, proto: NodeProto) -> None:
        node = self._node(proto)
        recorder = self._recorder
        recorder.enter(self._names.path_of(proto), self._names.module_of(proto))
        if node.op == "If" and node.inputs[0] is not None and node.inputs[0].constant is not None:
            self._run_branch(
                proto, node.attributes["then_branch" if node.inputs[0].constant.all() else "else_branch"]
            )
            return
        add = self._bias_add(node)
        function, constants, unfolded = function_of(node), numbers_of(node), ""
        if function is None and constants is None:
            constants, unfolded = _folded(node)
        if function is not None:
            outputs = self._call(node, function, add)
        elif constants is not None:
            outputs = stand_ins(constants)
            recorder.add_computed(node.op, node.tensors, outputs)
        else:
            outputs = self._foreign(node)
        unwritten = [name for name in proto.output[len(outputs) :] if name in self._read]
        if unwritten:
            raise TraceError(f"{node.op} has {len(outputs)} outputs here, but {unwritten[0]!r} is read")
        if constants is None and all(tensor is None or tensor.numel() <= MAX_CONSTANT for tensor in outputs):
            constants, unfolded = _folded(node)
        self._keep(node, proto if add is None else add, outputs, constants, unfolded)

    def _node(self, proto: NodeProto) -> Node:
        from onnx.helper import get_attribute_value

        domain = "" if proto.domain == "ai.onnx" else proto.domain
        return Node(
            proto=proto,
            domain=domain,
            inputs=tuple(self._value(name, "it") if name else None for name in proto.input),
            attributes={item.name: get_attribute_value(item) for item in proto.attribute},
            opset=self._opsets.get(domain, 1),
            stand_ins=self._recorder,
        )

    def _value(self, name: str, reader: str) -> OnnxValue:
        value = self._values.get(name)
        if value is not None:
            return value
        shape = self._declared.given.get(name)
        if shape is None:
            raise TraceError(
                f"{reader} reads {name!r}, which nothing writes before. If it is a weight that was removed from "
                f"the file, give its shape: shapes={{{name!r}: (...)}}"
            )
        self.add_weight(name, shape, 1)
        return self._values[name]

    def _call(self, node: Node, function: Function, add: NodeProto | None) -> Sequence[torch.Tensor | None]:
        """The outputs of the function; the layers that it made are remembered with their operands."""
        recorder = self._recorder
        with recorder:
            result = function(node) if add is None else products.linear(node, self._bias_of(add))
        for layer in recorder.take_made():
            stream, weight = products.operands(node)
            written = self._width(node, node.proto.output[0])
            self.operands[layer] = Operands(stream=stream, weight=weight, written=written)
        if node.op in bits.QUANTIZERS:
            source, width = recorder.source(node.tensor(0)), bits.output_bits(node)
            if source and width is not None:
                self.rounded[source] = max(width, self.rounded.get(source, 0))
        return (result,) if isinstance(result, torch.Tensor) else result

    def _bias_add(self, node: Node) -> NodeProto | None:
        """The Add of a linear layer that was exported as MatMul and Add; it is done with the product."""
        readers = self._readers.get(node.proto.output[0], [])
        if node.op != "MatMul" or len(readers) != 1 or readers[0].op_type != "Add":
            return None
        weight, bias = node.value(1), self._values.get(self._other_input(readers[0], node.proto.output[0]))
        if bias is None or weight is None or not (bias.is_weight and weight.is_weight):
            return None
        if weight.tensor.dim() != 2 or bias.shape != weight.shape[1:] or node.proto.output[0] in self._outputs:
            return None
        self._done.add(readers[0].output[0])
        return readers[0]

    def _bias_of(self, add: NodeProto) -> torch.Tensor:
        return next(self._values[name].tensor for name in add.input if name in self._values)

    @staticmethod
    def _other_input(add: NodeProto, name: str) -> str:
        return next((other for other in add.input if other != name), "")

    def _foreign(self, node: Node) -> list[torch.Tensor | None]:
        """The outputs of an op without a function: uncounted, unless the user registered a rule."""
        outputs: list[torch.Tensor | None] = [
            meta_tensor(*self._declared.of(name)) if name in self._read else None for name in node.proto.output
        ]
        captured = [self._values[name].tensor for name in _read_inside(node.proto) if name in self._values]
        namespace = re.sub(r"\W", "_", node.domain) or "onnx"
        self._recorder.add_foreign(f"{namespace}::{node.op}", node, captured, [t for t in outputs if t is not None])
        return outputs

    def _run_branch(self, proto: NodeProto, branch: GraphProto) -> None:
        self.add_initializers(branch.initializer)
        self.run(branch.node)
        for outer, inner in zip(proto.output, branch.output, strict=True):
            self._values[outer] = self._value(inner.name, "a branch")

    def _keep(
        self,
        node: Node,
        named_by: NodeProto,
        outputs: Sequence[torch.Tensor | None],
        constants: Numbers | None,
        unfolded: str,
    ) -> None:
        """Name the outputs. A weight that is passed on under the name of a parameter is one of its own."""
        unfolded = unfolded or next((value.unfolded for value in node.inputs if value and value.unfolded), "")
        sources = [value for value in node.inputs if value is not None and value.weight]
        source = max(sources, key=lambda value: value.tensor.numel(), default=None)
        for index, (name, tensor) in enumerate(zip(named_by.output, outputs, strict=False)):
            if name not in self._read:
                continue
            if tensor is None:
                raise TraceError(f"output {index} of {node.op} is read, and has no shape here")
            is_weight = not self._recorder.is_active(tensor)
            value = OnnxValue(
                tensor=tensor,
                constant=None if constants is None else constants[index],
                bits=self._width(node, name),
                is_weight=is_weight,
                unfolded=unfolded,
            )
            if is_weight and source is not None:
                is_stored = value.shape == source.weight_shape
                quantizer = (bits.rounding(node) if is_stored else None) or source.quantizer
                value = replace(value, weight=source.weight, weight_shape=source.weight_shape, quantizer=quantizer)
            self._values[name] = value
            if is_weight and (node.op == "Constant" or (node.op == "Identity" and split_parameter(name))):
                self._values[name] = replace(value, tensor=meta_tensor(value.shape, tensor.dtype))
                self._own_again(name)

    def _width(self, node: Node, name: str) -> int | None:
        """Width of an output: as annotated, as the op says, or that of its type where quantized numbers go in."""
        if name in self._annotated:
            return self._annotated[name]
        width = bits.output_bits(node)
        if width is None and any(value is not None and value.bits is not None for value in node.inputs):
            width = self._declared.width(name)
        return width

    def _own_again(self, name: str) -> None:
        value = self._values[name]
        owner, parameter = split_parameter(name) or ("", name)
        self._recorder.add_weight(value.tensor, owner, parameter, is_parameter=True)

    # ---- errors --------------------------------------------------------------------------------

    def _place(self, proto: NodeProto) -> str:
        return f"node {proto.name or proto.output[0]!r} ({proto.op_type})"

    def _failure(self, proto: NodeProto, error: Exception) -> str:
        shapes = ", ".join(str(self._values[name].shape) for name in proto.input if name in self._values)
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        return (
            f"{self._place(proto)} fails on inputs of the shapes {shapes or '()'}: {reason}. "
            f"Layers that ran: {len(self.operands)}."
        )


def _folded(node: Node) -> tuple[Numbers | None, str]:
    """(the outputs of a node whose inputs are known, None where they are not; why, where they should be)."""
    try:
        return fold(node), ""
    except NotFoldedError as error:
        return None, str(error)


def _all_read(graph: GraphProto) -> set[str]:
    """Names that a graph reads or gives, and the graphs in its nodes too."""
    inner = [item.g for node in graph.node for item in node.attribute if item.HasField("g")]
    own = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    return (own - {""}).union(*(_all_read(part) for part in inner))


def _read_inside(node: NodeProto) -> set[str]:
    """Names that the graphs in a node (Loop, Scan, If) read; those of outer values among them."""
    inner = [found for item in node.attribute if item.HasField("g") for found in item.g.node]
    return {name for found in inner for name in found.input}.union(*(_read_inside(found) for found in inner))
