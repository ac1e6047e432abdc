"""Labels of the walk: what a way to a tile has cost so far, and lists of those that none beats."""

from __future__ import annotations

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import INPUT, Floats, Ints
from hwmodel.mapper.deep.hopes import (
    FAR_EDGE,
    FINISHED,
    NEAR_EDGE,
    OPEN,
    SAVED,
    SETTLED,
    TAIL,
    WAITING,
    WIDTH,
    no_window,
)
from hwmodel.mapper.deep.metrics import ARRAY
from hwmodel.mapper.deep.states import Here

#: Columns of the links of a label: the next one in its state, the one that it came from, its tile, and how.
NEXT, FROM, TILE, HOW, NUM_LINKS = 0, 1, 2, 3, 4
#: How, where it is no split: by one more loop, or by reaching the tile of a level.
STEP, REACHED = -1, -2
#: What stands in a line that another one has taken over.
TAKEN_OVER = -1e30


@internal
def insert(heads: Ints, state: int, x: Floats, source: int, tile: int, how: int, values: Floats, links: Ints,
           count: int) -> int:  # fmt: skip
    """Adds a label to a state unless another one is as good; drops those that it beats. The number of labels."""
    if count >= len(values):
        return count + 1
    before, node = -1, heads[state]
    while node >= 0:
        better, worse = compare(x, values[node])
        if not better:
            return count
        after = links[node, NEXT]
        if worse:
            before = node
        elif before < 0:
            heads[state] = after
        else:
            links[before, NEXT] = after
        node = after
    for k in range(len(x)):
        values[count, k] = x[k]
    links[count, NEXT] = heads[state]
    links[count, FROM] = source
    links[count, TILE] = tile
    links[count, HOW] = how
    heads[state] = count
    return count + 1


@internal
def compare(x: Floats, y: Floats) -> tuple[bool, bool]:
    """Whether a label is better than another one in something, and whether worse."""
    better, worse = False, False
    size = len(x) - TAIL
    for first in range(0, size, WIDTH):
        for k in range(first, first + SAVED):
            better |= x[k] < y[k]
            worse |= x[k] > y[k]
        for k in range(first + SAVED, first + WIDTH):
            better |= x[k] > y[k]
            worse |= x[k] < y[k]
        if better and worse:
            return True, True
    for k in range(size, size + FAR_EDGE):
        better |= x[k] > y[k]
        worse |= x[k] < y[k]
    for k in range(size + FAR_EDGE, len(x)):
        better |= x[k] < y[k]
        worse |= x[k] > y[k]
    return better, worse


@internal
def mark(heads: Ints, state: int, values: Floats, links: Ints, count: int) -> int:
    """The newest label of a state becomes one that reached its tile, behind one that tells how."""
    node = heads[state]
    if links[node, HOW] == REACHED:
        return count
    if count >= len(values):
        return count + 1
    values[count] = values[node]
    links[count, NEXT], links[count, FROM] = -1, links[node, FROM]
    links[count, TILE], links[count, HOW] = links[node, TILE], links[node, HOW]
    links[node, FROM], links[node, HOW] = count, REACHED
    return count + 1


@internal
def close(here: Here, operand: int, x: Floats) -> None:
    """Nothing more is spared of an operand."""
    for r in range(len(here.credit)):
        y = r * WIDTH
        x[y + SETTLED] += x[y + OPEN + operand]
        x[y + OPEN + operand] = 0.0
        if here.near[operand]:
            x[y + SETTLED] += x[y + WAITING + operand]
            x[y + WAITING + operand] = 0.0
    if operand == INPUT:
        no_window(x)


@internal
def spare(operand: int, share: float, held: float, x: Floats) -> None:
    """Loops leave a share of the transfers of an open operand; held: of those from off the chip once more."""
    for y in range(0, len(x) - TAIL, WIDTH):
        x[y + OPEN + operand] *= share
        x[y + WAITING + operand] *= share * held


@internal
def take_over(here: Here, x: Floats) -> None:
    """Lines of the levels inside, whose own work is done, wait for the same from here on: the last one stays."""
    size, array = len(x) - TAIL, WIDTH * ARRAY
    for r in range(ARRAY + 1, len(here.inside)):
        if not here.inside[r]:
            continue
        y = r * WIDTH
        alike = x[y + SAVED] == 0.0 and x[y + FINISHED] == 0.0
        for operand in range(3):
            alike = alike and x[y + WAITING + operand] == x[array + WAITING + operand]
            if x[size + FAR_EDGE + operand] > 0 or x[size + NEAR_EDGE + operand] > 0:
                alike = alike and here.edges[r, operand] == here.edges[ARRAY, operand]
        if not alike:
            continue
        x[array + SETTLED] = max(x[array + SETTLED], x[y + SETTLED])
        x[y + SETTLED] = TAKEN_OVER
