"""How much activation memory a network needs at once: tensors live from their layer to their last reader.

Layers run in topological order. What streams from one operation into the next is never whole in memory: a chain of
convolution, batch norm and activation holds one tensor, and a pool fused behind it only what the pool leaves
(`hwmodel.network.streams`). Of a concatenation in place the pieces are alive, until it is read. A stream writes its
tensors from its first operation on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwmodel.network.graph import LayerGraph
from hwmodel.network.streams import Streams
from hwmodel.network.tensors import StoredTensor, stored_tensors


@dataclass(frozen=True, kw_only=True)
class Liveness:
    """What is stored while each node runs.

    Attributes:
        tensors: in order of birth.
        steps: per node in execution order, indices of the tensors that are alive.
    """

    tensors: tuple[StoredTensor, ...]
    steps: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, graph: LayerGraph, streams: Streams | None = None) -> Liveness:
        """Liveness of the tensors of a graph.

        Args:
            graph: in the order in which it runs.
            streams: of the graph; None: everything is fused that can be.
        """
        tensors = stored_tensors(graph, Streams.of(graph) if streams is None else streams)
        born: dict[int, list[int]] = {}
        dying: dict[int, list[int]] = {}
        for index, tensor in enumerate(tensors):
            born.setdefault(tensor.birth, []).append(index)
            dying.setdefault(tensor.death, []).append(index)
        steps: list[tuple[int, ...]] = []
        alive: dict[int, None] = {}
        for step in range(len(graph.nodes)):
            alive |= dict.fromkeys(born.get(step, ()))
            steps.append(tuple(alive))
            for index in dying.get(step, ()):
                del alive[index]
        return cls(tensors=tensors, steps=tuple(steps))

    def peak_bits(self, bits: Sequence[int]) -> int:
        """Largest sum of elements * width over the steps [bit].

        Args:
            bits: width of each tensor [bit].
        """
        sizes = [tensor.elements * width for tensor, width in zip(self.tensors, bits, strict=True)]
        return max((sum(sizes[index] for index in alive) for alive in self.steps), default=0)
