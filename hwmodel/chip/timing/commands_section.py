"""The section `commands:` of `timing: {kind: commands}`."""

from __future__ import annotations

from typing import Annotated

from hwmodel.chip.fields import Count, quantity
from hwmodel.chip.timing.commands import Cache, Commands, Loads, Passes, Stores
from hwmodel.chip.yamlfile import Field, Schema, model_validator

_Cycles = Annotated[float, Field(ge=0, le=2**31)]
_Wait = Annotated[int, Field(ge=0, le=2**20)]
_Size = Annotated[float, quantity("size", positive=True)]


def _bytes(bits: float, what: str) -> int:
    if bits % 8:
        raise ValueError(f"{what} must be whole bytes, but got {bits:g} bit")
    return int(bits // 8)


class _Passes(Schema):
    """Passes of inputs through the array.

    Attributes:
        rows: of one pass at most.
        least: cycles of a pass at least.
        entries: commands that are under way at once; a pass has two.
        latency: cycles from the last row of a pass until its sums are written.
        dispatch: cycles from a command being accepted until its pass can start.
    """

    rows: Count
    least: Count = 1
    entries: Annotated[int, Field(ge=4, le=2**20)]
    latency: _Wait
    dispatch: _Wait


class _Loads(Schema):
    """Commands that bring W and I.

    Attributes:
        rows: of one command at most.
        size: contiguous part of a row at most.
        word: what the bus moves in a cycle.
        at_once: commands under way at the same time.
        latency: cycles from the start of a command to its first word.
    """

    rows: Count
    size: _Size
    word: _Size
    at_once: Count = 1
    latency: _Cycles


class _Stores(Schema):
    """Requests that take O away.

    Attributes:
        size: of one request at most.
        cycles: of one request.
        same_word: more cycles where neighbouring pixels share a word of `size`.
    """

    size: _Size
    cycles: _Cycles
    same_word: _Cycles = 0.0


class _Cache(Schema):
    """A cache between the scratchpad and DRAM.

    Attributes:
        size, ways, line: of the cache.
        banks: lines are dealt to them in turn.
        load: cycles of a line that is loaded and missing.
        store: cycles of a line that is stored and missing.
    """

    size: _Size
    ways: Count
    line: _Size
    banks: Count = 1
    load: _Cycles
    store: _Cycles

    @model_validator(mode="after")
    def _check(self) -> _Cache:
        step = self.line * self.ways * self.banks
        if self.size % step:
            raise ValueError(
                f"`size` of a cache must be a multiple of line * ways * banks = {step / 8:g} B, but got "
                f"{self.size / 8:g} B"
            )
        return self


class CommandsSection(Schema):
    """`commands:`: what the commands of a machine cost, and how many run at once.

    Attributes:
        in_flight: tiles that are loaded, worked on and stored at the same time.
        passes, loads, stores: the three queues.
        caches: behind loads and stores, nearest first.
        source: where the numbers come from.
    """

    in_flight: Count
    passes: _Passes
    loads: _Loads
    stores: _Stores
    caches: tuple[_Cache, ...] = ()
    source: str

    @model_validator(mode="after")
    def _check(self) -> CommandsSection:
        self.commands(1)  # whole bytes everywhere
        return self

    def commands(self, weight_rows: int) -> Commands:
        """The section as the model uses it, with the rows of the array."""
        own, loads, stores = self.passes, self.loads, self.stores
        return Commands(
            passes=Passes(
                rows=own.rows, weight_rows=weight_rows, least=own.least, entries=own.entries, latency=own.latency,
                dispatch=own.dispatch,
            ),
            loads=Loads(
                rows=loads.rows, bytes=_bytes(loads.size, "`size` of loads"),
                word=_bytes(loads.word, "`word` of loads"), at_once=loads.at_once, latency=loads.latency,
            ),
            stores=Stores(
                bytes=_bytes(stores.size, "`size` of stores"), cycles=stores.cycles, same_word=stores.same_word
            ),
            caches=tuple(
                Cache(
                    size_bytes=_bytes(item.size, "`size` of a cache"), ways=item.ways,
                    line_bytes=_bytes(item.line, "`line` of a cache"), banks=item.banks, load_cycles=item.load,
                    store_cycles=item.store,
                )
                for item in self.caches
            ),
            in_flight=self.in_flight,
            source=self.source,
        )  # fmt: skip


def commands_data(own: Commands) -> dict[str, object]:
    """The section of a machine as plain values, numbers in base units: what `CommandsSection` reads back."""
    return {
        "in_flight": own.in_flight,
        "passes": {
            "rows": own.passes.rows, "least": own.passes.least, "entries": own.passes.entries,
            "latency": own.passes.latency, "dispatch": own.passes.dispatch,
        },
        "loads": {
            "rows": own.loads.rows, "size": f"{own.loads.bytes} B", "word": f"{own.loads.word} B",
            "at_once": own.loads.at_once, "latency": own.loads.latency,
        },
        "stores": {
            "size": f"{own.stores.bytes} B", "cycles": own.stores.cycles, "same_word": own.stores.same_word
        },
        "caches": [
            {
                "size": f"{item.size_bytes} B", "ways": item.ways, "line": f"{item.line_bytes} B",
                "banks": item.banks, "load": item.load_cycles, "store": item.store_cycles,
            }
            for item in own.caches
        ],
        "source": own.source or "not stated",
    }  # fmt: skip
