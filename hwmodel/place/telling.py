"""What the parts of the compiled placement share: situations, rooms, scores, and telling what has no price yet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.mapper.scores import ENERGY, LATENCY

Flags = NDArray[np.bool_]

#: Bits of a situation: the operand lies in the resident memory.
I_INSIDE, O_INSIDE, W_INSIDE = 1, 2, 4
#: Columns of what is missing: ROW and layer, choice, width of I, width of O; PRICE and row, situation, room, 0;
#: STRIPE and row, place of the height, 0, 0; FLOOR and row, 0, 0, 0; or BOUND and row, situation, 0, 0.
ROW, PRICE, STRIPE, FLOOR, BOUND, MISSING = 0, 1, 2, 3, 4, 5


class Told(NamedTuple):
    """What has no price yet: (m, MISSING) rows, as far as there is room, and how many were found (1)."""

    rows: Ints
    total: Ints


@internal
def tell(told: Told, kind: int, a: int, b: int, c: int, d: int) -> None:
    n = told.total[0]
    if n < told.rows.shape[0]:
        told.rows[n, 0], told.rows[n, 1], told.rows[n, 2], told.rows[n, 3], told.rows[n, 4] = kind, a, b, c, d
    told.total[0] = n + 1


@internal
def room_of(rooms: Floats, left: float) -> int:
    """The largest room that residents leave."""
    for r in range(rooms.shape[0]):
        if rooms[r] <= left:
            return r
    return int(rooms.shape[0]) - 1


@internal
def score_of(objective: int, energy: float, cycles: float) -> float:
    if objective == ENERGY:
        return energy
    return cycles if objective == LATENCY else energy * cycles
