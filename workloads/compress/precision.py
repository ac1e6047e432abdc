"""Average precision: one number for a mixed-precision network, with its definition printed beside it."""

from __future__ import annotations

from typing import Literal, get_args

from hwmodel.errors import ConfigError, check_one_of
from hwmodel.network.choice import FLOAT, surviving_weights
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Layer
from workloads.compress.config import CompressionConfig

Count = Literal["all", "nonzero"]
By = Literal["weights", "macs"]


def average_precision(
    graph: LayerGraph,
    config: CompressionConfig | None = None,
    count: Count = "all",
    by: By = "weights",
) -> float:
    """Mean weight bits, sum(n_l * b_l) / sum(n_l) over conv and linear weights [bit].

    Biases, norms and products of activations are left out; float layers count as 32. A module that
    is called twice counts once by weights, twice by MACs.

    Args:
        graph: of the model.
        config: the bits; None takes those that the graph is annotated with.
        count: `all` elements, or only those that survive pruning.
        by: n_l are `weights` or `macs`.

    Raises:
        ConfigError: an unknown `count` or `by`, or a graph without weights.
        GraphError: the configuration names a layer that the graph does not have.
    """
    precision_definition(count, by)
    annotated = graph if config is None else config.annotate(graph)
    layers = annotated.weight_layers
    if by == "macs":
        layers = tuple(layer for layer in annotated.layers if layer.weights)
    if not layers:
        raise ConfigError(f"average precision needs a layer with weights, but {graph.name!r} has none")
    sizes = [_size(layer, count, by) for layer in layers]
    bits = [(layer.bits or FLOAT).w for layer in layers]
    return sum(n * b for n, b in zip(sizes, bits, strict=True)) / sum(sizes)


def _size(layer: Layer, count: Count, by: By) -> float:
    if by == "weights":
        return surviving_weights(layer) if count == "nonzero" else layer.weights
    share = surviving_weights(layer) / layer.weights if count == "nonzero" else 1.0
    return layer.macs * share


def precision_definition(count: Count = "all", by: By = "weights") -> str:
    """The sentence to print beside an average precision.

    Raises:
        ConfigError: an unknown `count` or `by`.
    """
    check_one_of("count", count, get_args(Count))
    check_one_of("by", by, get_args(By))
    kind = "non-zero" if count == "nonzero" else "all"
    number = "weights" if by == "weights" else "MACs"
    return (
        f"average precision = sum(n_l * b_l) / sum(n_l), n_l = {kind} {number} of layer l, b_l its weight bits; "
        "conv and linear weights only (bias and norm left out), float layers count as 32 bits"
    )
