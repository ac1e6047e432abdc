"""Operations without MACs: traffic to the memories in which their tensors lie, and cycles of the vector unit.

An operation that works on outputs as they leave the array (see `hwmodel.network.streams`) reads its other inputs,
writes nothing itself, and its arithmetic hides behind the layer. The others read and write everything. A layer, or
an operation that starts a stream, writes the tensors of its stream that are stored; of a layer's the first one is
its own outputs, as its mapping counts them, and the others are written beside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hwmodel.chip.accelerator import Accelerator, Memory
from hwmodel.network.choice import FLOAT_BITS
from hwmodel.network.graph import LayerGraph, VectorOp
from hwmodel.network.layer import Layer
from hwmodel.network.numbers import round_up
from hwmodel.network.streams import POOLS, Streams

#: A tensor that no table of stored ones knows: it has the width of the owner's outputs, and lies outside.
UNKNOWN = -1
#: Learned parameters: floats of `FLOAT_BITS`, outside.
LEARNED = -2


@dataclass(frozen=True, kw_only=True)
class VectorWork:
    """What one operation moves and computes, whatever the widths.

    Attributes:
        owner: index of the layer that it is priced with.
        step: position of its node in the order of execution.
        reads, writes: (index of a stored tensor, UNKNOWN or LEARNED, elements).
        operations: on elements.
        cycles: that they take the vector unit.
        waits: it is a pass of its own: its arithmetic and its launch take time.
    """

    owner: int
    step: int
    reads: tuple[tuple[int, int], ...]
    writes: tuple[tuple[int, int], ...]
    operations: float
    cycles: float
    waits: bool

    @property
    def moves(self) -> bool:
        """It touches memory."""
        return bool(self.reads or self.writes)


@dataclass(frozen=True, kw_only=True)
class VectorCost:
    """Cost of the vector operations on one layer's output; adds up.

    Attributes:
        cycles: beyond those of the layer.
        outer_bits, inner_bits: to and from the outermost and the resident memory [bit].
        outer_pj, inner_pj: energy of that traffic [pJ].
        compute_pj: energy of the arithmetic [pJ].
    """

    cycles: int = 0
    outer_bits: float = 0.0
    outer_pj: float = 0.0
    inner_bits: float = 0.0
    inner_pj: float = 0.0
    compute_pj: float = 0.0

    def __add__(self, other: VectorCost) -> VectorCost:
        return VectorCost(
            cycles=self.cycles + other.cycles,
            outer_bits=self.outer_bits + other.outer_bits,
            outer_pj=self.outer_pj + other.outer_pj,
            inner_bits=self.inner_bits + other.inner_bits,
            inner_pj=self.inner_pj + other.inner_pj,
            compute_pj=self.compute_pj + other.compute_pj,
        )


def fuses(accelerator: Accelerator, *, fuse: bool = True) -> bool:
    """Whether pools join the stream behind a layer here, and concatenations are made in place.

    On GPUs and CPUs both are kernels of their own, as PyTorch runs them, on which the rooflines are measured: the
    epilogues of cuDNN's and oneDNN's convolutions are element by element, and `torch.cat` copies.
    """
    return fuse and accelerator.roofline is None


def fuses_attention(accelerator: Accelerator, *, fuse: bool = True) -> bool:
    """Whether attentions run as one kernel each: on GPUs and CPUs, as every library deployed there has it.

    The arrays of other chips have no path from one product through a softmax into the next.

    Source: Dao et al., FlashAttention, NeurIPS 2022; torch.nn.functional.scaled_dot_product_attention.
    """
    return fuse and accelerator.roofline is not None


def unit_cycles(op: VectorOp, shape: Sequence[int], accelerator: Accelerator) -> float:
    """Cycles of the vector unit for an operation.

    At its `lanes`, or by its kind. An array that works block by block does these operations too: their outputs fill
    whole bricks of channels, those of pools, which go through the multipliers, whole units of rows and columns.

    Args:
        op: the operation.
        shape: of its output, (B, C, rows, columns) or (B, C); others have no channels to fill up.
        accelerator: with its vector unit.
    """
    rates = dict(accelerator.vector.cycles)
    operations = op.elements_out * op.ops_per_element
    if op.kind not in rates:
        return operations / accelerator.vector.lanes
    steps = accelerator.timing.outputs_at_once(accelerator.outermost.brick, multiplied=op.kind in POOLS)
    if steps is not None and len(shape) in (2, 4):
        filled = math.prod(round_up(size, step) for size, step in zip(shape, steps, strict=False))
        operations = operations * filled / math.prod(shape)
    return operations * rates[op.kind]


def vector_works(
    graph: LayerGraph, streams: Streams, index: dict[str, int], accelerator: Accelerator
) -> tuple[VectorWork, ...]:
    """The work of every vector operation and of every further tensor of a layer's stream, in execution order.

    An operation whose inputs no layer made (before the first layer) belongs to the first layer.

    Args:
        graph: with at least one layer.
        streams: of the graph.
        index: node -> index of its stored tensor.
        accelerator: whose vector unit does it.
    """
    layers = {layer.name: n for n, layer in enumerate(graph.layers)}
    works: list[VectorWork] = []
    for step, node in enumerate(graph.nodes):
        if isinstance(node, VectorOp):
            owner = layers.get(graph.owners[node.name], 0)
            works.append(_work(graph, streams, index, accelerator, node, owner, step))
        elif node.name in layers:
            first, *others = streams.stored[node.name] or (("", 0),)
            beyond = [(first[0], first[1] - streams.made[node.name])] if first[1] > streams.made[node.name] else []
            writes = tuple((index.get(name, UNKNOWN), elements) for name, elements in (*beyond, *others))
            owner = layers[node.name]
            if writes:
                works.append(
                    VectorWork(
                        owner=owner, step=step, reads=(), writes=writes, operations=0.0, cycles=0.0, waits=False
                    )
                )
    return tuple(works)


def _work(
    graph: LayerGraph,
    streams: Streams,
    index: dict[str, int],
    accelerator: Accelerator,
    op: VectorOp,
    owner: int,
    step: int,
) -> VectorWork:
    left = op.elements_in
    reads: list[tuple[int, int]] = []
    edges = list(graph.digraph.in_edges(op.name, data=True))
    for source, _, data in edges:
        if (source, op.name) in streams.edges:
            left -= min(left, data["tensor"].elements)
    for source, _, data in edges:
        if (source, op.name) in streams.edges or op.name in streams.parts:
            continue
        for part, size in streams.parts.get(source, ((source, data["tensor"].elements),)):
            elements = min(left, size)
            reads += [(index.get(part, UNKNOWN), elements)] if elements else []
            left -= elements
    if left and op.name not in streams.parts:
        reads.append((UNKNOWN, left))
    if op.parameters and not is_folded(graph, streams, op):
        reads.append((LEARNED, op.parameters))
    starts = streams.starts(op.name) and op.name not in streams.parts
    shape = next((data["tensor"].shape for *_, data in graph.digraph.out_edges(op.name, data=True)), ())
    return VectorWork(
        owner=owner,
        step=step,
        reads=tuple(reads),
        writes=tuple((index.get(n, UNKNOWN), e) for n, e in streams.stored[op.name]) if starts else (),
        operations=op.elements_out * op.ops_per_element,
        cycles=unit_cycles(op, shape, accelerator),
        waits=starts,
    )


def is_folded(graph: LayerGraph, streams: Streams, op: VectorOp) -> bool:
    """The scale and the shift of a batch norm are in the weights and biases of the layer that alone feeds it.

    Only norms by fixed statistics are `fused`: the others need their whole input first.
    """
    if op.kind != "norm" or not op.fused:
        return False
    feeding = [graph.digraph.nodes[parent]["op"] for parent in graph.digraph.predecessors(op.name)]
    return any(
        isinstance(layer, Layer)
        and layer.kind != "matmul"
        and layer.name not in streams.kept
        and graph.digraph.out_degree(layer.name) == 1
        for layer in feeding
    )


def width_of(tensor: int, bits: Sequence[int], own_bits: int) -> int:
    """Width of what an operation moves, by what stands in its work [bit]."""
    return bits[tensor] if tensor >= 0 else FLOAT_BITS if tensor == LEARNED else own_bits


def vector_cost(
    work: VectorWork, bits: Sequence[int], inside: Sequence[bool], own_bits: int, accelerator: Accelerator
) -> VectorCost:
    """Cost of one operation.

    Args:
        work: the operation.
        bits: width of every stored tensor [bit].
        inside: whether it lies in the resident memory.
        own_bits: of tensors that are not known: width of the owner's outputs [bit].
        accelerator: with an outermost memory.
    """
    moved = [[0, 0], [0, 0]]  # [outermost, resident][read, written]
    for way, items in enumerate((work.reads, work.writes)):
        for tensor, elements in items:
            moved[tensor >= 0 and inside[tensor]][way] += elements * width_of(tensor, bits, own_bits)
    outer, inner = accelerator.outermost, accelerator.resident("I")
    port = _port_cycles(outer, *moved[0])
    if inner is not None:
        port = max(port, _port_cycles(inner, *moved[1]))
    compute = work.cycles if work.waits else 0.0
    launch = accelerator.vector.launch_cycles if work.waits else 0.0
    return VectorCost(
        cycles=math.ceil(max(port, compute) + launch),
        outer_bits=float(sum(moved[0])),
        outer_pj=moved[0][0] * outer.read_pj_per_bit + moved[0][1] * outer.write_pj_per_bit,
        inner_bits=float(sum(moved[1])),
        inner_pj=0.0 if inner is None
        else moved[1][0] * inner.read_pj_per_bit + moved[1][1] * inner.write_pj_per_bit,
        compute_pj=work.operations * accelerator.vector.pj_per_op,
    )  # fmt: skip


def _port_cycles(memory: Memory, reads: int, writes: int) -> float:
    read_cycles = reads / (memory.read_bits_per_cycle or math.inf)
    write_cycles = writes / (memory.write_bits_per_cycle or math.inf)
    return memory.busy(read_cycles, write_cycles)
