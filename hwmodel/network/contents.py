"""What a graph holds beside its nodes: tensors with their live ranges, weights with the calls that read them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwmodel.network.graph import LayerGraph
from hwmodel.network.stored import weight_readers


@dataclass(frozen=True, kw_only=True)
class LiveTensor:
    """A tensor between the nodes.

    Attributes:
        name: that the edges give it.
        shape: as the node wrote it.
        source: the node that writes it.
        readers: the nodes that read it, in the order of execution.
        first, last: positions in `graph.nodes` of the writer and of the last reader: alive from one to the other.
    """

    name: str
    shape: tuple[int, ...]
    source: str
    readers: tuple[str, ...]
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A stored weight.

    Attributes:
        module: that owns it.
        parameter: its name there; "" where the layer has a single one and no name for it.
        shape: (G, K, C, FY, FX) of the layers that read it.
        calls: names of the layers that read it, in the order of execution; several where a module runs again.
        parameter_elements: as of `Layer`: what is stored, where the layers gather their `shape` from it.
    """

    module: str
    parameter: str
    shape: tuple[int, ...]
    calls: tuple[str, ...]
    parameter_elements: int | None = None

    @property
    def elements(self) -> int:
        """That are stored."""
        return math.prod(self.shape) if self.parameter_elements is None else self.parameter_elements


def live_tensors(graph: LayerGraph) -> tuple[LiveTensor, ...]:
    """The tensors on the edges of a graph, in the order in which they are written."""
    position = {node.name: index for index, node in enumerate(graph.nodes)}
    readers: dict[tuple[str, str], list[str]] = {}
    shapes: dict[tuple[str, str], tuple[int, ...]] = {}
    for source in position:
        for _, reader, data in graph.digraph.out_edges(source, data=True):
            key = (source, data["tensor"].name)
            readers.setdefault(key, []).append(reader)
            shapes[key] = data["tensor"].shape
    return tuple(
        LiveTensor(
            name=name,
            shape=shapes[source, name],
            source=source,
            readers=tuple(sorted(found, key=position.__getitem__)),
            first=position[source],
            last=max(position[reader] for reader in found),
        )
        for (source, name), found in readers.items()
    )


def stored_weights(graph: LayerGraph) -> tuple[Weight, ...]:
    """The weights of the layers, each once, with the module that owns it and the calls that read it."""
    return tuple(
        Weight(
            module=module,
            parameter=parameter,
            shape=layers[0].w_shape,
            calls=tuple(layer.name for layer in layers),
            parameter_elements=layers[0].parameter_elements,
        )
        for (module, parameter), layers in weight_readers(graph.layers).items()
    )
