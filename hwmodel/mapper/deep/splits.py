"""What the axes between two levels may unroll, and who shares a read across them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodel.chip.accelerator import Accelerator, Axis, Memory
from hwmodel.mapper.counting import FX, FY, INPUT, OX, OY, RELEVANT, Floats, Ints
from hwmodel.mapper.space.unrolling import unrollings
from hwmodel.network.layer import DIM_NAMES, OPERANDS, REDUCTION, DimName, Dims
from hwmodel.network.numbers import round_up

#: axis -> the dim that is padded to fill it, and its bound before.
Padded = tuple[tuple[str, tuple[DimName, int]], ...]
#: Dims of the reduction.
REDUCED = [DIM_NAMES.index(dim) for dim in DIM_NAMES if dim in REDUCTION]
#: Dims that index W, I and O.
_INDEXING = [np.flatnonzero(row) for row in RELEVANT]


class Splits(NamedTuple):
    """Every split below every level.

    Attributes:
        spans: (L + 1) where those below a level begin.
        whole: (S, 8) their factors.
        total: (S) the product of these.
        own, inner: (S, 3, n, 8) factors outside and inside of the copies of the operand's memory below, by network.
        alone, inner_alone: (S, 3) places of them that are served by themselves.
        share, inner_share: (S, 3) reads over the transfers of the places outside and inside; 0 where that depends
            on the tile: windows of outputs and filters meet on one network.
        parts: (S, 3, 8) factors inside of the copies of the memory.
        within: (S, 3) the products of these.
        reductions: (S, 2) places that add into the same outputs: of all, and outside of the copies of O's memory.
        on_axes: (S, axes, 8) factors on each axis; where it makes no difference, one division stands for all.
        places: (S, axes) places along each axis; where axes make no difference, all of them on the first.
    """

    spans: Ints
    whole: Ints
    total: Ints
    own: Ints
    inner: Ints
    alone: Ints
    inner_alone: Ints
    share: Floats
    inner_share: Floats
    parts: Ints
    within: Ints
    reductions: Ints
    on_axes: Ints
    places: Ints


@lru_cache(maxsize=64)
def splits(accelerator: Accelerator, dims: Dims, padded: Padded) -> Splits:
    """Every split of a layer with these (padded) bounds."""
    fill = dict(padded)
    collected: list[tuple[NDArray[Any], ...]] = []
    spans = [0]
    for level in range(len(accelerator.levels)):
        here = tuple(axis for axis in accelerator.axes if accelerator.split_levels[axis.name] == level)
        below = accelerator.levels[level - 1].memories if level else ()
        alike = len({tuple(axis.name in accelerator.own_axes(m) for m in below) for axis in here}) <= 1
        merged = accelerator.diagonal and alike and all(axis.multicast for axis in here) and not fill
        _, factors = unrollings(here, dims, (), merged)
        for number, axis in enumerate(here):
            if axis.name in fill:
                dim, bound = fill[axis.name]
                factor = factors[:, number, DIM_NAMES.index(dim)]
                factors = factors[round_up(bound, factor) == dims[dim]]
        collected.append(_of_level(accelerator, here, below, factors, merged))
        spans.append(spans[-1] + len(factors))
    joined = [np.concatenate(columns) for columns in zip(*collected, strict=True)]
    return Splits(np.array(spans, dtype=np.int64), *joined)


def _of_level(
    accelerator: Accelerator, here: tuple[Axis, ...], below: tuple[Memory, ...], factors: Ints, merged: bool
) -> tuple[NDArray[Any], ...]:
    """The splits of one level: as `Splits` from `whole` on. factors: (S, axes of the level, 8)."""
    axes = accelerator.axes
    number, place = len(factors), {axis.name: n for n, axis in enumerate(axes)}
    on_axes = np.ones((number, len(axes), 8), dtype=np.int64)
    for n, axis in enumerate(here):
        on_axes[:, place[axis.name]] = factors[:, n]
    networks = 1 if accelerator.diagonal else max(len(axes), 1)
    sides = [(np.ones((number, 3, networks, 8), np.int64), np.ones((number, 3), np.int64)) for _ in range(2)]
    inside, reductions = np.ones((number, 3, 8), dtype=np.int64), np.ones((number, 2), dtype=np.int64)
    for x, operand in enumerate(OPERANDS):
        memory = next((m for m in below if operand in m.holds), None)
        for axis in here:
            own = memory is None or axis.name in accelerator.own_axes(memory)
            shares, alone = sides[0 if own else 1]
            unrolled = on_axes[:, place[axis.name]]
            if axis.multicast:
                shares[:, x, 0 if accelerator.diagonal else place[axis.name]] *= unrolled
            else:
                alone[:, x] *= unrolled.prod(axis=1)
            if not own:
                inside[:, x] *= unrolled
            elif operand == "O":
                reductions[:, 1] *= unrolled[:, REDUCED].prod(axis=1)
    whole = on_axes.prod(axis=1)
    reductions[:, 0] = whole[:, REDUCED].prod(axis=1)
    places = on_axes.prod(axis=2)
    if merged and len(axes):
        places = np.concatenate((places.prod(axis=1, keepdims=True), np.ones_like(places)[:, 1:]), axis=1)
    (own_networks, own_alone), (inner_networks, inner_alone) = sides
    return (
        whole, whole.prod(axis=1), own_networks, inner_networks, own_alone, inner_alone,
        _share(own_networks), _share(inner_networks), inside, inside.prod(axis=2), reductions, on_axes, places,
    )  # fmt: skip


def _share(networks: Ints) -> Floats:
    """`Splits.share` of factors (S, 3, n, 8) on networks: places served alone share nothing."""
    factors = networks.prod(axis=2)
    different = np.stack([factors[:, x, _INDEXING[x]].prod(axis=1) for x in range(3)], axis=1)
    on = networks[:, INPUT] > 1
    for out, tap in ((OY, FY), (OX, FX)):
        different[(on[:, :, out] & on[:, :, tap]).any(axis=1), INPUT] = 0
    return np.asarray(different / factors.prod(axis=2))


def only(parted: Splits, wanted: tuple[tuple[int, ...], ...]) -> Splits:
    """The splits with given numbers of places per level and axis."""
    rows: list[int] = []
    spans = [0]
    for level, places in enumerate(wanted):
        begin, end = int(parted.spans[level]), int(parted.spans[level + 1])
        rows += [begin + n for n, own in enumerate(parted.places[begin:end].tolist()) if tuple(own) == places]
        spans.append(len(rows))
    columns: list[Any] = [np.ascontiguousarray(column[np.array(rows, dtype=np.int64)]) for column in parted[1:]]
    return Splits(np.array(spans, dtype=np.int64), *columns)
