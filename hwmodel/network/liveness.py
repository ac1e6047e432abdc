"""How much activation memory a network needs at once: tensors live from their layer to their last reader.

Layers run in topological order. A fused operation works in place on the output that streams into it when
nothing else reads that output, so a chain of convolution, batch norm and activation holds one tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwmodel.network.graph import LayerGraph, Port, VectorOp
from hwmodel.network.layer import Layer


@dataclass(frozen=True, kw_only=True)
class Liveness:
    """Elements alive while each node runs.

    Attributes:
        steps: per node in execution order, module whose width its tensors have ("" = native) -> elements.
    """

    steps: tuple[Mapping[str, int], ...]

    @classmethod
    def of(cls, graph: LayerGraph) -> Liveness:
        """Liveness of the tensors of a graph."""
        nodes = [node.name for node in graph.nodes]
        position = {name: index for index, name in enumerate(nodes)}
        in_place = {node.name: source for node in graph.vector_ops if (source := _overwritten(graph, node))}
        births: dict[str, int] = {}
        deaths: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for name in nodes:
            readers = list(graph.digraph.out_edges(name, data=True))
            if not readers:
                continue
            root = name
            while root in in_place:
                root = in_place[root]
            births.setdefault(root, position[name])
            sizes[root] = max(sizes.get(root, 0), readers[0][2]["tensor"].elements)
            deaths[root] = max(deaths.get(root, 0), *(position[reader] for _, reader, _ in readers))
        owners = {root: _width_owner(graph, root) for root in births}
        born: dict[int, list[str]] = {}
        dying: dict[int, list[str]] = {}
        for root, birth in births.items():
            born.setdefault(birth, []).append(root)
            dying.setdefault(deaths[root], []).append(root)
        steps: list[Mapping[str, int]] = []
        alive: dict[str, int] = {}
        for index in range(len(nodes)):
            for root in born.get(index, ()):
                alive[owners[root]] = alive.get(owners[root], 0) + sizes[root]
            steps.append(dict(alive))
            for root in dying.get(index, ()):
                alive[owners[root]] -= sizes[root]
                if not alive[owners[root]]:  # what is dead is not walked over in every later step
                    del alive[owners[root]]
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


def _overwritten(graph: LayerGraph, op: VectorOp) -> str:
    """The node whose output a fused operation may overwrite; "" where there is none."""
    if not op.fused:
        return ""
    owner = graph.owners[op.name]
    for parent in graph.digraph.predecessors(op.name):
        sole = graph.digraph.out_degree(parent) == 1
        if sole and owner and owner in (parent, graph.owners.get(parent)):
            return str(parent)
    return ""


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
