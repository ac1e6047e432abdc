"""Concatenations that need no copy: their pieces are written side by side in the first place.

A tensor lies row-major, sample by sample, so along its first axis, or the one behind the batch (channels of an
image, tokens of a sequence), a piece is one run of the whole per sample, and whoever makes it can write it there.
The tracer names the `pieces` of such concatenations. Each lies in place where

- the network makes every piece: an input of the network lies where it comes in;
- no piece stands in it twice;
- it agrees with those before it: of two concatenations with a piece in common one is a run of the other, as in
  DenseNet, where each is the beginning of the next. Otherwise the later one is a copy.

Concatenations of concatenations are one. Readers of a piece or of the whole read it where it lies, and pieces may
have widths of their own.

Source: Pleiss et al., Memory-efficient implementation of DenseNets, 2017 (shared storage of concatenations); Vela,
the compiler of Arm's Ethos-U, writes the inputs of a concatenation at an offset in its output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hwmodel.network.nodes import Port, VectorOp

if TYPE_CHECKING:
    from hwmodel.network.graph import LayerGraph


def in_place(graph: LayerGraph) -> Mapping[str, tuple[str, ...]]:
    """Concatenation that needs no copy -> the nodes whose outputs lie in it, in order."""
    found: dict[str, tuple[str, ...]] = {}
    holding: dict[str, list[tuple[str, ...]]] = {}
    for op in graph.vector_ops:
        if op.kind != "concat" or op.fused or not _is_whole(graph, op):
            continue
        parts = tuple(part for piece in op.pieces for part in found.get(piece, (piece,)))
        others = [other for part in parts for other in holding.get(part, ())]
        if len(set(parts)) < len(parts) or not all(_nested(parts, other) for other in others):
            continue
        found[op.name] = parts
        for part in parts:
            holding.setdefault(part, []).append(parts)
    return found


def _is_whole(graph: LayerGraph, op: VectorOp) -> bool:
    """The pieces are what the operation reads, the network makes them, and nothing else is in its output."""
    parents = {source: data["tensor"].elements for source, _, data in graph.digraph.in_edges(op.name, data=True)}
    return (
        bool(op.pieces)
        and set(op.pieces) == set(parents)
        and sum(parents[piece] for piece in op.pieces) == op.elements_out
        and not any(isinstance(graph.digraph.nodes[piece]["op"], Port) for piece in op.pieces)
    )


def _nested(first: Sequence[str], second: Sequence[str]) -> bool:
    """The shorter is a run of the longer."""
    short, long = sorted((first, second), key=len)
    start = long.index(short[0]) if short[0] in long else 0
    return tuple(long[start : start + len(short)]) == tuple(short)
