"""Lower bounds of what the tiles of the buffer exchange with DRAM, tile by tile, and the least of them.

The least depends on the outer two levels alone: chips whose arrays differ, and branches whose registers keep other
operands, share it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from hwmodel.mapper import ahead, bounds
from hwmodel.mapper.counting import BUFFER, Floats, Ints, NestInputs
from hwmodel.mapper.space.tiles import TileSpace
from hwmodel.network.layer import Operand

#: What is remembered of the least, at most.
MOST_LEAST = 1 << 15

_least: dict[Hashable, Floats] = {}


class PricedTiles(NamedTuple):
    """Tiles of the buffer.

    Attributes:
        tiles: (T, 8).
        held: (T, 5), of `held_shares`.
        values: lower bounds of every metric of their exchange with DRAM (T, M).
    """

    tiles: Ints
    held: Floats
    values: Floats


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
        ahead.wait(bounds.price_tiles)
        space.priced[key] = PricedTiles(tiles, held, bounds.price_tiles(nest, num_metrics, tiles, held))
    found: PricedTiles = space.priced[key]
    return found


def least_exchange(space: TileSpace, kept: frozenset[Operand], nest: NestInputs, num_metrics: int) -> Floats:
    """The least of every metric over the tiles of `price_exchange`, infinite where none fits. (M)"""
    arrays = (
        nest.holds, nest.widths, nest.stored, nest.cost[:num_metrics], nest.memory[BUFFER], space.capacity,
        space.unfinished,
    )  # fmt: skip
    key = (
        kept, num_metrics, len(nest.cost), space.bounds, space.pace, space.padded, space.choices,
        *(array.tobytes() for array in arrays),
    )  # fmt: skip
    if key not in _least:
        if len(_least) >= MOST_LEAST:
            _least.clear()
        values = price_exchange(space, kept, nest, num_metrics).values
        least = np.zeros(values.shape[1])
        for k in range(num_metrics):
            least[k] = values[:, k].min(initial=np.inf)
        _least[key] = least if len(values) else np.full(len(least), np.inf)
    return _least[key]
