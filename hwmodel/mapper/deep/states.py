"""What the walk looks for, and where its labels are."""

from __future__ import annotations

from typing import NamedTuple

from hwmodel.mapper.counting import Floats, Ints

#: States at a tile are told apart by what is open: the sum of 1 for W, 2 for I and 4 for O.
CLOSED, KINDS = 0, 8
#: Loop orders by what the class spares, as rows of `ORDERS`.
W_X, W_Y, O_X, O_Y, I_K = range(5)
#: Loop orders that a split's code leaves room for.
ORDERS_OF_CODE = 8


class Aim(NamedTuple):
    """What is looked for: an objective of `hwmodel.mapper.scores`, at or below a limit and in so many cycles."""

    objective: int
    limit: float
    most_cycles: float


class Bounds(NamedTuple):
    """What every way on costs at least: as `hopes` fills it in, (M, L, V) each."""

    reached: Floats
    begun: Floats


class States(NamedTuple):
    """First labels of the lists, -1 where there are none.

    Attributes:
        tiles: (KINDS, V) at the tile of the level below, by what is open.
        upper: (KINDS, V) the same at the tile of the level.
        done: (2 V) split tiles whose hops are closed, those with sums that go on behind the others.
        single: (6, 2 V) those of which one operand is open; behind the first three those that close
            with the level if no loop spares them.
    """

    tiles: Ints
    upper: Ints
    done: Ints
    single: Ints


class Pool(NamedTuple):
    """Room for labels: their values (P, M * WIDTH + TAIL) and links (P, NUM_LINKS)."""

    values: Floats
    links: Ints
