"""The mapping rules of a row-stationary chip: sets of PEs, folding and replication.

A PE keeps one filter row and slides it over one input row. R x e PEs make a set: R filter rows down, e output
rows across. A set of all E rows that the array has PEs for is mapped whole, folded onto the rows that are left
where it is wider than the array; a larger one is cut into strips of e rows. r sets for different channels and t for
different filters (or groups, where a group has one of each) fill the array. A PE interleaves p filters and q
channels. A processing pass runs n images; m filters of partial sums wait in the buffer while the passes go through
the channels. Dims that the sets do not divide are padded. Of all (m, n, e, p, q, r, t) that fit, the cheapest is
taken, as the chip's offline optimiser does.

In the loops below: PE: p of K, q of C, S of FX. Array: R of FY, e of OY, r of C, t of K. Buffer: the filters of m,
then n images, then OX innermost. DRAM: groups, images, strips of e rows, filters, channels innermost.

Source: Chen et al., ISCA 2016, section V, and Chen et al., JSSC 52(1), 2017, sections III and IV.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from hwmodel.accelerator import Accelerator, Memory, Widths
from hwmodel.access import distinct_tiles, tile_transfers
from hwmodel.errors import MappingError
from hwmodel.layer import DIM_NAMES, OPERANDS, RELEVANT, DimName, Layer, Operand
from hwmodel.mapping import LevelMapping, Loop, Mapping, footprint
from hwmodel.pesets import Sets, arrangements, divisors, parts

Column = NDArray[np.float64]
#: Loops above the registers, outer to inner: (dim, belongs to the buffer).
ORDER: tuple[tuple[DimName, bool], ...] = (
    ("G", False), ("B", False), ("OY", False), ("OX", False), ("K", False), ("C", False),
    ("FY", True), ("FX", True), ("K", True), ("B", True), ("OX", True),
)  # fmt: skip


def row_stationary(layer: Layer, accelerator: Accelerator, optimize: str = "energy") -> Mapping:
    """The mapping that the rules of the chip give.

    Args:
        layer: with whole filters already removed; its density is not looked at.
        accelerator: one level per PE, one shared buffer for I and O, and the outermost memory.
        optimize: `energy`, `latency` or `edp`.

    Raises:
        MappingError: another hierarchy, or no mapping fits.
    """
    if optimize not in ("energy", "latency", "edp"):
        raise MappingError(f"optimize must be one of energy, latency, edp, but got {optimize!r}")
    levels = accelerator.levels
    if len(levels) != 3 or not levels[0].per_pe or levels[1].per_pe or set(levels[1].holds) != {"I", "O"}:
        raise MappingError(
            f"accelerator {accelerator.name!r}: dataflow row_stationary needs one level per PE, one shared level "
            "that holds I and O, and the outermost memory"
        )
    best: tuple[float, float, Mapping] | None = None
    for sets in arrangements(layer.dims, accelerator.axes):
        if best is not None and _least(layer, accelerator, sets, optimize) > best[0]:
            continue
        found = _Space(layer, accelerator, sets).best(optimize)
        if found and (best is None or found[:2] < best[:2]):
            best = found
    if best is None:
        raise MappingError(
            f"no row-stationary mapping of {layer.name!r} fits {accelerator.name!r}: "
            "use fewer bits, or a larger memory"
        )
    return best[2]


def _least(layer: Layer, accelerator: Accelerator, sets: Sets, optimize: str) -> float:
    """A score that no mapping on these sets is below: the clock, and W and I from the registers for every MAC."""
    widths = accelerator.resolve_bits(layer.bits, layer.reduction)
    cycles = sets.steps / accelerator.precision.macs_per_cycle(widths.w, widths.i)
    spads = (accelerator.levels[0].memory("W"), widths.w), (accelerator.levels[0].memory("I"), widths.i)
    registers = sum(width * memory.read_pj_per_bit for memory, width in spads if memory is not None)
    energy = cycles * accelerator.clock_pj + sets.steps * sets.num_pes * registers
    return {"energy": energy, "latency": cycles, "edp": energy * cycles}[optimize]


def ramp_cycles(layer: Layer, accelerator: Accelerator, mapping: Mapping, widths: Widths) -> float:
    """Cycles in which the array waits at the start of its passes: for the weights, then for the first windows of I.

    A pass begins whenever the PEs take new weights; inside a pass the networks run beside the PEs.
    """
    if accelerator.dataflow != "row_stationary":
        return 0.0
    cycles = 0.0
    passes = tile_transfers(layer, mapping, "W", 0) // footprint(layer, "W", mapping.bounds(0))
    streamed: tuple[tuple[Operand, int], ...] = (("W", widths.w), ("I", widths.i))
    for operand, width in streamed:
        memory = accelerator.levels[0].memory(operand)
        if memory is not None and memory.network_bits_per_cycle is not None:
            words = footprint(layer, operand, mapping.bounds(0)) * distinct_tiles(layer, mapping, operand, 0, 2)
            cycles += passes * words * width / memory.network_bits_per_cycle
    return cycles


class _Space:
    """Every (p, q, S, n, m, width) for one arrangement of sets, as columns, and what each costs."""

    def __init__(self, layer: Layer, accelerator: Accelerator, sets: Sets) -> None:
        self.layer, self.accelerator, self.sets = layer, accelerator, sets
        self.widths = accelerator.resolve_bits(layer.bits, layer.reduction)
        self.spads, self.buffer, self.dram = accelerator.levels
        self.steps = {d: math.ceil(layer.dims[d] / sets.factors.get(d, 1)) for d in DIM_NAMES}
        self.inner, self.loops = self._columns()

    def _columns(self) -> tuple[dict[DimName, Column], list[Column]]:
        """Loop bounds inside a PE per dim, and the loops of ORDER: each (n)."""
        steps, w = self.steps, self.widths
        filters, channels, columns = parts(steps["K"]), parts(steps["C"]), divisors(steps["FX"])
        inside = [
            (p, q, s)
            for p, q, s in itertools.product(filters, channels, columns)
            if self._fits_spads(p * q * s * w.w, q * ((s - 1) * self.layer.dilation[1] + 1) * w.i, p * w.acc)
        ]
        outside = list(itertools.product(divisors(steps["B"]), filters, divisors(steps["OX"])))  # n, m / p, width
        grid = np.empty((len(inside), len(outside), 6))
        grid[:, :, :3] = np.array(inside, dtype=np.float64).reshape(-1, 1, 3)
        grid[:, :, 3:] = np.array(outside, dtype=np.float64)
        p, q, s, n, k, f = grid.reshape(-1, 6).T
        fits = (p * (k - 1) < steps["K"]) & self._fits_buffer(q, n, p * k, f)
        p, q, s, n, k, f = (column[fits] for column in (p, q, s, n, k, f))
        one = np.ones(len(p))
        outer: dict[DimName, Column] = {
            "G": one * steps["G"], "B": steps["B"] / n, "OY": one * steps["OY"], "OX": steps["OX"] / f,
            "K": np.ceil(steps["K"] / (p * k)), "C": np.ceil(steps["C"] / q),
        }  # fmt: skip
        buffer: dict[DimName, Column] = {"FY": one * steps["FY"], "FX": steps["FX"] / s, "K": k, "B": n, "OX": f}
        return {"K": p, "C": q, "FX": s}, [(buffer if inside else outer)[dim] for dim, inside in ORDER]

    def _fits_spads(self, w: float, i: float, o: float) -> bool:
        bits = {"W": w, "I": i, "O": o}
        memories = (memory for memory in self.spads.memories if memory.size_bits is not None)
        return all(sum(bits[o] for o in m.holds) <= (m.size_bits or math.inf) for m in memories)

    def _fits_buffer(self, q: Column, n: Column, m: Column, f: Column) -> NDArray[np.bool_]:
        """Where the tiles of I and O fit the buffer, each in whole banks."""
        inputs, outputs = self._buffer_tiles(q, n, m, f)
        bits = {"I": inputs * self.widths.i, "O": outputs * self.widths.acc}
        fits = np.ones(len(q), dtype=bool)
        for memory in self.buffer.memories:
            if memory.size_bits is not None:
                bank = memory.bank_bits or 1.0
                fits &= sum(np.ceil(bits[o] / bank) * bank for o in memory.holds) <= memory.size_bits
        return fits

    def _buffer_tiles(self, q: Column, n: Column, m: Column, f: Column) -> tuple[Column, Column]:
        """Elements of I and of O in the buffer, for q channels and m filters per set, n images, f columns."""
        layer, spread = self.layer, self.sets.factors
        rows = (spread.get("OY", 1) - 1) * layer.stride[0] + (layer.dims.FY - 1) * layer.dilation[0] + 1
        columns = (f - 1) * layer.stride[1] + (layer.dims.FX - 1) * layer.dilation[1] + 1
        held = n * spread.get("G", 1)
        inputs = held * q * spread.get("C", 1) * rows * columns
        return inputs, held * m * spread.get("K", 1) * spread.get("OY", 1) * f

    def best(self, optimize: str) -> tuple[float, float, Mapping] | None:
        """Score, tie-break and mapping of the best column; None where none fits."""
        if not len(self.loops[0]):
            return None
        energy, cycles = self._energy_and_cycles()
        score = {"energy": energy, "latency": cycles, "edp": energy * cycles}[optimize]
        tie = energy if optimize == "latency" else cycles
        index = int(np.lexsort((tie, score))[0])
        return float(score[index]), float(tie[index]), self._mapping(index)

    def _transfers(self, operand: Operand, level: int) -> Column:
        """Tiles that an instance of level 0 or 1 takes, without reuse between windows."""
        moved, stripping = np.ones(len(self.loops[0])), np.ones(len(self.loops[0]), dtype=bool)
        loops = [bound for bound, (_, inside) in zip(self.loops, ORDER, strict=True) if level == 0 or not inside]
        dims = [dim for dim, inside in ORDER if level == 0 or not inside]
        for dim, bound in zip(reversed(dims), reversed(loops), strict=True):
            if dim in RELEVANT[operand]:
                stripping &= bound == 1
                moved *= bound
            else:
                moved *= np.where(stripping, 1.0, bound)
        return moved

    def _windows(self, width: Column | float) -> Column:
        """Share of the words of I that are new when OX slides innermost over spads of `width` columns."""
        fresh = np.minimum(self.layer.stride[1], width) / width
        slides = self.loops[-1]
        share: Column = (1.0 + (slides - 1.0) * fresh) / slides
        return share

    def _words(self) -> tuple[dict[Operand, Column], dict[Operand, Column], dict[Operand, Column]]:
        """Words of I and W into all PEs and of O out of them; the same once per network; and those of DRAM."""
        p, q, s = self.inner["K"], self.inner["C"], self.inner["FX"]
        width = (s - 1.0) * self.layer.dilation[1] + 1.0
        tile: dict[Operand, Column] = {"W": p * q * s, "I": q * width * self._windows(width), "O": p}
        moved = {o: tile[o] * self._transfers(o, 0) for o in OPERANDS}
        inputs, outputs = self._buffer_tiles(q, self.loops[-2], p * self.loops[-3], self.loops[-1])
        outside: dict[Operand, Column] = {
            "W": moved["W"] * self._unique("W"),
            "I": inputs * self._transfers("I", 1),
            "O": outputs * self._transfers("O", 1),
        }
        return (
            {o: moved[o] * self.sets.num_pes for o in OPERANDS},
            {o: moved[o] * self._unique(o) for o in OPERANDS},
            outside,
        )

    def _unique(self, operand: Operand) -> int:
        """PEs with different tiles of an operand."""
        spread = self.sets.factors
        if operand == "I":
            return spread.get("G", 1) * spread.get("C", 1) * self._distinct_rows()
        return math.prod(f for d, f in spread.items() if d in RELEVANT[operand])

    def _distinct_rows(self) -> int:
        """Different input rows that the PEs of the array take: one per diagonal of a set."""
        spread, layer = self.sets.factors, self.layer
        pace = layer.stride[0], layer.dilation[0]
        filters = range(spread.get("FY", 1))
        return len({y * pace[0] + r * pace[1] for y in range(spread.get("OY", 1)) for r in filters})

    def _energy_and_cycles(self) -> tuple[Column, Column]:
        """Energy without the arithmetic [pJ], and cycles, of the dense layer, as `price` gives them."""
        chip, w = self.accelerator, self.widths
        into, carried, outside = self._words()
        bits = {"W": w.w, "I": w.i, "O": w.acc}
        steps = math.prod([*self.loops, *self.inner.values()])
        done = outside["O"] / self._again()
        energy, busy, ramp, dram, exclusive = (np.zeros_like(steps) for _ in range(5))
        for o in OPERANDS:
            spad, buffer, outer = (level.memory(o) for level in chip.levels)
            if spad is None or outer is None:
                continue
            energy += steps * self.sets.num_pes * bits[o] * spad.read_pj_per_bit
            energy += into[o] * bits[o] * (spad.write_pj_per_bit + spad.network_pj_per_bit)
            if o == "O":  # sums are read as often as they are written, but for the first of each output
                first = done * self.sets.num_pes / self._unique("O")
                energy += (steps * self.sets.num_pes - first) * w.acc * spad.write_pj_per_bit
                energy -= first * w.acc * spad.read_pj_per_bit
            if buffer is not None and o == "I":
                energy += (carried[o] * buffer.read_pj_per_bit + outside[o] * buffer.write_pj_per_bit) * w.i
            elif buffer is not None:
                waiting = (carried[o] - done) * w.acc
                energy += waiting * buffer.read_pj_per_bit + (waiting + done * w.o) * buffer.write_pj_per_bit
                energy += (outside[o] - done) * w.acc * buffer.write_pj_per_bit
            energy += self._outside_pj(o, outside[o], done, outer)
            crossing = outside[o] * bits[o] if o != "O" else 2 * (outside[o] - done) * w.acc + done * w.o
            link = crossing / (outer.read_bits_per_cycle or math.inf)
            dram += link
            exclusive += link * (o in outer.exclusive)
            port = spad.network_bits_per_cycle or math.inf
            if o != "W":
                busy = np.maximum(busy, carried[o] * bits[o] / port)
            if o != "O":
                ramp += self._transfers("W", 0) * self._first(o) * bits[o] / port
        busy = np.maximum(busy, steps / chip.precision.macs_per_cycle(w.w, w.i))
        processing = np.ceil(np.maximum(busy, dram - exclusive) + ramp)
        return energy + processing * chip.clock_pj, processing + np.ceil(exclusive)

    def _again(self) -> Column:
        """Times that an output goes out to DRAM: more than once where reduction loops interrupt it there."""
        once = math.prod(bound for bound, (d, inside) in zip(self.loops, ORDER, strict=True)
                         if d in RELEVANT["O"] and not inside)  # fmt: skip
        times: Column = self._transfers("O", 1) / once
        return times

    def _outside_pj(self, operand: Operand, words: Column, done: Column, memory: Memory) -> Column:
        """Energy of the words of an operand at DRAM [pJ]."""
        if operand != "O":
            width = self.widths.w if operand == "W" else self.widths.i
            return words * (width * memory.read_pj_per_bit)
        partial = (words - done) * self.widths.acc
        return partial * memory.read_pj_per_bit + (partial + done * self.widths.o) * memory.write_pj_per_bit

    def _first(self, operand: Operand) -> Column:
        """Words that the PEs take of W, or of I for their first windows, at the start of a pass."""
        channels, columns = self.inner["C"], self.inner["FX"]
        if operand == "W":
            return self.inner["K"] * channels * columns * self._unique("W")
        return channels * ((columns - 1.0) * self.layer.dilation[1] + 1.0) * self._unique("I")

    def _mapping(self, index: int) -> Mapping:
        inner = tuple(Loop(d, int(self.inner[d][index])) for d in ("C", "FX", "K") if self.inner[d][index] > 1)
        loops = [
            (Loop(dim, int(bound[index])), inside)
            for bound, (dim, inside) in zip(self.loops, ORDER, strict=True)
            if bound[index] > 1
        ]
        return Mapping(
            levels=(
                LevelMapping(name=self.spads.name, temporal=inner, keeps=self.spads.holds),
                LevelMapping(
                    name=self.buffer.name,
                    temporal=tuple(loop for loop, inside in loops if inside),
                    spatial=self.sets.loops,
                    keeps=self.buffer.holds,
                ),
                LevelMapping(
                    name=self.dram.name,
                    temporal=tuple(loop for loop, inside in loops if not inside),
                    keeps=self.dram.holds,
                ),
            )
        )
