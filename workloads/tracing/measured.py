"""Densities that only the numbers show: zeros among the weights and activations of a run on real data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from hwmodel.errors import TraceError
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Layer
from workloads.tracing.failure import forward_error
from workloads.tracing.isolate import isolated
from workloads.tracing.request import make_request
from workloads.tracing.routes import via_real_tensors
from workloads.tracing.scope import Scope
from workloads.wrappers import unwrapped


def measure_activation_density(model: Any, graph: LayerGraph, *args: Any, **kwargs: Any) -> LayerGraph:
    """The graph with the non-zero share of the inputs of every layer, and of the W of a product of activations.

    Padding does not count. A quantized model is measured behind its quantizers, where small values are zeros.

    Args:
        model: that the graph was traced from, on a device with numbers.
        graph: of any batch size.
        args, kwargs: a batch of real data, as for its forward.

    Raises:
        TraceError: the forward fails, the model is on the meta device, or its layers are not those of the graph.

    Example:
        >>> graph = measure_activation_density(model, trace(model, x), load_data("digits").validation.x[:64])
    """
    seen = _densities(model, graph, args, kwargs)
    layers = {}
    for layer in graph.layers:
        w, i = seen[layer.name]
        density = replace(layer.density, i=i, w=layer.density.w if layer.weights else w)
        layers[layer.name] = replace(layer, density=density)
    return graph.with_layers(layers)


def measure_weight_density(model: Any, graph: LayerGraph, *args: Any, **kwargs: Any) -> LayerGraph:
    """The graph with the non-zero share of the weights as they multiply: masked and rounded to zero.

    A plain trace counts masks only; this sees every exact zero. Arguments and errors as for
    `measure_activation_density`. The pattern stays where there is one.
    """
    seen = _densities(model, graph, args, kwargs)
    return graph.with_layers(
        {
            layer.name: replace(layer, density=replace(layer.density, w=seen[layer.name][0]))
            for layer in graph.layers
            if layer.weights
        }
    )


@torch.no_grad()
def count_weight_zeros(model: Any, graph: LayerGraph) -> LayerGraph:
    """The graph with the non-zero share of the weights as they multiply, read from the model without a run.

    As `measure_weight_density`, for weights that layers of torch or compressed layers hold; what a forward computes
    from its parameters needs a run. The pattern stays where there is one.

    Args:
        model: that the graph was traced from, on a device with numbers.
        graph: of it.

    Raises:
        TraceError: the model is on the meta device, or has no such weight.
    """
    inner = unwrapped(model)
    shares: dict[tuple[str, str], float] = {}
    for layer in graph.weight_layers:
        try:
            weight = _stored(inner.get_submodule(layer.module), layer)
        except AttributeError as error:
            raise TraceError(
                f"{layer.name}: the model has no weight {layer.module}.{layer.parameter}. Measure with the model "
                "that the graph was traced from."
            ) from error
        if weight.is_meta:
            raise TraceError(f"{graph.name}: its weights are on the meta device and have no values to count.")
        shares[layer.weight_key] = _density(weight)
    return graph.with_layers(
        {
            layer.name: replace(layer, density=replace(layer.density, w=shares[layer.weight_key]))
            for layer in graph.layers
            if layer.weights
        }
    )


def _stored(module: Any, layer: Layer) -> torch.Tensor:
    """The weight of a layer as its module multiplies it; of `in_proj_weight[16:]` the layer's part, flat."""
    base, _, rest = layer.parameter.partition("[")
    base = base.removesuffix("_orig") or "weight"
    effective = getattr(module, "effective_weight", None)
    weight: torch.Tensor = effective() if base == "weight" and effective is not None else getattr(module, base)
    if not rest:
        return weight
    start = int(rest.partition(":")[0])
    return weight.reshape(-1)[start : start + layer.weights]


def _densities(
    model: Any, graph: LayerGraph, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, tuple[float, float]]:
    """Layer name -> non-zero shares of W and I in one run."""
    request = make_request(model, args, kwargs, graph.name)
    if request.is_meta:
        raise TraceError(
            f"{graph.name}: its weights are on the meta device and have no values to count zeros among."
        )
    seen: dict[str, tuple[float, float]] = {}

    def watch(name: str, weight: torch.Tensor, stream: torch.Tensor) -> None:
        seen[name] = (_density(weight), _density(stream))

    scope = Scope()
    with isolated(request.model):
        try:
            via_real_tensors(request, scope, watch)
        except TraceError:
            raise
        except Exception as error:  # torch raises anything here
            raise forward_error(error, scope, request.graph_name) from error
    missing = [layer.name for layer in graph.layers if layer.name not in seen]
    if missing:
        raise TraceError(
            f"{graph.name}: {len(missing)} of {len(graph.layers)} layers did not run, the first {missing[0]!r}. "
            "Measure with the model that the graph was traced from."
        )
    return seen


def _density(tensor: torch.Tensor) -> float:
    """Non-zero share; all zeros count as one value, as a density is above 0."""
    return max(1, int(torch.count_nonzero(tensor))) / tensor.numel()
