"""Average precision: one number for a mixed-precision network, with its definition printed beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from hwmodel.errors import ConfigError, check_one_of
from hwmodel.network.choice import FLOAT, surviving_weights
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Layer
from workloads.compress.config import CompressionConfig

if TYPE_CHECKING:
    from torch import nn

Count = Literal["all", "nonzero", "measured"]
By = Literal["weights", "macs"]


def average_precision(
    graph: LayerGraph,
    config: CompressionConfig | None = None,
    count: Count = "all",
    by: By = "weights",
    *,
    model: nn.Module | None = None,
) -> float:
    """Mean weight bits, sum(n_l * b_l) / sum(n_l) over conv and linear weights [bit].

    Biases, norms and products of activations are left out; float layers count as 32. A module that
    is called twice counts once by weights, twice by MACs.

    Args:
        graph: of the model.
        config: the bits; None takes those that the graph is annotated with.
        count: `all` elements; `nonzero`, only those that survive pruning, by the densities of the graph or the
            configuration; or `measured`, only those of `model` that are not zero behind mask and rounding.
        by: n_l are `weights` or `macs`.
        model: of `apply`, whose zeros are counted; for `measured`, and needed there.

    Raises:
        ConfigError: an unknown `count` or `by`, a model that is missing or not used, or a graph without weights.
        GraphError: the configuration names a layer that the graph does not have.
    """
    precision_definition(count, by)
    if (model is None) == (count == "measured"):
        raise ConfigError(
            f"count='measured' counts the zeros of a model and the others do not, but got count={count!r} "
            f"{'without' if model is None else 'with'} model. Pass model=qmodel with count='measured' only."
        )
    annotated = graph if config is None else config.annotate(graph)
    if model is not None:
        from workloads.tracing import count_weight_zeros

        annotated = count_weight_zeros(model, annotated)
    layers = annotated.weight_layers
    if by == "macs":
        layers = tuple(layer for layer in annotated.layers if layer.weights)
    if not layers:
        raise ConfigError(f"average precision needs a layer with weights, but {graph.name!r} has none")
    sizes = [_size(layer, count, by) for layer in layers]
    bits = [(layer.bits or FLOAT).w for layer in layers]
    return sum(n * b for n, b in zip(sizes, bits, strict=True)) / sum(sizes)


def _size(layer: Layer, count: Count, by: By) -> float:
    kept: float = layer.weights
    if count == "nonzero":
        kept = surviving_weights(layer)
    elif count == "measured":
        kept = round(layer.weights * layer.density.w)
    return kept if by == "weights" else layer.macs * kept / layer.weights


def precision_definition(count: Count = "all", by: By = "weights") -> str:
    """The sentence to print beside an average precision.

    Raises:
        ConfigError: an unknown `count` or `by`.
    """
    check_one_of("count", count, get_args(Count))
    check_one_of("by", by, get_args(By))
    kind, note = {
        "all": ("all", ""),
        "nonzero": ("non-zero", " (what masks leave; zeros that rounding makes count)"),
        "measured": ("measured non-zero", " (not zero behind mask and rounding)"),
    }[count]
    number = "weights" if by == "weights" else "MACs"
    return (
        f"average precision = sum(n_l * b_l) / sum(n_l), n_l = {kind} {number} of layer l{note}, b_l its weight "
        "bits; conv and linear weights only (bias and norm left out), float layers count as 32 bits"
    )
