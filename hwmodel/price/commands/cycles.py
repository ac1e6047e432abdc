"""Cycles of tiles on a machine that is driven by commands: loads, passes and stores, and how they overlap.

Per tile, the mean over all tiles of a layer:

    loads   max(words, (commands * latency + words) / at_once), and the cycles of every line that a cache lacks
    passes  blocks of weights (rows x columns of the array) * cycles of a block's passes, for each part of operands
            that are wider than the multipliers
    stores  requests * cycles, and the cycles of every line that a cache lacks; of tiles that finish sums

Misses of one command overlap where its rows fall on different banks of the cache: of rows at a pitch of p lines
in B banks, gcd(p, B) / B of the misses stand in one bank after the other. The three queues run beside each
other, and with n tiles in flight a tile has to end before the n-th after it begins. With T tiles,

    cycles = loads + passes + stores + (T - 1) * max(loads, passes, stores, (loads + passes + stores) / n)

where the stores outside of the maximum are those of one tile that has some. Sums are taken to stay in the
accumulator until they are done, as the software of Gemmini leaves them, whatever the order of the loops.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwmodel.chip.accelerator import Accelerator
from hwmodel.chip.timing.commands import Cache, Commands
from hwmodel.errors import MappingError
from hwmodel.nest.mapping import Mapping
from hwmodel.nest.task import Task
from hwmodel.network.layer import OPERANDS, DimName, Operand
from hwmodel.price.commands.caches import lines_of, missed_lines, sets_used
from hwmodel.price.commands.passes import block_cycles
from hwmodel.price.commands.tilings import Floats, Ints, Tilings, each, input_size, tiling_of


@dataclass(frozen=True, kw_only=True)
class Phases:
    """What the tiles of a layer take. Arrays: one entry per tiling, (n,) [cycles].

    Attributes:
        tiles: how many there are.
        loads, passes, stores: of one tile, the mean over all.
        last_stores: of a tile that has some.
        in_flight: tiles that run beside each other.
    """

    tiles: Floats
    loads: Floats
    passes: Floats
    stores: Floats
    last_stores: Floats
    in_flight: int

    @property
    def period(self) -> Floats:
        """Cycles from one tile to the next."""
        around = (self.loads + self.passes + self.stores) / self.in_flight
        return np.maximum(np.maximum(self.loads, self.passes), np.maximum(self.stores, around))

    @property
    def all_passes(self) -> float:
        """Cycles of the array, all tiles of the first tiling."""
        return float(self.tiles[0] * self.passes[0])

    @property
    def total(self) -> Floats:
        """Cycles of the layer."""
        return self.loads + self.passes + self.last_stores + (self.tiles - 1.0) * self.period


def phases_of_mapping(machine: Commands, task: Task, mapping: Mapping) -> Phases:
    """What the tiles of one mapping take; a tile is all that its outermost loops run around."""
    return phases_of(machine, task, tiling_of(task, mapping))


def commands_of(accelerator: Accelerator) -> Commands:
    """Its timing.

    Raises:
        MappingError: it is not driven by commands.
    """
    if not isinstance(accelerator.timing, Commands):
        raise MappingError(
            f"accelerator {accelerator.name!r} has no `timing: {{kind: commands}}`, and so no tiles in flight"
        )
    return accelerator.timing


def array_of(chip: Accelerator) -> tuple[int, int]:
    """Rows (reduction) and columns (filters) of the array."""
    size = {dim: axis.size for axis in chip.axes for dim in axis.dims}
    return size["C"], size["K"]


def widths_of(task: Task) -> tuple[int, int, int]:
    """Of W, I and O as they are moved [bit]; I as it lies in its home."""
    return task.widths.w, task.stay.i_bits or task.widths.i, task.widths.o


def phases_of(machine: Commands, task: Task, tilings: Tilings) -> Phases:
    """What the tiles take.

    Args:
        machine: the timing of the chip.
        task: its widths are moved, and multiplied in as many passes as they take.
        tilings: of its layer.
    """
    rows = _rows_of(tilings, widths_of(task))
    loads, stores = _loads(machine, tilings, rows), _stores(machine, tilings, rows["O"])
    for cache, missed in zip(machine.caches, _missed(machine, tilings, rows), strict=True):
        banked = sum(missed[operand] * _in_one_bank(cache, rows[operand].pitch) for operand in ("W", "I"))
        loads = loads + banked * cache.load_cycles
        stores = stores + missed["O"] / tilings.per_output * cache.store_cycles
    tiles = tilings.total
    repeats = task.accelerator.precision.passes(task.widths.w, task.widths.i)
    return Phases(
        tiles=tiles,
        loads=loads,
        passes=_passes(machine, tilings, array_of(task.accelerator)) * repeats / tiles,
        stores=stores,
        last_stores=stores * tilings.per_output,
        in_flight=machine.in_flight,
    )


@dataclass(frozen=True)
class _Rows:
    """How a tile of an operand lies in memory: planes of rows of pixels of contiguous bytes.

    Attributes:
        width: contiguous bytes.
        pitch: from one pixel (of W: one channel and tap) to the next [B].
        columns: pixels of a row; of W all of them.
        rows: of pixels.
        row_pitch: from one row to the next [B].
        repeats: of all that, for groups and images.
    """

    width: Floats
    pitch: float
    columns: Floats
    rows: Floats
    row_pitch: float
    repeats: Floats


def _rows_of(tilings: Tilings, bits: tuple[int, int, int]) -> dict[Operand, _Rows]:
    d, mean = tilings.layer.dims, tilings.mean
    w, i, o = (width / 8.0 for width in bits)
    rows, columns = tilings.window
    one, product = np.ones(1), tilings.is_product
    images = one if product else mean["B"]
    wide = d.B * d.OY if product else input_size(tilings.layer, 1)
    pixels = mean["B"] * mean["OY"] if product else mean["OX"]
    return {
        "W": _Rows(mean["K"] * w, d.K * w, mean["FY"] * mean["FX"] * mean["C"], one, 0.0, mean["G"]),
        "I": _Rows(mean["C"] * i, d.C * d.G * i, columns, rows, d.C * d.G * i * wide, images * mean["G"]),
        "O": _Rows(
            mean["K"] * o, d.K * d.G * o, pixels, one if product else mean["OY"], d.K * d.G * o * d.OX,
            images * mean["G"],
        ),
    }  # fmt: skip


def _loads(machine: Commands, tilings: Tilings, rows: dict[Operand, _Rows]) -> Floats:
    """Cycles of the load commands of a tile, where all words come from the first cache."""
    own, mean, weights, inputs = machine.loads, tilings.mean, rows["W"], rows["I"]
    blocks = mean["FY"] * mean["FX"] * np.ceil(mean["C"] / own.rows) * weights.repeats
    pieces = inputs.rows * np.ceil(inputs.columns / own.rows) * inputs.repeats
    commands = blocks * np.ceil(weights.width / own.bytes) + pieces * np.ceil(inputs.width / own.bytes)
    words = sum(
        (part.columns * part.rows * part.repeats * np.ceil(part.width / own.word) for part in (weights, inputs)),
        start=np.zeros(1),
    )
    return np.maximum(words, (commands * own.latency + words) / own.at_once)


def _stores(machine: Commands, tilings: Tilings, outputs: _Rows) -> Floats:
    """Cycles of the store requests of a tile, where all are there."""
    own = machine.stores
    requests = outputs.columns * outputs.rows * np.ceil(outputs.width / own.bytes) * outputs.repeats
    each = own.cycles + (own.same_word if outputs.pitch < own.bytes else 0.0)
    return np.asarray(requests / tilings.per_output * each)


def _passes(machine: Commands, tilings: Tilings, array: tuple[int, int]) -> Floats:
    """Cycles of all passes of the layer, of operands no wider than the multipliers."""
    d = tilings.layer.dims
    total = np.zeros_like(tilings.total)
    for images, some_images in tilings.edges("B"):
        for rows, some_rows in tilings.edges("OY"):
            for columns, some_columns in tilings.edges("OX"):
                times = some_images * some_rows * some_columns
                if not times.any():
                    continue
                product = tilings.is_product
                lengths, counts = (images * rows, columns) if product else (columns, images * rows)
                total = total + _block_cycles(machine, lengths, counts) * times
    blocks = [
        sum(np.ceil(size / most) * count for size, count in tilings.edges(dim))
        for dim, most in zip(_FOLDED, array, strict=True)
    ]
    return np.asarray(total * blocks[0] * blocks[1] * d.G * d.FY * d.FX)


_FOLDED: tuple[DimName, DimName] = ("C", "K")


def _block_cycles(machine: Commands, lengths: Ints, counts: Ints) -> Floats:
    """`block_cycles` of many; 0 where there is no row."""
    return each(lambda n, m: block_cycles(machine.passes, n, m) if n and m else 0.0, lengths, counts)


def _missed(machine: Commands, tilings: Tilings, rows: dict[Operand, _Rows]) -> list[dict[Operand, Floats]]:
    """Lines of a tile that each cache lacks; one lacks none that the cache before it has."""
    missed: list[dict[Operand, Floats]] = []
    for cache in machine.caches:
        lines = {operand: _lines(cache, rows[operand]) for operand in OPERANDS}
        sets = {operand: _sets(cache, rows[operand]) for operand in OPERANDS}
        found = missed_lines(cache, tilings.order, tilings.counts, lines, sets, _shared(cache, tilings, rows))
        if missed:
            found = {operand: np.minimum(found[operand], missed[-1][operand]) for operand in OPERANDS}
        missed.append(found)
    return missed


def _lines(cache: Cache, own: _Rows) -> Floats:
    per_pixel = lines_of(own.width, own.pitch, cache.line_bytes)
    return np.asarray(per_pixel * own.columns * own.rows * own.repeats)


def _sets(cache: Cache, own: _Rows) -> Floats:
    """Sets of a cache on which a tile falls; rows that are not whole lines apart fall on any."""
    if own.pitch % cache.line_bytes or own.row_pitch % cache.line_bytes:
        return np.full(1, float(cache.sets))
    pitch, row_pitch = int(own.pitch // cache.line_bytes), int(own.row_pitch // cache.line_bytes)
    lines = lines_of(own.width, own.pitch, cache.line_bytes)
    return each(
        lambda rows, columns, some: sets_used(cache.sets, max(1, rows), row_pitch, max(1, columns), pitch, some),
        np.round(own.rows), np.minimum(np.round(own.columns), cache.sets), np.maximum(1.0, np.ceil(lines)),
    )  # fmt: skip


def _shared(cache: Cache, tilings: Tilings, rows: dict[Operand, _Rows]) -> dict[Operand, dict[DimName, Floats]]:
    """Tiles along a dim over the lines that they touch together, in tiles: narrow rows, overlapping windows."""
    counts = tilings.counts
    narrow = {
        operand: np.maximum(1.0, min(cache.line_bytes, own.pitch) / own.width) for operand, own in rows.items()
    }
    inputs: dict[DimName, Floats] = {"C": np.minimum(counts["C"], narrow["I"])}
    if not tilings.is_product:
        layer, mean = tilings.layer, tilings.mean
        for axis, (out, tap) in enumerate(_WINDOWS):
            steps = {out: mean[out] * layer.stride[axis], tap: mean[tap] * layer.dilation[axis]}
            wide = steps[out] - layer.stride[axis] + steps[tap] - layer.dilation[axis] + 1.0
            for dim, step in steps.items():
                inputs[dim] = counts[dim] / (1.0 + (counts[dim] - 1.0) * np.minimum(1.0, step / wide))
    return {
        "W": {"K": np.minimum(counts["K"], narrow["W"])},
        "I": inputs,
        "O": {"K": np.minimum(counts["K"], narrow["O"])},
    }


#: Outputs and taps that index the rows, and the columns, of I.
_WINDOWS: tuple[tuple[DimName, DimName], ...] = (("OY", "FY"), ("OX", "FX"))


def _in_one_bank(cache: Cache, pitch: float) -> float:
    """Share of the misses of a command that one bank has to serve."""
    if pitch % cache.line_bytes:
        return 1.0 / cache.banks
    return math.gcd(int(pitch // cache.line_bytes), cache.banks) / cache.banks
