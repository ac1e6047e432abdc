"""The graph of a network: layers with MACs, vector operations, and the tensors between them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any, Self

import networkx as nx

from hwmodel.errors import GraphError, check_names, matched_none
from hwmodel.network.choice import Choice
from hwmodel.network.frames import layer_frame
from hwmodel.network.graphfile import (
    SCHEMA_VERSION,
    LayerRecord,
    PortRecord,
    VectorRecord,
    check_record,
    parse_graph,
)
from hwmodel.network.layer import Layer
from hwmodel.network.nodes import Folded, Node, Port, Tensor, Uncounted, VectorOp
from hwmodel.network.stored import first_reads
from hwmodel.shown import Shown

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["Folded", "LayerGraph", "Node", "Port", "Tensor", "Uncounted", "VectorOp"]


class LayerGraph(Shown):
    """A directed acyclic graph of `Layer`, `VectorOp` and `Port` nodes with `Tensor`s on its edges.

    `digraph` is a `networkx.DiGraph` keyed by node name, with the node under `"op"` and the tensor
    of an edge under `"tensor"`. A graph is not changed after it is built: `with_layers` and
    `annotate` return new ones.

    Args:
        name: of the network.
        nodes: unique by name.
        edges: (from, to, tensor).
        uncounted: ops without a rule.
        free_ops: op -> calls of the ops that are explicitly free (views).
        data_reads: op -> calls by which Python read a number that depends on the data (a branch may follow).
        folded: work on constants alone.
        route: how the graph was obtained (`export`, `dispatch`, `json`, ...).
        aliases: further name of a module -> the module that owns its weight: one module under two names, or two
            that share a weight.

    Raises:
        GraphError: a name is used twice, an edge joins unknown nodes, or the graph has a cycle.
    """

    def __init__(
        self,
        name: str,
        nodes: Iterable[Node],
        edges: Iterable[tuple[str, str, Tensor]],
        *,
        uncounted: Sequence[Uncounted] = (),
        free_ops: Mapping[str, int] | None = None,
        data_reads: Mapping[str, int] | None = None,
        folded: Sequence[Folded] = (),
        route: str = "",
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.aliases = dict(aliases or {})
        self.uncounted = tuple(uncounted)
        self.free_ops = dict(free_ops or {})
        self.data_reads = dict(data_reads or {})
        self.folded = tuple(folded)
        self.route = route
        self.digraph: nx.DiGraph[str] = nx.DiGraph()
        for node in nodes:
            if node.name in self.digraph:
                raise GraphError(f"graph {name!r}: names must be unique, but {node.name!r} is used twice")
            self.digraph.add_node(node.name, op=node)
        for source, target, tensor in edges:
            for end in (source, target):
                if end not in self.digraph:
                    raise GraphError(f"graph {name!r}: edge {source!r} -> {target!r} joins unknown node {end!r}")
            self.digraph.add_edge(source, target, tensor=tensor)
        if not nx.is_directed_acyclic_graph(self.digraph):
            raise GraphError(f"graph {name!r} must be acyclic, but has the cycle {nx.find_cycle(self.digraph)}")

    # ---- what is in it -------------------------------------------------------------------------

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node in topological order; ties keep the order of construction."""
        order = {name: index for index, name in enumerate(self.digraph)}
        names = nx.lexicographical_topological_sort(self.digraph, key=lambda node: order[node])
        return tuple(self.digraph.nodes[n]["op"] for n in names)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers with MACs, in topological order."""
        return tuple(node for node in self.nodes if isinstance(node, Layer))

    @cached_property
    def vector_ops(self) -> tuple[VectorOp, ...]:
        return tuple(node for node in self.nodes if isinstance(node, VectorOp))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers, dense."""
        return sum(layer.macs for layer in self.layers)

    @property
    def folded_macs(self) -> int:
        """Multiply-accumulates on constants alone, which are done ahead of time and are not in `macs`."""
        return sum(item.macs for item in self.folded)

    @property
    def is_lower_bound(self) -> bool:
        """Some op had no rule, so counts and costs are lower bounds."""
        return bool(self.uncounted)

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """Module names that own weights, in topological order, each once."""
        return tuple(dict.fromkeys(layer.module for layer in self.layers if layer.weights))

    @cached_property
    def layer_modules(self) -> frozenset[str]:
        """Module names of the layers: what a configuration may name."""
        return frozenset(layer.module for layer in self.layers)

    @cached_property
    def weights(self) -> dict[str, int]:
        """Module name -> weight elements (no biases); a module called twice counts once."""
        totals: dict[str, int] = {}
        for layer in self.weight_layers:
            totals[layer.module] = totals.get(layer.module, 0) + layer.weights
        return totals

    @cached_property
    def weight_layers(self) -> tuple[Layer, ...]:
        """One layer per stored weight, in topological order: a weight that is read twice is there once."""
        return tuple(compress(self.layers, first_reads(self.layers)))

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change when the names, weights or pixels of the layers, or the edges, change.

        Bits, densities and the batch size do not enter: a configuration belongs to a model
        whatever it is annotated with and however it is batched. A batch may stand in any dim of a
        matmul, and in B or OX of a linear layer.
        """
        shapes = [
            (n.name, n.kind, n.w_shape if n.weights else (), n.dims.OY if n.kind == "conv" else 0,
             n.dims.OX if n.kind == "conv" else 0, n.stride, n.dilation, n.module)
            for n in sorted(self.layers, key=lambda layer: layer.name)
        ]  # fmt: skip
        text = json.dumps([shapes, sorted(self.digraph.edges)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def layer(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            GraphError: no layer has it; the nearest name is offered.
        """
        node = self.digraph.nodes.get(name, {}).get("op")
        if not isinstance(node, Layer):
            names = [layer.name for layer in self.layers]
            raise GraphError(matched_none(name, names, f"layers of {self.name!r}"))
        return node

    @cached_property
    def owners(self) -> dict[str, str]:
        """Vector op name -> name of the last layer that feeds it ("" where none does).

        A vector op works on what its owner wrote, so it is priced with its owner.
        """
        position = {node.name: index for index, node in enumerate(self.nodes)}
        owners: dict[str, str] = {}
        for node in self.nodes:
            if not isinstance(node, VectorOp):
                continue
            feeding = [
                owners.get(parent, parent)
                for parent in self.digraph.predecessors(node.name)
                if not isinstance(self.digraph.nodes[parent]["op"], Port)
            ]
            owners[node.name] = max(filter(None, feeding), key=position.__getitem__, default="")
        return owners

    # ---- new graphs ----------------------------------------------------------------------------

    def with_layers(self, layers: Mapping[str, Layer]) -> LayerGraph:
        """The same graph with some layers replaced, by layer name."""
        for name in layers:
            self.layer(name)
        nodes = [layers.get(name, data["op"]) for name, data in self.digraph.nodes(data=True)]
        return self.with_nodes(nodes)

    def annotate(self, choices: Mapping[str, Choice]) -> LayerGraph:
        """The graph with bits and densities set by module name; other layers stay as they are.

        Raises:
            GraphError: a name matches no module; the nearest name is offered.
        """
        check_names(choices, self.layer_modules, error=GraphError)
        return self.with_layers(
            {layer.name: choices[layer.module].annotate(layer) for layer in self.layers if layer.module in choices}
        )

    def with_activation_density(self, density: Mapping[str, float]) -> LayerGraph:
        """The graph with the measured non-zero fraction of the inputs of each layer, by layer name."""
        return self.with_layers(
            {name: replace(self.layer(name), density=replace(self.layer(name).density, i=value))
             for name, value in density.items()}
        )  # fmt: skip

    def with_nodes(self, nodes: Iterable[Node]) -> LayerGraph:
        """The same graph with other nodes of the same names."""
        edges = [(u, v, data["tensor"]) for u, v, data in self.digraph.edges(data=True)]
        return LayerGraph(
            self.name,
            nodes,
            edges,
            uncounted=self.uncounted,
            free_ops=self.free_ops,
            data_reads=self.data_reads,
            folded=self.folded,
            route=self.route,
            aliases=self.aliases,
        )

    # ---- in and out ----------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        nodes: list[dict[str, Any]] = []
        for _, data in self.digraph.nodes(data=True):
            op: Node = data["op"]
            if isinstance(op, Layer):
                nodes.append({"type": "layer", **op.to_dict()})
            elif isinstance(op, VectorOp):
                nodes.append({"type": "vector", **op.to_dict()})
            else:
                nodes.append({"type": "port", **asdict(op)})
        return {
            "schema": SCHEMA_VERSION,
            "name": self.name,
            "route": self.route,
            "nodes": nodes,
            "edges": [
                [u, v, {"name": data["tensor"].name, "shape": list(data["tensor"].shape)}]
                for u, v, data in self.digraph.edges(data=True)
            ],
            "uncounted": [asdict(item) for item in self.uncounted],
            "free_ops": self.free_ops,
            "data_reads": self.data_reads,
            "folded": [asdict(item) for item in self.folded],
            **({"aliases": self.aliases} if self.aliases else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            GraphError: another schema version, or a field that is missing, unknown or of another kind.
            LayerError: a layer breaks a rule.
        """
        record = check_record(data)
        return cls(
            record.name,
            [_node(item) for item in record.nodes],
            [(u, v, Tensor(name=t.name, shape=t.shape)) for u, v, t in record.edges],
            uncounted=[Uncounted(**dict(item)) for item in record.uncounted],
            free_ops=record.free_ops,
            data_reads=record.data_reads,
            folded=[Folded(**dict(item)) for item in record.folded],
            route=record.route,
            aliases=record.aliases,
        )

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of `to_json`.

        Raises:
            GraphError: as `from_dict`, or the text is not JSON.
        """
        return cls.from_dict(parse_graph(text))

    def to_dataframe(self) -> pd.DataFrame:
        """One row per layer; see `hwmodel.network.frames.layer_frame`."""
        return layer_frame(self.layers)

    def __repr__(self) -> str:
        bound = " (LOWER BOUND)" if self.is_lower_bound else ""
        return f"LayerGraph({self.name!r}, {len(self.layers)} layers, {self.macs:,} MACs{bound})"


def _node(record: LayerRecord | VectorRecord | PortRecord) -> Node:
    values = record.model_dump(exclude={"type"})
    if isinstance(record, LayerRecord):
        return Layer.from_dict(values)
    return VectorOp(**values) if isinstance(record, VectorRecord) else Port(**values)
