"""The graph of a model given by name. torch is loaded when a model is traced, not before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from reports.jobs.arguments import parse_options, parse_shape, parse_shapes
from reports.terminal.console import say
from workloads import load_data, load_model, load_model_with_input, trace_onnx
from workloads.names import short_name

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hwmodel.network.graph import LayerGraph

DEFAULT_CONTEXT = 2048
MEASURED_IMAGES = 64


def traced(
    model: str,
    shape: str | None,
    pairs: Sequence[str] | None,
    *,
    strict: bool = False,
    made_with: Mapping[str, Any] | None = None,
    measure: str | None = None,
) -> LayerGraph:
    """The graph of a model given by name.

    Args:
        model: a name, FILE.py:function, timm:NAME, hf:CONFIG or FILE.onnx.
        shape: of the input, batch first, as text; None is the model's own. Of an ONNX file also by name.
        pairs: options as KEY=VALUE.
        strict: an op without a rule is an error.
        made_with: options unless `pairs` give others.
        measure: name of the data on which to measure the density of activations; None leaves them dense.

    Raises:
        HwModelError: no model has that name, it does not run on the input, or (strict) an op of it
            has no rule.
    """
    if model.endswith(".onnx"):
        return _traced_onnx(model, shape, pairs, strict=strict, measure=measure)
    options, shape_with_batch = {**(made_with or {}), **parse_options(pairs)}, parse_shape(shape)
    if shape_with_batch is None:
        module, args = load_model_with_input(model, **options)
    else:
        batch, *one = shape_with_batch
        module, args = load_model_with_input(model, input_shape=one, batch=batch, **options)
    from workloads.tracing import trace_model

    graph = trace_model(module, args, strict=strict, name=short_name(model))
    return graph if measure is None else _with_densities(graph, module, args[0], model, measure)


def _traced_onnx(
    path: str, shapes: str | None, pairs: Sequence[str] | None, *, strict: bool, measure: str | None
) -> LayerGraph:
    if measure is not None:
        raise typer.BadParameter("an ONNX file is not run: give the model", param_hint="--measure-density")
    if pairs:
        raise typer.BadParameter("an ONNX file has no options", param_hint="--option")
    return trace_onnx(path, shapes=parse_shapes(shapes), strict=strict)


def _with_densities(graph: LayerGraph, module: nn.Module, example: Tensor, model: str, data: str) -> LayerGraph:
    """The graph with the densities of activations on `MEASURED_IMAGES` validation images."""
    from workloads.tracing import measure_activation_density

    if example.dim() != 4:
        raise typer.BadParameter(
            f"needs a model of images, but {model} takes {tuple(example.shape)}", param_hint="--measure-density"
        )
    sizes = {"channels": example.shape[1], "size": example.shape[-1]} if data in ("digits", "mnist") else {}
    images = load_data(data, **sizes).validation.take(MEASURED_IMAGES).x
    measured = measure_activation_density(module, graph, images)
    mean = sum(layer.macs * layer.density.i for layer in measured.layers) / (measured.macs or 1)
    say(f"Activations on {len(images)} images of {data}: density {mean:.2f}, mean by MACs.")
    return measured


def phase_traced(
    model: str, pairs: Sequence[str] | None, *, phase: str, context: int | None, strict: bool = False
) -> LayerGraph:
    """The prefill or the decode step of a language model given by name.

    Raises:
        HwModelError: as for `traced`, or the model has no cache.
    """
    options = parse_options(pairs)
    if model == "transformer" and context is not None:
        options.setdefault("context", context)
    module = load_model(model, **options)
    from workloads.decode import decode_workloads

    length = context or getattr(module, "input_shape", (DEFAULT_CONTEXT,))[0]
    phases = decode_workloads(module, context=length, name=short_name(model), strict=strict)
    return phases.prefill if phase == "prefill" else phases.decode
