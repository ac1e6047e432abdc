"""A loop nest walked step by step: the oracle for `count_accesses`.

It knows no closed form. At every step of the temporal loops it places the tile of every instance as a set of
elements, and counts by the stated rule: a tile stays while only loops that do not index it advance; where the
innermost loop alone advances, only elements that were not there before are moved; any other step moves the tile.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from hwmodel.nest.mapping import Mapping
from hwmodel.network.layer import DIM_NAMES, REDUCTION, RELEVANT, Layer, Operand


@dataclass
class Nest:
    """Temporal and spatial loops (dim, bound, step) around a tile with these extents."""

    temporal: list[tuple[str, int, int]]
    spatial: list[tuple[str, int, int, str]]
    extents: dict[str, int]


def nest_around(mapping: Mapping, inner: int, level: int) -> Nest:
    """The loops around the tile of level `inner`, spatial ones up to `level`; inner to outer is walked once."""
    extents = dict.fromkeys(DIM_NAMES, 1)
    temporal, spatial, tile = [], [], dict(extents)
    for index, item in enumerate(mapping.levels):
        if index == inner + 1:
            tile = dict(extents)
        for loop in reversed(item.spatial):
            if inner < index <= level:
                spatial.append((loop.dim, loop.bound, extents[loop.dim], loop.axis))
            extents[loop.dim] *= loop.bound
        for loop in reversed(item.temporal):
            if index > inner and loop.bound > 1:
                temporal.append((loop.dim, loop.bound, extents[loop.dim]))
            extents[loop.dim] *= loop.bound
    return Nest(list(reversed(temporal)), spatial, tile if inner + 1 < len(mapping.levels) else extents)


def elements(layer: Layer, operand: Operand, start: dict[str, int], extents: dict[str, int]) -> frozenset:
    """Coordinates of the elements under a tile; the halo of I is contiguous."""
    if operand != "I":
        ranges = [range(start[d], start[d] + extents[d]) for d in DIM_NAMES if d in RELEVANT[operand]]
        return frozenset(itertools.product(*ranges))
    ranges = [range(start[d], start[d] + extents[d]) for d in ("B", "G", "C")]
    for axis, (out, filt) in enumerate((("OY", "FY"), ("OX", "FX"))):
        first = start[out] * layer.stride[axis] + start[filt] * layer.dilation[axis]
        last = (start[out] + extents[out] - 1) * layer.stride[axis]
        last += (start[filt] + extents[filt] - 1) * layer.dilation[axis]
        ranges.append(range(first, last + 1))
    return frozenset(itertools.product(*ranges))


def walk(layer: Layer, mapping: Mapping, operand: Operand, inner: int, level: int, *, diagonal: bool = True):
    """(words one instance moves, words revisited, words its parent moves) between level `inner` and `level`."""
    nest = nest_around(mapping, inner, level)
    moved = again = at_parent = 0
    seen: set = set()
    before: tuple[int, ...] | None = None
    held: frozenset = frozenset()
    for step in itertools.product(*(range(bound) for _, bound, _ in nest.temporal)):
        origin = dict.fromkeys(DIM_NAMES, 0)
        for index, (dim, _, size) in zip(step, nest.temporal, strict=True):
            origin[dim] += index * size
        advanced = [n for n, (a, b) in enumerate(zip(step, before or step, strict=True)) if a != b]
        stays = before is not None and not any(nest.temporal[n][0] in RELEVANT[operand] for n in advanced)
        tile = elements(layer, operand, origin, nest.extents)
        if inner < 0:
            words = 1
        elif stays:
            words = 0
        elif before is not None and advanced == [len(step) - 1] and operand == "I":
            words = len(tile - held)
        else:
            words = len(tile)
        if words:
            moved += words
            again += len(tile & seen) if inner >= 0 else 0
            seen |= tile
            at_parent += words * instances(layer, operand, nest, origin, diagonal=diagonal)
        before, held = step, tile
    return moved, again, at_parent


def instances(layer: Layer, operand: Operand, nest: Nest, origin: dict[str, int], *, diagonal: bool) -> int:
    """Different tiles among the instances; without `diagonal`, counted axis by axis."""
    groups = [nest.spatial]
    if not diagonal:
        groups = [[s for s in nest.spatial if s[3] == axis] for axis in dict.fromkeys(s[3] for s in nest.spatial)]
    total = 1
    for group in groups:
        tiles = set()
        for place in itertools.product(*(range(bound) for _, bound, _, _ in group)):
            start = dict(origin)
            for index, (dim, _, size, _) in zip(place, group, strict=True):
                start[dim] += index * size
            tiles.add(elements(layer, operand, start, nest.extents))
        total *= len(tiles)
    return total


def counts(layer: Layer, mapping: Mapping, *, diagonal: bool = True) -> dict:
    """(reads, fills, updates) per level and operand that keeps it, words of one instance."""
    found = {}
    for operand in ("W", "I", "O"):
        inner = -1
        holders = mapping.holders(operand)
        for level in holders:
            _, _, served = walk(layer, mapping, operand, inner, level, diagonal=diagonal)
            moved, again, _ = walk(layer, mapping, operand, level, level, diagonal=diagonal)
            name = mapping.levels[level].name
            outermost = level == holders[-1]
            if operand == "O":
                first = math.prod(mapping.dims[d] for d in RELEVANT["O"]) // math.prod(
                    loop.bound
                    for outer in mapping.levels[level + 1 :]
                    for loop in outer.spatial
                    if loop.dim not in REDUCTION
                )
                found[name, operand] = (served - first, 0 if outermost else again, served)
            else:
                found[name, operand] = (served, 0 if outermost else moved, 0)
            inner = level
    return found
