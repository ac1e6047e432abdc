"""An array that is driven by commands: what one costs, how many run at once, and the caches behind them.

The software splits a layer into tiles. Each tile is loaded into a scratchpad, worked on, and stored out of an
accumulator, by three queues that run beside each other; a tile has to leave before the next but one may come
(`in_flight` 2). A *load* moves at most `rows` rows of at most `bytes` contiguous bytes, a *pass* sends at most
`rows` rows of inputs past the weights that stand in the array, a *store* moves at most `bytes` of one row.

Loads and stores go through caches to DRAM. A cache knows its size, its ways and its lines, and what misses it
costs more. Gemmini works like this (Genc et al., DAC 2021); the counting is in `hwmodel.price.commands`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwmodel.chip.timing.base import Timing


@dataclass(frozen=True, kw_only=True)
class Passes:
    """Passes of inputs through the array.

    Attributes:
        rows: of one pass at most.
        weight_rows: cycles of a pass beside which new weights move in: the rows of the array.
        least: cycles of a pass at least.
        entries: commands that are under way at once; a pass has two, one for its weights and sums, one for its
            inputs.
        latency: from the last row of a pass until its sums are written, when its first command is done [cycles].
        dispatch: from a command being accepted until its pass can start [cycles].
    """

    rows: int
    weight_rows: int
    least: int
    entries: int
    latency: int
    dispatch: int


@dataclass(frozen=True, kw_only=True)
class Loads:
    """Commands that bring W and I.

    Attributes:
        rows: of one command at most.
        bytes: contiguous ones of a row at most.
        word: what the bus moves in a cycle [B].
        at_once: commands under way at the same time.
        latency: from the start of a command to its first word, out of the first cache [cycles].
    """

    rows: int
    bytes: int
    word: int
    at_once: int
    latency: float


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Requests that take O away.

    Attributes:
        bytes: of one request at most.
        cycles: of one request.
        same_word: more of them where the outputs of neighbouring pixels share one word of `bytes`: each waits for
            the one before.
    """

    bytes: int
    cycles: float
    same_word: float


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A cache between the scratchpad and DRAM, nearest first.

    Attributes:
        size_bytes, ways, line_bytes: of all its banks; a victim is drawn at random.
        banks: lines are dealt to them in turn; misses in different banks overlap.
        load_cycles: that a line which is loaded and missing takes of its bank, on top.
        store_cycles: that a line which is stored and missing takes, on top.
    """

    size_bytes: int
    ways: int
    line_bytes: int
    banks: int
    load_cycles: float
    store_cycles: float

    @property
    def lines(self) -> int:
        return self.size_bytes // self.line_bytes

    @property
    def sets(self) -> int:
        return self.lines // self.ways


@dataclass(frozen=True, kw_only=True)
class Commands(Timing):
    """Timing of such a machine.

    Attributes:
        passes, loads, stores: what the three queues do.
        caches: nearest first; none: every load finds its words.
        in_flight: tiles that are loaded, worked on and stored at the same time.
        source: where the numbers come from.
    """

    passes: Passes
    loads: Loads
    stores: Stores
    caches: tuple[Cache, ...]
    in_flight: int
    source: str = ""

    by_commands: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return "driven by commands, tile by tile"
