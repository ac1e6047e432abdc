"""One resource of a chip while a layer runs on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Relative difference below which two numbers of cycles are equal.
SLACK = 1e-12


def whole(cycles: float) -> int:
    """Whole cycles, rounding noise aside."""
    return math.ceil(cycles * (1.0 - SLACK))


def per_bit(bits_per_cycle: float | None) -> float:
    """Cycles of a bit; 0 where the bandwidth never limits."""
    return 1.0 / bits_per_cycle if bits_per_cycle else 0.0


@dataclass(frozen=True, kw_only=True)
class Line:
    """One resource: when the layer could end if nothing else limited it [cycles].

    Attributes:
        name: "compute", or the memory.
        busy: what it does.
        waiting: transfers of single-buffered memories, and ramps, in which it rests.
        head, tail: what goes before its first and follows its last work.
    """

    name: str
    busy: float
    waiting: float = 0.0
    head: float = 0.0
    tail: float = 0.0

    @property
    def end(self) -> float:
        return self.busy + self.waiting + self.head + self.tail


def last_to_end(lines: tuple[Line, ...]) -> Line:
    """What the layer waits for: of equal ones the first."""
    return max(lines, key=lambda line: line.end)
