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
from hwmodel.mapper.deep.ladder import Ladder
from hwmodel.mapper.deep.metrics import ARRAY, INSIDE

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
    for k in range(len(x)):
        if x[k] == y[k]:
            continue
        more = x[k] > y[k]
        if size <= k < size + FAR_EDGE or (k < size and k % WIDTH >= SAVED):
            more = not more
        if more:
            worse = True
        else:
            better = True
        if better and worse:
            break
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
def close(ladder: Ladder, level: int, operand: int, x: Floats) -> None:
    """Nothing more is spared of an operand."""
    near = ladder.shape.near_parent[level, operand] == 1
    for r in range(len(ladder.costs.kind)):
        y = x[r * WIDTH : (r + 1) * WIDTH]
        y[SETTLED] += y[OPEN + operand]
        y[OPEN + operand] = 0.0
        if near:
            y[SETTLED] += y[WAITING + operand]
            y[WAITING + operand] = 0.0
    if operand == INPUT:
        no_window(x)


@internal
def spare(ladder: Ladder, operand: int, share: float, held: float, x: Floats) -> None:
    """Loops leave a share of the transfers of an open operand; held: of those from off the chip once more."""
    for r in range(len(ladder.costs.kind)):
        x[r * WIDTH + OPEN + operand] *= share
        x[r * WIDTH + WAITING + operand] *= share * held


@internal
def take_over(ladder: Ladder, level: int, x: Floats) -> None:
    """Lines of the levels inside, whose own work is done, wait for the same from here on: the last one stays."""
    costs = ladder.costs
    metrics = len(costs.kind)
    if metrics == 1:
        return
    array = WIDTH * ARRAY
    for r in range(ARRAY + 1, metrics):
        if costs.kind[r] != INSIDE or costs.level[r] >= level:
            continue
        y = x[r * WIDTH : (r + 1) * WIDTH]
        alike = y[SAVED] == 0.0 and y[FINISHED] == 0.0
        for operand in range(3):
            alike = alike and y[WAITING + operand] == x[array + WAITING + operand]
            if x[metrics * WIDTH + FAR_EDGE + operand] > 0 or x[metrics * WIDTH + NEAR_EDGE + operand] > 0:
                child = ladder.shape.child[level, operand]
                alike = alike and costs.edges[r, child, operand] == costs.edges[ARRAY, child, operand]
        if not alike:
            continue
        x[array + SETTLED] = max(x[array + SETTLED], y[SETTLED])
        y[SETTLED] = TAKEN_OVER
