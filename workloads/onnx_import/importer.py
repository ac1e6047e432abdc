"""`trace_onnx`: from an ONNX file to a layer graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hwmodel.errors import TraceError
from hwmodel.network.graph import LayerGraph, VectorOp
from hwmodel.network.layer import Layer
from workloads.onnx_import.bits import layer_bits
from workloads.onnx_import.declared import DeclaredShapes
from workloads.onnx_import.density import Densities
from workloads.onnx_import.functions import decomposed
from workloads.onnx_import.inputs import Shapes, input_shapes, split_inputs
from workloads.onnx_import.naming import OnnxNames
from workloads.onnx_import.reading import OnnxFile, read_onnx
from workloads.onnx_import.recording import OnnxBuilder, OnnxRecorder
from workloads.onnx_import.running import Run
from workloads.tracing.failure import refuse_uncounted
from workloads.tracing.scope import Scope

if TYPE_CHECKING:
    from onnx import ModelProto


def trace_onnx(
    path: str | Path, *, shapes: Shapes | None = None, strict: bool = False, name: str | None = None
) -> LayerGraph:
    """The layer graph of the network in an ONNX file, as `trace` makes it of the module it came from.

    Weights may be absent: their shapes are enough. Where they are there, `density.w` is measured.
    A quantized file (QLinear ops, QuantizeLinear/DequantizeLinear pairs, QONNX) gives its layers their bits.

    Args:
        path: of the file; weights in external files lie beside it.
        shapes: for what the file leaves open: input name -> shape, symbol -> bound ({"sequence": 128}),
            or "" -> the shape of the only input. The first dim of an input is 1 where nothing says
            another. The output of an op that shapes cannot be inferred for may be given too.
        strict: an op without a rule is an error; otherwise it is listed in `graph.uncounted`.
        name: of the graph; the name of the file by default.

    Returns:
        The graph; its route is `onnx`.

    Raises:
        ConfigError: onnx is not installed; the file is absent, not ONNX, truncated or too large.
        TraceError: a dim stays unknown, a node fails on its inputs, or (strict) an op has no rule.

    Example:
        >>> graph = trace_onnx("resnet50.onnx", shapes={"input": (1, 3, 224, 224)})  # doctest: +SKIP
    """
    file = read_onnx(path)
    try:
        graph = _graph(file, shapes or {}, name or Path(path).stem)
    except TraceError as error:
        raise TraceError(f"{path}: {error}") from error
    if strict:
        refuse_uncounted(graph)
    return graph


def _graph(file: OnnxFile, shapes: Shapes, name: str) -> LayerGraph:
    model = decomposed(file.model)
    data, parameters = split_inputs(model)
    resolved, symbols = input_shapes(data, shapes, _tensor_names(model))
    others = {key: tuple(v) for key, v in shapes.items() if key and key not in resolved and not isinstance(v, int)}
    weights, _ = input_shapes(parameters, {}, ())
    names = OnnxNames(model.graph.node)
    builder = OnnxBuilder(names)
    declared = DeclaredShapes(model, inputs=resolved, given=others, symbols=symbols)
    run = Run(model, names, OnnxRecorder(builder, Scope()), declared)
    with torch.inference_mode():
        for value in data:
            run.add_input(value.name, resolved[value.name], value.type.tensor_type.elem_type)
        for value in parameters:
            run.add_weight(value.name, weights[value.name], value.type.tensor_type.elem_type)
        run.add_initializers(model.graph.initializer)
        run.run(model.graph.node)
        run.add_outputs([value.name for value in model.graph.output])
    return _annotated(builder.build(name, "onnx"), run, Densities(file))


def _tensor_names(model: ModelProto) -> list[str]:
    return [name for node in model.graph.node for name in (*node.input, *node.output) if name]


def _annotated(graph: LayerGraph, run: Run, densities: Densities) -> LayerGraph:
    """The graph with the bits of every quantized layer and the density of every weight."""
    written = _written_bits(graph, run.rounded)
    layers: dict[str, Layer] = {}
    for layer in graph.layers:
        made = run.operands.get(layer.name)
        if made is None:
            continue
        bits = layer_bits(made.stream, made.weight, written.get(layer.name, made.written))
        density = layer.density
        if layer.weights and made.weight is not None and made.weight.is_whole(layer.weights):
            density = replace(density, w=densities.measure(made.weight))
        layers[layer.name] = replace(layer, bits=bits, density=density)
    return graph.with_layers(layers)


def _written_bits(graph: LayerGraph, rounded: dict[str, int]) -> dict[str, int]:
    """Layer -> width that its output is rounded to, itself or after the fused ops behind it."""
    found: dict[str, int] = {}
    for node, bits in rounded.items():
        if node not in graph.digraph:
            continue
        name = node
        while name and isinstance(op := graph.digraph.nodes[name]["op"], VectorOp):
            owner = graph.owners[name]
            behind = [p for p in graph.digraph.predecessors(name) if owner and owner in (p, graph.owners.get(p))]
            name = behind[0] if op.fused and behind else ""
        if name and isinstance(graph.digraph.nodes[name]["op"], Layer) and (name == node or name not in rounded):
            found[name] = bits
    return found
