"""Operations without MACs: traffic to the outermost memory, and cycles of the vector unit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from hwmodel.chip.accelerator import Accelerator
from hwmodel.nest.task import Task
from hwmodel.network.choice import FLOAT_BITS
from hwmodel.network.graph import LayerGraph, VectorOp
from hwmodel.network.layer import Layer
from hwmodel.network.streams import Streams


@dataclass(frozen=True, kw_only=True)
class VectorCost:
    """Cost of the vector operations on one layer's output; adds up.

    Attributes:
        cycles: beyond those of the layer.
        traffic_bits: to and from the outermost memory [bit].
        memory_pj, compute_pj: energy [pJ].
        unwritten: fraction of the layer's finished outputs that memory never sees: a pool behind it reduces them.
    """

    cycles: int = 0
    traffic_bits: float = 0.0
    memory_pj: float = 0.0
    compute_pj: float = 0.0
    unwritten: Fraction = Fraction(0)

    def __add__(self, other: VectorCost) -> VectorCost:
        return VectorCost(
            cycles=self.cycles + other.cycles,
            traffic_bits=self.traffic_bits + other.traffic_bits,
            memory_pj=self.memory_pj + other.memory_pj,
            compute_pj=self.compute_pj + other.compute_pj,
            unwritten=self.unwritten + other.unwritten,
        )


def fuses_pools(accelerator: Accelerator, *, fuse: bool = True) -> bool:
    """Whether pools join the stream behind a layer here; on GPUs and CPUs a pool is a kernel of its own.

    Source: the epilogues of cuDNN's and oneDNN's convolutions are element by element.
    """
    return fuse and accelerator.roofline is None


def vector_costs(graph: LayerGraph, accelerator: Accelerator, *, fuse: bool = True) -> dict[str, VectorCost]:
    """Layer name -> cost of the vector operations that it owns, at the width of its outputs.

    An operation whose inputs no layer made (before the first layer) belongs to the first layer.

    Args:
        graph, accelerator: the network, and what it runs on.
        fuse: pools may be fused with what feeds them.
    """
    layers = {layer.name: layer for layer in graph.layers}
    if not layers or not accelerator.levels:
        return {}
    first = graph.layers[0].name
    streams = Streams.of(graph, pools=fuses_pools(accelerator, fuse=fuse))
    costs: dict[str, VectorCost] = {}
    for op in graph.vector_ops:
        owner = layers[graph.owners[op.name] or first]
        width = Task.of(owner, accelerator).widths.o
        streamed, stored = streamed_elements(graph, streams, op), streams.stored.get(op.name)
        cost = vector_cost(op, streamed, stored, width, accelerator, folded=is_folded(graph, streams, op))
        costs[owner.name] = costs.get(owner.name, VectorCost()) + cost
    for name, layer in layers.items():
        made, stored = streams.made[name], streams.stored[name]
        if stored != made:
            width = Task.of(layer, accelerator).widths.o
            costs[name] = costs.get(name, VectorCost()) + stream_cost(made, stored, width, accelerator)
    return costs


def streamed_elements(graph: LayerGraph, streams: Streams, op: VectorOp) -> int:
    """Input elements of an operation that arrive straight from its stream, without touching memory."""
    arriving = [
        int(data["tensor"].elements)
        for parent, _, data in graph.digraph.in_edges(op.name, data=True)
        if (parent, op.name) in streams.edges
    ]
    return min(op.elements_in, sum(arriving))


def is_folded(graph: LayerGraph, streams: Streams, op: VectorOp) -> bool:
    """The scale and the shift of a batch norm are in the weights and biases of the layer that alone feeds it.

    Only norms by fixed statistics are `fused`: the others need their whole input first.
    """
    if op.kind != "norm" or not op.fused:
        return False
    layers = [graph.digraph.nodes[parent]["op"] for parent in graph.digraph.predecessors(op.name)]
    return any(
        isinstance(layer, Layer)
        and layer.kind != "matmul"
        and layer.name not in streams.kept
        and graph.digraph.out_degree(layer.name) == 1
        for layer in layers
    )


def vector_cost(
    op: VectorOp,
    streamed: int,
    stored: int | None,
    width: int,
    accelerator: Accelerator,
    *,
    folded: bool = False,
) -> VectorCost:
    """Cost of one operation at one width.

    A fused operation works on outputs as they leave the array: it reads its other inputs, writes
    nothing itself, and its arithmetic hides behind the layer. The others read and write everything.
    Parameters are read once, as floats.

    Args:
        op: the operation.
        streamed: input elements that arrive straight from its stream.
        stored: elements that it writes where it starts a stream; None where it is in one.
        width: of its elements [bit].
        accelerator: with an outermost memory.
        folded: its parameters are in those of the layer before it.
    """
    reads = (op.elements_in - streamed) * width + (0 if folded else op.parameters * FLOAT_BITS)
    operations = op.elements_out * op.ops_per_element
    compute = 0.0 if stored is None else operations / accelerator.vector.lanes
    launch = 0.0 if stored is None else accelerator.vector.launch_cycles
    moved = _traffic(reads, (stored or 0) * width, compute, launch, accelerator)
    return replace(moved, compute_pj=operations * accelerator.vector.pj_per_op)


def stream_cost(made: int, stored: int, width: int, accelerator: Accelerator) -> VectorCost:
    """What the stream behind a layer writes beyond the outputs that the layer makes, or leaves unwritten of them.

    Args:
        made: elements that the layer makes.
        stored: elements of all tensors of its stream that are written.
        width: of these elements [bit].
        accelerator: with an outermost memory.
    """
    if stored < made:
        return VectorCost(unwritten=Fraction(made - stored, made))
    return _traffic(0, (stored - made) * width, 0.0, 0.0, accelerator)


def _traffic(reads: int, writes: int, compute: float, launch: float, accelerator: Accelerator) -> VectorCost:
    """So many bits through the port of the outermost memory, beside so many cycles of computation."""
    memory = accelerator.levels[-1].memories[0]
    read_cycles = reads / (memory.read_bits_per_cycle or math.inf)
    write_cycles = writes / (memory.write_bits_per_cycle or math.inf)
    port = read_cycles + write_cycles if memory.shared_port else max(read_cycles, write_cycles)
    return VectorCost(
        cycles=math.ceil(max(port, compute) + launch),
        traffic_bits=reads + writes,
        memory_pj=reads * memory.read_pj_per_bit + writes * memory.write_pj_per_bit,
    )
