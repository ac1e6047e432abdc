"""Where a network multiplies matrices: the products of attention by their role, and all the others.

Attention is found by the flow of data, not by names: a product of two activations whose result runs into a softmax
(the scores, Q K^T) and the product that reads this softmax (the mix, P V), with nothing but vector ops between. The
linear layers that feed the two are the projections of queries, keys and values; the first one behind the mix is the
output projection. With h heads and a batch of B the scores are B * h products, and so is the mix; where
heads share keys (grouped queries) they are rows of one product.

Source: Vaswani et al., Attention Is All You Need, NeurIPS 2017, section 3.2; grouped queries: Ainslie et al., GQA,
EMNLP 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from hwmodel.network.graph import LayerGraph, VectorOp
from hwmodel.network.layer import Layer

if TYPE_CHECKING:
    import pandas as pd

Role = Literal["projection", "scores", "mix", "other matmul", "linear", "conv"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, kw_only=True)
class Attention:
    """One attention.

    Attributes:
        module: that its scores ran in.
        inputs: names of the layers that make Q, K and V (one where they are fused; fewer where they are cached).
        scores, mix: names of the two products of activations.
        output: name of the output projection; "" where there is none.
        products: independent matrix products in the scores, and as many in the mix: batch * heads.
    """

    module: str
    inputs: tuple[str, ...]
    scores: str
    mix: str
    output: str
    products: int


@dataclass(frozen=True, kw_only=True)
class FusedAttention:
    """An attention that one kernel can compute block by block, so that no memory sees its scores.

    Attributes:
        scores, mix: names of the two products.
        between: names of the operations from the scores to the mix, in execution order: scale, mask, softmax.

    Source: Dao et al., FlashAttention, NeurIPS 2022 (arXiv:2205.14135), algorithm 1.
    """

    scores: str
    between: tuple[str, ...]
    mix: str


@dataclass(frozen=True, kw_only=True)
class MatmulCount:
    """The matrix multiplications of one role in one run.

    Attributes:
        role: `projection`, `scores` (Q K^T), `mix` (P V), `other matmul` (of two activations), `linear` (the
            other layers with weights: feed-forward, head), `conv`.
        layers: in the graph.
        products: independent matrix products: one per layer with weights (per group of a convolution), batch *
            heads per product of activations.
        macs: of all of them.
    """

    role: Role
    layers: int
    products: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class AttentionSummary:
    """The attentions of a network, and all its matrix multiplications by role; roles without any are left out."""

    attentions: tuple[Attention, ...]
    counts: tuple[MatmulCount, ...]

    @property
    def products(self) -> int:
        """Matrix multiplications per run."""
        return sum(count.products for count in self.counts)

    def to_dataframe(self) -> pd.DataFrame:
        """One row per role: layers, products, macs."""
        import pandas as pd

        return pd.DataFrame([vars(count) for count in self.counts], columns=["role", "layers", "products", "macs"])


def attention_summary(graph: LayerGraph) -> AttentionSummary:
    """How many matrix multiplications one run takes, and where they happen."""
    found = attentions(graph)
    roles: dict[str, Role] = {}
    for item in found:
        roles.update(dict.fromkeys((*item.inputs, item.output), "projection"))
        roles[item.scores], roles[item.mix] = "scores", "mix"
    groups: dict[Role, list[Layer]] = {role: [] for role in ROLES}
    for layer in graph.layers:
        groups[roles.get(layer.name, "other matmul" if layer.kind == "matmul" else layer.kind)].append(layer)
    return AttentionSummary(
        attentions=found,
        counts=tuple(
            MatmulCount(
                role=role,
                layers=len(layers),
                products=sum(num_products(layer) for layer in layers),
                macs=sum(layer.macs for layer in layers),
            )
            for role, layers in groups.items()
            if layers
        ),
    )


def num_products(layer: Layer) -> int:
    """Independent matrix products of a layer: of two activations B * G, with weights G."""
    return layer.dims.G * (layer.dims.B if layer.kind == "matmul" else 1)


def attentions(graph: LayerGraph) -> tuple[Attention, ...]:
    """Every attention of a network, in topological order."""
    order = {node.name: index for index, node in enumerate(graph.nodes)}
    softmaxes = [op.name for op in graph.vector_ops if op.kind == "softmax"]
    return tuple(item for name in softmaxes if (item := _around(graph, name, order)) is not None)


def fused_attentions(graph: LayerGraph) -> tuple[FusedAttention, ...]:
    """The attentions that one kernel can compute.

    Nobody else reads what stands between the products, and it is one softmax and operations element by element.
    """
    order = {node.name: index for index, node in enumerate(graph.nodes)}
    found = (_fused(graph, item, order) for item in attentions(graph))
    return tuple(item for item in found if item is not None)


def _fused(graph: LayerGraph, item: Attention, order: Mapping[str, int]) -> FusedAttention | None:
    behind = _reached(graph, item.scores, graph.digraph.successors)
    between = sorted(behind & _reached(graph, item.mix, graph.digraph.predecessors), key=order.__getitem__)
    ops = [graph.digraph.nodes[name]["op"] for name in between]
    elements = graph.digraph.nodes[item.scores]["op"].elements("O")
    private = all(
        reader in (*between, item.mix)
        for name in (item.scores, *between)
        for reader in graph.digraph.successors(name)
    )
    simple = all(op.elements_out == elements and (op.fused or op.kind == "softmax") for op in ops)
    last = [name for name in graph.digraph.predecessors(item.mix) if name in between]
    whole = sum(op.kind == "softmax" for op in ops) == len(last) == 1
    if not (private and simple and whole) or graph.digraph.has_edge(item.scores, item.mix):
        return None
    return FusedAttention(scores=item.scores, between=tuple(between), mix=item.mix)


def _reached(graph: LayerGraph, start: str, step: Callable[[str], Iterable[str]]) -> set[str]:
    """The vector operations on one side of a node, through nothing but such."""
    found: set[str] = set()
    waiting = [start]
    for name in waiting:
        for other in step(name):
            if other not in found and isinstance(graph.digraph.nodes[other]["op"], VectorOp):
                found.add(other)
                waiting.append(other)
    return found


def _around(graph: LayerGraph, softmax: str, order: Mapping[str, int]) -> Attention | None:
    """The attention of a softmax; None where no product of activations stands on both its sides."""
    before = [layer for layer in _layers(graph, softmax, graph.digraph.predecessors) if layer.kind == "matmul"]
    after = [layer for layer in _layers(graph, softmax, graph.digraph.successors) if layer.kind == "matmul"]
    if not before or not after:
        return None
    scores, mix = before[0], after[0]
    feeding = {
        layer.name
        for product in (scores, mix)
        for layer in _layers(graph, product.name, graph.digraph.predecessors)
        if layer.weights
    }
    behind = _layers(graph, mix.name, graph.digraph.successors)
    return Attention(
        module=scores.module,
        inputs=tuple(sorted(feeding, key=order.__getitem__)),
        scores=scores.name,
        mix=mix.name,
        output=next((layer.name for layer in behind if layer.weights), ""),
        products=num_products(scores),
    )


def _layers(graph: LayerGraph, start: str, step: Callable[[str], Iterable[str]]) -> list[Layer]:
    """The nearest layers on one side of a node, with nothing but vector ops between, nearest first."""
    found: list[Layer] = []
    seen, waiting = {start}, [start]
    for name in waiting:
        for other in step(name):
            if other in seen:
                continue
            seen.add(other)
            node = graph.digraph.nodes[other]["op"]
            if isinstance(node, Layer):
                found.append(node)
            elif isinstance(node, VectorOp):
                waiting.append(other)
    return found
