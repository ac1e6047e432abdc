"""How much activation memory a network needs at once: tensors live from their layer to their last reader.

Layers run in topological order. What streams from one operation into the next is never whole in memory: a chain of
convolution, batch norm and activation holds one tensor, and a pool fused behind it only what the pool leaves
(`hwmodel.network.streams`). A stream writes its tensors from its first operation on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwmodel.network.graph import LayerGraph, Port
from hwmodel.network.layer import Layer
from hwmodel.network.streams import Streams


@dataclass(frozen=True, kw_only=True)
class Liveness:
    """Elements alive while each node runs.

    Attributes:
        steps: per node in execution order, module whose width its tensors have ("" = native) -> elements.
    """

    steps: tuple[Mapping[str, int], ...]

    @classmethod
    def of(cls, graph: LayerGraph, *, pools: bool = True) -> Liveness:
        """Liveness of the tensors of a graph.

        Args:
            graph: in the order in which it runs.
            pools: pools may be fused with what feeds them (see `hwmodel.network.streams`).
        """
        nodes = [node.name for node in graph.nodes]
        position = {name: index for index, name in enumerate(nodes)}
        streams = Streams.of(graph, pools=pools)
        births: dict[str, int] = {}
        deaths: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for name in nodes:
            readers = list(graph.digraph.out_edges(name, data=True))
            if not readers or name not in streams.kept:
                continue
            births[name] = position[streams.heads.get(name, name)]
            sizes[name] = max(data["tensor"].elements for _, _, data in readers)
            deaths[name] = max(position[reader] for _, reader, _ in readers)
        owners = {name: _width_owner(graph, name) for name in births}
        born: dict[int, list[str]] = {}
        dying: dict[int, list[str]] = {}
        for name, birth in births.items():
            born.setdefault(birth, []).append(name)
            dying.setdefault(deaths[name], []).append(name)
        steps: list[Mapping[str, int]] = []
        alive: dict[str, int] = {}
        for index in range(len(nodes)):
            for name in born.get(index, ()):
                alive[owners[name]] = alive.get(owners[name], 0) + sizes[name]
            steps.append(dict(alive))
            for name in dying.get(index, ()):
                alive[owners[name]] -= sizes[name]
                if not alive[owners[name]]:  # what is dead is not walked over in every later step
                    del alive[owners[name]]
        return cls(steps=tuple(steps))

    def peak_bits(self, widths: Mapping[str, int], native: int) -> int:
        """Largest sum of elements * width over the steps [bit].

        Args:
            widths: module -> width of its outputs [bit].
            native: width of tensors that no module made [bit].
        """
        return max(
            (sum(count * widths.get(module, native) for module, count in alive.items()) for alive in self.steps),
            default=0,
        )


def _width_owner(graph: LayerGraph, name: str) -> str:
    """Module that sets the width of a node's output; an input of the network has that of its first reader."""
    node = graph.digraph.nodes[name]["op"]
    if isinstance(node, Layer):
        return node.module
    if isinstance(node, Port):
        readers = [graph.digraph.nodes[r]["op"] for r in graph.digraph.successors(name)]
        return next((r.module for r in readers if isinstance(r, Layer)), "")
    owner = graph.owners[name]
    return graph.layer(owner).module if owner else ""
