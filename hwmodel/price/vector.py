"""Operations without MACs: traffic to the outermost memory, and cycles of the vector unit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwmodel.chip.accelerator import Accelerator
from hwmodel.nest.task import Task
from hwmodel.network.graph import LayerGraph, VectorOp


@dataclass(frozen=True, kw_only=True)
class VectorCost:
    """Cost of the vector operations on one layer's output; adds up.

    Attributes:
        cycles: beyond those of the layer.
        traffic_bits: to and from the outermost memory [bit].
        memory_pj, compute_pj: energy [pJ].
    """

    cycles: int = 0
    traffic_bits: float = 0.0
    memory_pj: float = 0.0
    compute_pj: float = 0.0

    def __add__(self, other: VectorCost) -> VectorCost:
        return VectorCost(
            cycles=self.cycles + other.cycles,
            traffic_bits=self.traffic_bits + other.traffic_bits,
            memory_pj=self.memory_pj + other.memory_pj,
            compute_pj=self.compute_pj + other.compute_pj,
        )


def vector_costs(graph: LayerGraph, accelerator: Accelerator) -> dict[str, VectorCost]:
    """Layer name -> cost of the vector operations that it owns, at the width of its outputs.

    An operation whose inputs no layer made (before the first layer) belongs to the first layer.
    """
    layers = {layer.name: layer for layer in graph.layers}
    if not layers or not accelerator.levels:
        return {}
    first = graph.layers[0].name
    costs: dict[str, VectorCost] = {}
    for op in graph.vector_ops:
        owner = layers[graph.owners[op.name] or first]
        width = Task.of(owner, accelerator).widths.o
        cost = vector_cost(op, streamed_elements(graph, op), width, accelerator)
        costs[owner.name] = costs.get(owner.name, VectorCost()) + cost
    return costs


def streamed_elements(graph: LayerGraph, op: VectorOp) -> int:
    """Input elements of a fused operation that arrive straight from its owner, without touching memory."""
    if not op.fused:
        return 0
    owner = graph.owners[op.name]
    for parent, _, data in graph.digraph.in_edges(op.name, data=True):
        if owner and owner in (parent, graph.owners.get(parent)):
            return min(op.elements_in, int(data["tensor"].elements))
    return 0


def vector_cost(op: VectorOp, streamed: int, width: int, accelerator: Accelerator) -> VectorCost:
    """Cost of one operation at one width.

    A fused operation works on outputs as they leave the array: it reads its other inputs, writes
    nothing more, and its arithmetic hides behind the layer. The others read and write everything.
    """
    memory = accelerator.levels[-1].memories[0]
    reads = (op.elements_in - streamed) * width
    writes = 0 if streamed else op.elements_out * width
    read_cycles = reads / (memory.read_bits_per_cycle or math.inf)
    write_cycles = writes / (memory.write_bits_per_cycle or math.inf)
    port = read_cycles + write_cycles if memory.shared_port else max(read_cycles, write_cycles)
    operations = op.elements_out * op.ops_per_element
    compute = 0.0 if streamed else operations / accelerator.vector.lanes
    launch = 0.0 if streamed else accelerator.vector.launch_cycles
    return VectorCost(
        cycles=math.ceil(max(port, compute) + launch),
        traffic_bits=reads + writes,
        memory_pj=reads * memory.read_pj_per_bit + writes * memory.write_pj_per_bit,
        compute_pj=operations * accelerator.vector.pj_per_op,
    )
