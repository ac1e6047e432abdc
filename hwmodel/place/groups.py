"""Groups of layers that may run depth first, in stripes of rows, and what each stripe height asks of the chip.

A *group* is a run of 2 to `MOST_LAYERS` convolutions, one after the other in the order of execution with the
operations in their streams and nothing else between them, in which every tensor but the last is stored for the next
layer alone. In n stripes, layer l computes ceil(OY_l / n) rows at a time, and what remains at the end. Of a tensor
inside the group a *line buffer* of

    rows = min((ceil(OY / n) - 1) * stride + (FY - 1) * dilation + 1, rows of the tensor)

is kept, by the layer that reads it: the window of one stripe, of which the next one finds its halo there. Nothing
is computed twice. While the pipeline fills, a layer is some rows ahead of its even share, and at its end as many
behind; the line buffer suffices where every layer makes just what the next one still lacks. The first layer reads
the halo between two stripes again where its input lies.

Of a group whose layers have a pool between them the rows follow from the shapes of the tensors; what the windows of
the pool need between rows is not counted, as elsewhere (`hwmodel.network.streams`).

Heights are powers of two of the last layer's rows (`HEIGHTS`), so at most eight numbers of stripes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Layer
from hwmodel.network.streams import Streams
from hwmodel.network.stripes import window
from hwmodel.network.tensors import StoredTensor

#: Layers of the longest group.
MOST_LAYERS = 8
#: Rows that the last layer of a group may make at a time.
HEIGHTS = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, kw_only=True)
class Stripes:
    """A group in so many stripes.

    Attributes:
        count: of the stripes.
        rows: output rows of a stripe, per layer.
        lines: elements of the line buffer, per tensor inside.
    """

    count: int
    rows: tuple[int, ...]
    lines: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Layers that may run depth first.

    Attributes:
        first, last: indices of its layers.
        begin, end: positions of its nodes in the order of execution, the operations behind its last layer included.
        inner: indices of the tensors inside, in order.
        output: index of the last layer's tensor; None where nobody reads it.
        stripes: numbers of stripes to try, the tallest stripes last.
    """

    first: int
    last: int
    begin: int
    end: int
    inner: tuple[int, ...]
    output: int | None
    stripes: tuple[Stripes, ...]


@dataclass(frozen=True, kw_only=True)
class _Member:
    """One layer that may stand in a group.

    Attributes:
        layer: the layer.
        begin, end: positions of the nodes of its stream.
        output: index of its one stored tensor; None where nobody reads it.
        feeds: index of the layer that alone reads it, and directly; None where there is no such.
        rows: of that tensor as the layer reads it.
    """

    layer: Layer
    begin: int
    end: int
    output: int | None
    feeds: int | None
    rows: int


def groups_of(graph: LayerGraph, streams: Streams, tensors: Sequence[StoredTensor]) -> tuple[Group, ...]:
    """All groups of a graph, by their first layer.

    Args:
        graph: in the order in which it runs.
        streams: of it.
        tensors: its stored ones.
    """
    members = [_member(graph, layer, streams, tensors) for layer in graph.layers]
    return tuple(
        group
        for first in range(len(members))
        for run in _runs(members, first)
        if (group := _group(first, run, tensors)).stripes
    )


def _runs(members: Sequence[_Member | None], first: int) -> Iterator[list[_Member]]:
    """The runs of two or more members that begin at one."""
    run: list[_Member] = []
    for index in range(first, min(first + MOST_LAYERS, len(members))):
        member = members[index]
        if member is None:
            return
        run.append(member)
        if len(run) > 1:
            yield list(run)
        if member.feeds != index + 1 or (after := members[index + 1]) is None or after.begin != member.end + 1:
            return


def _group(first: int, run: Sequence[_Member], tensors: Sequence[StoredTensor]) -> Group:
    inner = tuple(member.output for member in run[:-1] if member.output is not None)
    rows = run[-1].layer.dims.OY
    counts = dict.fromkeys(math.ceil(rows / height) for height in HEIGHTS if height < rows)
    return Group(
        first=first,
        last=first + len(run) - 1,
        begin=run[0].begin,
        end=run[-1].end,
        inner=inner,
        output=run[-1].output,
        stripes=tuple(_stripes(run, [tensors[n].elements for n in inner], count) for count in counts),
    )


def _stripes(run: Sequence[_Member], elements: Sequence[int], count: int) -> Stripes:
    rows = tuple(math.ceil(member.layer.dims.OY / count) for member in run)
    lines = tuple(
        size // made.rows * min(window(reader.layer, height), made.rows)
        for (made, reader), height, size in zip(itertools.pairwise(run), rows[1:], elements, strict=True)
    )
    return Stripes(count=count, rows=rows, lines=lines)


def _member(graph: LayerGraph, layer: Layer, streams: Streams, tensors: Sequence[StoredTensor]) -> _Member | None:
    """A convolution of several rows whose stream runs without a break and stores one tensor, no more than made."""
    positions = [n for n, node in enumerate(graph.nodes) if streams.heads.get(node.name) == layer.name]
    (name, elements), *others = streams.stored[layer.name]
    if layer.kind != "conv" or layer.dims.OY == 1 or graph.digraph.in_degree(layer.name) != 1:
        return None
    if others or elements > streams.made[layer.name] or positions[-1] - positions[0] >= len(positions):
        return None
    output = next((n for n, tensor in enumerate(tensors) if tensor.name == name), None)
    feeds = _alone(graph, layer, name)
    rows = 0 if feeds is None else graph.digraph.edges[name, graph.layers[feeds].name]["tensor"].shape[2]
    return _Member(
        layer=layer, begin=positions[0], end=positions[-1], output=output, feeds=feeds, rows=rows
    )  # fmt: skip


def _alone(graph: LayerGraph, layer: Layer, name: str) -> int | None:
    """Index of the layer that alone reads a tensor, row by row as it is made: no reshaping lies between them."""
    readers = list(graph.digraph.out_edges(name, data=True))
    if len(readers) != 1 or not isinstance(reader := graph.digraph.nodes[readers[0][1]]["op"], Layer):
        return None
    shape, made, read = readers[0][2]["tensor"].shape, layer.dims, reader.dims
    if len(shape) != 4 or shape[:2] != (made.B, made.G * made.K) or shape[:2] != (read.B, read.G * read.C):
        return None
    for axis, outputs in ((0, made.OY), (1, made.OX)):
        stored = shape[2 + axis]
        reached = reader.i_shape[3 + axis] - sum(reader.padding[axis])
        if stored > outputs or not reached <= stored < reached + reader.stride[axis]:
            return None
    return graph.layers.index(reader)
