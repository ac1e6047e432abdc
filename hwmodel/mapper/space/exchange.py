"""Lower bounds of what the tiles of the buffer exchange with DRAM, tile by tile, and the least of them.

The least depends on the outer two levels alone: chips whose arrays differ, and branches whose registers keep other
operands, share it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from hwmodel.mapper import bounds
from hwmodel.mapper.counting import BUFFER, Floats, NestInputs
from hwmodel.mapper.space.tiles import PricedTiles, TileSpace
from hwmodel.network.layer import Operand

#: What is remembered of the least, at most: for one size, and for all of them.
MOST_LEAST, MOST_STAIRS = 1 << 15, 1 << 14

_least: dict[Hashable, Floats] = {}
_stairs: dict[Hashable, Stairs] = {}


def price_exchange(space: TileSpace, kept: frozenset[Operand], nest: NestInputs, num_metrics: int) -> PricedTiles:
    """The tiles that fit a buffer which keeps these operands; found once per space.

    Args:
        space: its.
        kept: operands that the buffer keeps a tile of.
        nest: of a branch that does; those that differ in the registers give the same.
        num_metrics: metrics that matter, the first ones; the values of the others are 0.
    """
    key = (kept, num_metrics)
    if key not in space.priced:
        tiles, held = space.buffer_tiles(kept)
        space.priced[key] = PricedTiles(tiles, held, bounds.price_tiles(nest, num_metrics, tiles, held))
    return space.priced[key]


def least_exchange(space: TileSpace, kept: frozenset[Operand], nest: NestInputs, num_metrics: int) -> Floats:
    """The least of every metric over the tiles of `price_exchange`, infinite where none fits. (M)"""
    key = _key(space, kept, nest, num_metrics)
    if key in _stairs:
        return _stairs[key].least(space.capacity[BUFFER])
    at = (key, space.capacity[BUFFER].tobytes())
    if at not in _least:
        if len(_least) >= MOST_LEAST:
            _least.clear()
        values = price_exchange(space, kept, nest, num_metrics).values
        least = np.zeros(values.shape[1])
        for k in range(num_metrics):
            least[k] = values[:, k].min(initial=np.inf)
        _least[at] = least if len(values) else np.full(len(least), np.inf)
    return _least[at]


class Stairs(NamedTuple):
    """The least of every metric by the size of the one memory of the buffer that has any.

    Attributes:
        slot: of the memory.
        needs: sizes at which some metric falls, rising [bit].
        values: of every metric from there on (n, M).
    """

    slot: int
    needs: Floats
    values: Floats

    def least(self, capacity: Floats) -> Floats:
        """The least in memories of these sizes [bit]; infinite where no tile fits. (M)"""
        step = int(np.searchsorted(self.needs, capacity[self.slot], side="right")) - 1
        found: Floats = self.values[step] if step >= 0 else np.full(self.values.shape[1], np.inf)
        return found


def stairs_for(space: TileSpace, kept: frozenset[Operand], nest: NestInputs, num_metrics: int) -> Stairs | None:
    """`least_exchange` for all sizes of the buffer at once; None where not exactly one memory of it has a size."""
    slots = np.flatnonzero(space.capacity[BUFFER] < np.inf)
    if len(slots) != 1:
        return None
    key = _key(space, kept, nest, num_metrics)
    if key not in _stairs:
        if len(_stairs) >= MOST_STAIRS:
            _stairs.clear()
        _stairs[key] = _stairs_of(space, kept, nest, num_metrics, int(slots[0]))
    return _stairs[key]


def _stairs_of(space: TileSpace, kept: frozenset[Operand], nest: NestInputs, num_metrics: int, slot: int) -> Stairs:
    (tiles, held), needs = space.grid(), space.needs(kept, slot)
    values = bounds.price_tiles(nest, num_metrics, tiles, held)
    order = np.argsort(needs, kind="stable")
    values, needs = np.minimum.accumulate(values[order], axis=0), needs[order]
    falls = np.append(True, (np.diff(values, axis=0) < 0).any(axis=1))
    return Stairs(slot, needs[falls], values[falls])


def _key(space: TileSpace, kept: frozenset[Operand], nest: NestInputs, num_metrics: int) -> Hashable:
    """What the exchange of every tile depends on: no size enters it."""
    arrays = (
        nest.holds, nest.widths, nest.stored, nest.cost[:num_metrics], nest.memory[BUFFER], space.unfinished,
    )  # fmt: skip
    finite = tuple((space.capacity[BUFFER] < np.inf).tolist())
    bytes_of = tuple(array.tobytes() for array in arrays)
    return (
        kept,
        num_metrics,
        len(nest.cost),
        space.bounds,
        space.pace,
        space.padded,
        space.choices,
        finite,
        bytes_of,
    )
