"""What streams from one operation into the next without touching memory, and what of a network is stored.

A layer, or an operation that is not fused, starts a *stream*; the fused operations behind it work on its outputs as
they leave. Of a stream only those tensors are stored that somebody outside of it reads. So of convolution, batch
norm and activation one tensor is written; where a skip is taken between two of them, two are.

A **pool** joins a stream where nothing else reads the tensor before it: windows are reduced as they pass (NVDLA's
planar data processor "on the fly", the pooling stage of Bit Fusion and of MCU-class NPUs), and only what is left is
stored. A global pool is a window as large as the plane. Where somebody else reads the tensor before it, that is
stored, and the pool is a pass of its own: the pooling stage sits in the one way out. What the windows need between
rows is not counted.

A concatenation whose pieces lie side by side already (`hwmodel.network.layout`) moves nothing: its tensor is the
tensors of its pieces, and what works on it starts a stream of its own, from memory.
A **fused attention** (where the chip's library has one) is one stream from its scores to its mix: scores, scale,
mask and softmax are computed block by block and touch no memory.

Source: NVIDIA, NVDLA hardware architecture (PDP: on-the-fly from SDP, or off-line from memory); Sharma et al., Bit
Fusion, ISCA 2018, section II (pooling and activation units below the columns); Dao et al., FlashAttention, NeurIPS
2022.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodel.network.attention import FusedAttention, fused_attentions
from hwmodel.network.layer import Layer
from hwmodel.network.layout import in_place
from hwmodel.network.nodes import Port, VectorOp

if TYPE_CHECKING:
    from hwmodel.network.graph import LayerGraph

#: Kinds of operations that leave fewer elements than they read, window by window.
POOLS = frozenset({"pool"})


@dataclass(frozen=True, kw_only=True)
class Streams:
    """The streams of a graph.

    Attributes:
        heads: layer or vector operation -> the one that starts its stream, itself where it starts one.
        edges: (from, to) along which nothing touches memory.
        made: head -> elements that it makes itself.
        stored: head -> (node, elements) of the tensors of its stream that are written to memory, in order.
        kept: nodes whose output is in memory, inputs of the network among them.
        parts: concatenation that moves nothing -> (node, elements) of the tensors that it is made of, in order.
        ends: node of a fused attention -> its mix: all that they read is in memory until that has run.
    """

    heads: Mapping[str, str]
    edges: frozenset[tuple[str, str]]
    made: Mapping[str, int]
    stored: Mapping[str, tuple[tuple[str, int], ...]]
    kept: frozenset[str]
    parts: Mapping[str, tuple[tuple[str, int], ...]]
    ends: Mapping[str, str]

    @classmethod
    def of(
        cls, graph: LayerGraph, *, fuse: bool = True, attention: bool = False, kinds: Collection[str] | None = None
    ) -> Streams:
        """The streams of a graph.

        Args:
            graph: its vector operations say whether they may be fused.
            fuse: pools may join a stream, and concatenations may be made in place; else each is a pass of its own.
            attention: attentions are fused where that is possible (see `fused_attentions`).
            kinds: of operations that may join a stream; None: all that say so.
        """
        builder = _Builder(graph, fuse, fused_attentions(graph) if attention else (), kinds)
        for node in graph.nodes:
            builder.add(node.name)
        return builder.streams()

    def starts(self, name: str) -> bool:
        """The operation works on what lies in memory: nothing streams into it."""
        return self.heads[name] == name

    def tensors(self, name: str) -> tuple[str, ...]:
        """The nodes whose stored tensors make the output of a node: itself, or the parts of a concatenation."""
        return tuple(part for part, _ in self.parts[name]) if name in self.parts else (name,)

    def readers(self, graph: LayerGraph, name: str) -> list[str]:
        """The nodes that read the output of a node where it lies, behind concatenations in place too."""
        found: dict[str, None] = {}
        waiting = [name]
        while waiting:
            new = [reader for reader in graph.digraph.successors(waiting.pop()) if reader not in found]
            found |= dict.fromkeys(new)
            waiting += [reader for reader in new if reader in self.parts]
        return list(found)


class _Builder:
    """Walks the nodes in execution order. A *strand* is a part of a stream in which all tensors pass at one pace:
    behind a pool a new one starts."""

    def __init__(
        self, graph: LayerGraph, fuse: bool, fused: Sequence[FusedAttention], kinds: Collection[str] | None
    ) -> None:
        self.graph, self.fuse, self.kinds = graph, fuse, kinds
        self.parts = in_place(graph) if fuse else {}
        self.ends = {name: item.mix for item in fused for name in (item.scores, *item.between)}
        self.position = {node.name: index for index, node in enumerate(graph.nodes)}
        self.strands: dict[str, str] = {}
        self.heads: dict[str, str] = {}
        self.edges: set[tuple[str, str]] = set()

    def add(self, name: str) -> None:
        node = self.graph.digraph.nodes[name]["op"]
        if isinstance(node, Port):
            return
        self.heads[name] = self.strands[name] = name
        if isinstance(node, Layer):
            parents = self.graph.digraph.predecessors(name)
            self.edges |= {(parent, name) for parent in parents if self.ends.get(parent) == name}
        sources = self.sources(node) if isinstance(node, VectorOp) else []
        if not sources:
            return
        self.edges |= {(source, name) for source in sources}
        self.heads[name] = self.heads[sources[0]]
        if not _is_pool(node):
            self.strands[name] = self.strands[sources[0]]

    def sources(self, op: VectorOp) -> list[str]:
        """The nodes that stream into an operation: those of one strand, the latest, that its owner feeds."""
        if op.name in self.ends:
            return [parent for parent in self.graph.digraph.predecessors(op.name) if parent in self.ends]
        owner = self.graph.owners[op.name]
        if not op.fused or not owner or (_is_pool(op) and not self.fuse):
            return []
        if self.kinds is not None and op.kind not in self.kinds:
            return []
        fed = [
            parent
            for parent in self.graph.digraph.predecessors(op.name)
            if owner in (parent, self.graph.owners.get(parent)) and parent not in self.parts
        ]
        if _is_pool(op):
            fed = [parent for parent in fed if self.graph.digraph.out_degree(parent) == 1]
        strand = max((self.strands[parent] for parent in fed), key=self.position.__getitem__, default="")
        return [parent for parent in fed if self.strands[parent] == strand]

    def streams(self) -> Streams:
        kept = {
            name
            for name in self.graph.digraph
            if not (readers := list(self.graph.digraph.successors(name)))
            or any((name, reader) not in self.edges for reader in readers)
        }
        stored: dict[str, list[tuple[str, int]]] = {head: [] for name, head in self.heads.items() if name == head}
        for name, head in self.heads.items():
            if name in kept and name not in self.parts:
                stored[head].append((name, self.elements(name)))
        return Streams(
            heads=self.heads,
            edges=frozenset(self.edges),
            made={head: self.elements(head) for head in stored},
            stored={head: tuple(found) for head, found in stored.items()},
            kept=frozenset(kept - self.parts.keys()),
            parts={
                name: tuple((part, self.elements(part)) for part in parts) for name, parts in self.parts.items()
            },
            ends=self.ends,
        )

    def elements(self, name: str) -> int:
        """Elements of what a node makes."""
        node = self.graph.digraph.nodes[name]["op"]
        if isinstance(node, VectorOp):
            return node.elements_out
        read = [data["tensor"].elements for _, _, data in self.graph.digraph.out_edges(name, data=True)]
        return max(read) if read or not isinstance(node, Layer) else node.elements("O")


def _is_pool(node: object) -> bool:
    return isinstance(node, VectorOp) and node.kind in POOLS
