"""How long an array takes for the passes of one block of weights, with so many commands under way at once.

A pass sends r rows of inputs past the weights: max(r, least) cycles, and at least `weight_rows` of them where
the weights of the next block move in beside it (the last pass of every block). It has two commands. The first
names the weights and where its sums go; its entry in the queue is free `latency` cycles after the last row,
when they are written. The second names the inputs; its entry is free with the last row. Commands are accepted
in order, one a cycle, while one of the `entries` is free, and pass n starts when the pass before it has ended
and the first command of pass n + 1 has been there for `dispatch` cycles:

    start(n) = max(end(n - 1), accepted(first command of n + 1) + dispatch),  end(n) = start(n) + its cycles

So passes of many rows follow each other without a gap, and passes of few rows wait for entries: about 2
(latency + dispatch) / entries cycles each. The time of a block is what the recurrence repeats in once it is
steady; the entries, the two commands and `least` are those of Gemmini's reservation station and execute
controller.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from functools import lru_cache

from hwmodel.chip.timing.commands import Passes

#: Passes after which another row of pixels adds as much as the one before; and those of a steady state.
MANY, STEADY = 96, 64


@lru_cache(maxsize=65536)
def block_cycles(machine: Passes, length: int, count: int) -> float:
    """Cycles of all passes with one block of weights, once the queue is full.

    Args:
        machine: of the array.
        length: pixels of a row; a pass takes at most `machine.rows` of them.
        count: rows of pixels, each with passes of its own.
    """
    full, rest = divmod(length, machine.rows)
    row = (machine.rows,) * full + ((rest,) if rest else ())
    shown = min(count, max(2, MANY // len(row)))
    cycles = _steady(machine, row * shown)
    if shown < count:  # the others are as the last ones of these
        half = max(1, shown // 2)
        cycles += (cycles - _steady(machine, row * half)) / (shown - half) * (count - shown)
    return cycles


def _steady(machine: Passes, rows: Sequence[int]) -> float:
    """Cycles between one block and the next, the mean of several."""
    blocks = 2 * max(3, -(-STEADY // len(rows)))
    starts = _starts(machine, rows, blocks)
    half = len(rows) * (blocks // 2)
    return (starts[-1] - starts[-1 - half]) / (blocks // 2)


def _starts(machine: Passes, rows: Sequence[int], blocks: int) -> list[int]:
    """When each pass of so many blocks starts, all with the same rows."""
    starts: list[int] = []
    accepted: list[int] = []  # of every command
    busy: list[int] = []  # a heap: when the entries that are taken are free again
    taken = end = 0
    for n in range(len(rows) * blocks):
        while len(accepted) <= 2 * (n + 1):
            cycle = accepted[-1] + 1 if accepted else 0
            while busy and (busy[0] <= cycle or taken >= machine.entries):
                cycle = max(cycle, heapq.heappop(busy))
                taken -= 1
            accepted.append(cycle)
            taken += 1
        starts.append(max(end, accepted[-1] + machine.dispatch))
        last = (n + 1) % len(rows) == 0
        end = starts[-1] + max(rows[n % len(rows)], machine.least, machine.weight_rows if last else 0)
        heapq.heappush(busy, end)
        heapq.heappush(busy, end + machine.latency)
    return starts
