"""The tensors of a network that are stored: how large they are, how long they live, and who asks for which width.

A tensor has the width that those ask for who compute with it: the widest, if there are several. An operation
without MACs asks for what its own readers ask, so behind convolution, add and pool the next convolution decides.
Where nobody asks (an output of the network), or where the layer that makes the tensor fixes the width of its
outputs (`Bits.o`), it has the width of that layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodel.network.layer import Bits, Layer, Operand
from hwmodel.network.nodes import Port, VectorOp
from hwmodel.network.streams import Streams

if TYPE_CHECKING:
    from hwmodel.network.graph import LayerGraph

#: A layer by name, and the operand as which it reads a tensor.
Read = tuple[str, Operand]


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """One tensor in memory.

    Attributes:
        name: of the node whose output it is.
        elements: of it.
        birth, death: first and last node that runs while it is stored, as positions in the order of execution.
        inside: it is made and read by the network alone: no input, and no output.
        asked: layers that compute with it, directly or behind operations without MACs.
        maker: name of the layer that its values come from; "" for inputs of the network.
    """

    name: str
    elements: int
    birth: int
    death: int
    inside: bool
    asked: tuple[Read, ...]
    maker: str

    def bits(self, width: Callable[[str, Operand], int], fixed: Callable[[str], int | None], native: int) -> int:
        """Its width [bit].

        Args:
            width: of an operand of a layer, by the layer's name [bit].
            fixed: width that a layer fixes for its outputs, by its name; None where it fixes none [bit].
            native: of tensors that no layer makes or asks for [bit].
        """
        own = fixed(self.maker) if self.maker else None
        if own is not None:
            return own
        if self.asked:
            return max(width(name, operand) for name, operand in self.asked)
        return width(self.maker, "I") if self.maker else native


def stored_tensors(graph: LayerGraph, streams: Streams) -> tuple[StoredTensor, ...]:
    """The stored tensors of a graph, by their first node."""
    position = {node.name: index for index, node in enumerate(graph.nodes)}
    asked = _asked(graph)
    found = [
        StoredTensor(
            name=name,
            elements=max(data["tensor"].elements for _, _, data in readers),
            birth=position[streams.heads.get(name, name)],
            death=max(position[streams.ends.get(reader, reader)] for reader in streams.readers(graph, name)),
            inside=not any(_is_port(graph, node) for node in (name, *streams.readers(graph, name))),
            asked=asked[name],
            maker=_maker(graph, name),
        )
        for name in position
        if name in streams.kept and (readers := list(graph.digraph.out_edges(name, data=True)))
    ]
    return tuple(sorted(found, key=lambda tensor: tensor.birth))


def written_bits(graph: LayerGraph, native: Bits) -> dict[str, int]:
    """Layer -> width at which its outputs are written [bit], whatever the chip.

    Args:
        graph: annotated or not.
        native: of layers without bits.
    """
    bits = {layer.name: layer.bits or native for layer in graph.layers}
    streams = Streams.of(graph)
    tensors = {tensor.name: tensor for tensor in stored_tensors(graph, streams)}
    written = {}
    for layer in graph.layers:
        name, _ = next(iter(streams.stored[layer.name]), ("", 0))
        written[layer.name] = (
            bits[layer.name].out
            if name not in tensors
            else tensors[name].bits(
                lambda reader, operand: bits[reader].w if operand == "W" else bits[reader].i,
                lambda maker: bits[maker].o,
                native.i,
            )
        )
    return written


def inputs(graph: LayerGraph, layer: Layer) -> Iterator[tuple[str, Operand]]:
    """(node that makes it, operand) of every tensor that a layer reads.

    A product of two activations reads one as I and one as W; a tensor that has the size of one alone is that one,
    and of two that have both the first is I.
    """
    edges = list(graph.digraph.in_edges(layer.name, data=True))
    sizes = {operand: layer.elements(operand) for operand in ("I", "W")}
    for index, (source, _, data) in enumerate(edges):
        operand: Operand = "I"
        if layer.kind == "matmul" and len(edges) > 1:
            elements = data["tensor"].elements
            alike = elements == sizes["I"], elements == sizes["W"]
            operand = "W" if (alike == (False, True) or (alike[0] == alike[1] and index == 1)) else "I"
        yield source, operand


def _asked(graph: LayerGraph) -> dict[str, tuple[Read, ...]]:
    """Node -> the layers that compute with its output, found from the last node to the first."""
    found: dict[str, tuple[Read, ...]] = {}
    operands = {(source, layer.name): operand for layer in graph.layers for source, operand in inputs(graph, layer)}
    for node in reversed(graph.nodes):
        reads: dict[Read, None] = {}
        for reader in graph.digraph.successors(node.name):
            other = graph.digraph.nodes[reader]["op"]
            if isinstance(other, Layer):
                reads[reader, operands[node.name, reader]] = None
            elif isinstance(other, VectorOp):
                reads |= dict.fromkeys(found[reader])
        found[node.name] = tuple(reads)
    return found


def _maker(graph: LayerGraph, name: str) -> str:
    node = graph.digraph.nodes[name]["op"]
    if isinstance(node, Layer):
        return name
    return graph.owners[name] if isinstance(node, VectorOp) else ""


def _is_port(graph: LayerGraph, name: str) -> bool:
    return isinstance(graph.digraph.nodes[name]["op"], Port)
