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
    """What is looked for: an objective of `hwmodel.mapper.scores`, at or below a limit and in so many cycles.

    width: labels that go on from a level to the next one, the most promising ones; where that leaves some out, what
    is found need not be the best.
    """

    objective: int
    limit: float
    most_cycles: float
    width: int = 1 << 62


class Needs(NamedTuple):
    """What the hops out of the levels move at least, tile by tile, wherever the axes have how many places.

    Attributes:
        room: (2, L, V) 1 where the tile fits the memories of the level, with finished and with unfinished sums.
        words: (L, 3, V) of the operands that the level keeps, if no loop spares them transfers, where a window of I
            slides; else 0.
        spared: (3, V) what the loops around the tile spare an operand at most, as a divisor.
    """

    room: Ints
    words: Floats
    spared: Floats


class Bounds(NamedTuple):
    """What every way on costs at least, (M, L, V) each.

    Attributes:
        needed: what it moves at least.
        reached: where the tile of the level is v.
        begun: where v is split for the level and its loops are to come; infinite where no tile around it fits.
    """

    needed: Needs
    reached: Floats
    begun: Floats


class Here(NamedTuple):
    """What a level asks of the labels at its tiles.

    Attributes:
        level: its index.
        near: (3) as `Shape.near_parent`.
        later: as `Shape.later`.
        credit: (M) the most that first visits and finished outputs may spare of what arrives where O is kept next.
        edges: (M, 3) as `Metrics.edges` of the open hops.
        inside: (M) 1 where the line is that of a level inside of this one.
        room: (2, V) as `Needs.room`.
        spared: (3, V) as `Needs.spared`.
        vectors, rests: (V, 8) the tiles and what is around them.
        pace: (4) stride y, x and dilation y, x.
        held: as `Ladder.held` where an open tile of I may be one from off the chip, else ones.
        tie: as `Ladder.tie`.
    """

    level: int
    near: Ints
    later: float
    credit: Floats
    edges: Floats
    inside: Ints
    room: Ints
    spared: Floats
    vectors: Ints
    rests: Ints
    pace: Ints
    held: Floats
    tie: float


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
