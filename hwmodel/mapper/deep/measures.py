"""What the hops of a layer move at least, tile by tile: arrays that chips of all sizes and energies share."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hwmodel.mapper.bounds import IRRELEVANT
from hwmodel.mapper.counting import FX, INPUT, OUTPUT, OY, WEIGHT, Floats
from hwmodel.mapper.deep.ladder import Ladder
from hwmodel.mapper.deep.lattice import lattice
from hwmodel.mapper.deep.states import Needs
from hwmodel.mapper.space.tiles import tile_lengths, tile_sizes
from hwmodel.network.layer import Dims


class Measures(NamedTuple):
    """Of every tile of a layer.

    Attributes:
        words: (3, V) of its operands.
        moves: (V) tiles that there are.
        spared: (3, V) what loops around it spare an operand at most, as a divisor.
        slides: (V) the least share of the transfers of I that is left where its window slides.
    """

    words: Floats
    moves: Floats
    spared: Floats
    slides: Floats


@lru_cache(maxsize=256)
def measures(dims: Dims, pace: tuple[int, int, int, int]) -> Measures:
    """The measures of a layer.

    Args:
        dims: its bounds.
        pace: stride y, x and dilation y, x.
    """
    tiles = lattice(dims)
    t, rests = tiles.vectors, tiles.rests
    slides, lengths = np.ones(len(t)), tile_lengths(t, pace)
    for dim in range(OY, FX + 1):
        fresh = np.minimum(1.0, t[:, dim] * pace[dim - OY] / lengths[dim % 2])
        slides = np.minimum(slides, (1.0 + (rests[:, dim] - 1) * fresh) / rests[:, dim])
    return Measures(
        words=tile_sizes(t, pace),
        moves=rests.prod(axis=1).astype(np.float64),
        spared=np.array([rests[:, others].prod(axis=1) for others in IRRELEVANT], dtype=np.float64),
        slides=slides,
    )


def needs_of(ladder: Ladder, dims: Dims, like: Needs | None = None) -> Needs:
    """What the hops out of the levels move at least, for the bounds of `hopes`.

    like: of memories of other sizes.
    """
    own, found = ladder.shape, measures(dims, tuple(ladder.pace.tolist()))
    room = np.ones((2, len(own.keep), len(found.moves)), dtype=np.int64)
    for unfinished, level, slot in itertools.product(range(2), range(len(own.keep) - 1), range(3)):
        sums = 3 if unfinished or level == own.first_outputs else OUTPUT
        held = own.keep[level] * (own.slot[level] == slot) * ladder.widths[[WEIGHT, INPUT, sums]]
        if held.any() and own.capacity[level, slot] < np.inf:
            room[unfinished, level] &= held @ found.words <= own.capacity[level, slot]
    if like is not None:
        return like._replace(room=room)
    words = found.words * found.moves * (own.keep * own.inside)[:-1, :, None]
    words[:, INPUT] *= found.slides
    if 0 <= own.last_inputs < len(words):
        words[own.last_inputs, INPUT] *= ladder.held.min(axis=1)
    return Needs(room, words, found.spared)
