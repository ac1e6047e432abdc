"""What a valid chip file may still have wrong: idle arrays, sums that overflow, memories that cannot keep up."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hwmodel.chip.accelerator import Accelerator, Level, Memory
from hwmodel.nest.view import fit_axes
from hwmodel.network.choice import FLOAT_BITS
from hwmodel.network.layer import OPERANDS, RELEVANT, Operand
from hwmodel.network.numbers import divisors

#: Kind of layer -> the loops that it has; the others are 1.
_DIMS = {
    "convolutions": {"B", "K", "C", "OY", "OX", "FY", "FX"},
    "depthwise convolutions": {"B", "G", "OY", "OX", "FY", "FX"},
    "linear layers of one image": {"K", "C"},
}
#: Products of a usual filter: 3 x 3 over 64 channels.
USUAL_REDUCTION = 9 * 64
#: Of a matrix product: filters, products of a sum, pixels, groups.
_CLASSES = (("K",), ("C", "FY", "FX"), ("B", "OY", "OX"), ("G",))


def chip_lints(chip: Accelerator) -> tuple[str, ...]:
    """One sentence for each thing that is allowed, and seldom meant.

    Args:
        chip: of kind `spatial`; the others have no array and no memories of this kind, and no lints.
    """
    if chip.kind != "spatial":
        return ()
    parts = (
        _idle_axes,
        _narrow_sums,
        _clipped,
        _starved,
        _outrun,
        _small_memories,
        _narrow_arrays,
        _one_word,
        _needless,
    )
    return tuple(text for part in parts for text in part(chip))


def _idle_axes(chip: Accelerator) -> Iterator[str]:
    """Axes along which a kind of layer has no loop to unroll."""
    for kind, dims in _DIMS.items():
        idle = [axis for axis in chip.axes if axis.size > 1 and not dims & set(axis.dims)]
        if idle:
            used = chip.num_pes // math.prod(axis.size for axis in idle)
            named = " and ".join(f"axis {axis.name} unrolls {', '.join(axis.dims)} only" for axis in idle)
            yield f"{kind} use {used:,} of {chip.num_pes:,} PEs at most: {named}, where they have no loop."


def _narrow_sums(chip: Accelerator) -> Iterator[str]:
    """An accumulator that a usual filter overflows in the worst case, signed operands at both ends."""
    own = chip.precision
    if own.acc_bits is None:
        return
    fits = (2 ** (own.acc_bits - 1) - 1) // (2 ** (own.w_bits - 1) * 2 ** (own.i_bits - 1))
    if fits < USUAL_REDUCTION:
        need = own.w_bits + own.i_bits + math.ceil(math.log2(USUAL_REDUCTION))
        yield (
            f"an accumulator of {own.acc_bits} bit holds {fits:,} products of {own.w_bits} x {own.i_bits} bit "
            f"whatever they are, and a 3x3 filter over 64 channels sums {USUAL_REDUCTION}: {need} bit hold any sum."
        )


def _clipped(chip: Accelerator) -> Iterator[str]:
    """ADCs too narrow for the analog sums of all rows."""
    own = chip.precision.analog
    if own is None:
        return
    rows = math.prod(axis.size for axis in chip.axes if axis.weight_cells is None)
    need = own.lossless_bits(rows)
    if own.adc_bits < need:
        yield (
            f"sums of {rows:,} products of {own.cell_bits} x {own.dac_bits} bit take {need} bit, and the ADCs have "
            f"{own.adc_bits}: what they round or clip is in no accuracy that is measured here."
        )


def _narrow_arrays(chip: Accelerator) -> Iterator[str]:
    """SRAMs whose banks, with one access per port and cycle, are narrower than the stated bandwidth."""
    for memory in chip.memories().values():
        part, read, write = memory.component, memory.read_bits_per_cycle or 0, memory.write_bits_per_cycle or 0
        if part is None or part.kind != "sram" or part.width_bits is None:
            continue
        wanted, given = read if memory.shared_port else read + write, part.width_bits * part.banks * part.ports
        if wanted > given:
            yield (
                f"{memory.name}: its arrays move {given:g} bit a cycle (width {part.width_bits} bit x {part.banks} "
                f"banks x {part.ports} ports), and its bandwidths are {wanted:g} bit a cycle: more banks, or less "
                "bandwidth."
            )


def _starved(chip: Accelerator) -> Iterator[str]:
    """An outermost port that cannot keep the array busy on matrix products of any size, however they are mapped.

    With S words on chip, M MACs move 2 M / sqrt(S) words at least: Hong and Kung, STOC 1981, in the tight form of
    Smith et al., arXiv:1702.02017 (2019).
    """
    inside = [memory for level in chip.levels[:-1] for memory in level.memories]
    if not inside or any(memory.size_bits is None for memory in inside):
        return
    w, i = chip.native_bits.w, chip.native_bits.i
    array = fit_axes(chip, chip.resolve_bits(None, USUAL_REDUCTION))
    macs = array.num_pes * array.precision.macs_per_cycle(w, i)
    words = sum(_held_bits(chip, memory) for memory in inside) / min(w, i)
    need = 2 * macs * min(w, i) / math.sqrt(words)
    for memory in chip.levels[-1].memories:
        rate = memory.read_bits_per_cycle
        if rate is not None and {"W", "I"} <= set(memory.holds) and rate < need:
            yield (
                f"{memory.name} gives {rate:.4g} bit a cycle, and {macs:,.0f} MACs a cycle of matrix products "
                f"need {need:.4g} at least, however mapped, with {words:,.0f} words on chip: the array waits."
            )


def _outrun(chip: Accelerator) -> Iterator[str]:
    """Ports that cannot give a busy array the words of operands that no PE keeps, however its axes are unrolled.

    At the native widths, for matrix products with longer sums than the array is wide: O is read and written.
    """
    if chip.dataflow != "free" or chip.timing.by_streams:
        return
    own = chip.resolve_bits(None, USUAL_REDUCTION)
    chip = fit_axes(chip, own)
    kept = {operand for level in chip.levels[: chip.array_level] for operand in level.holds}
    rate = min(1.0, chip.precision.macs_per_cycle(own.w, own.i))
    widths = {"W": own.w, "I": own.i, "O": own.acc}
    for memory in chip.memories().values():
        asked = [operand for operand in OPERANDS if operand not in kept and _source(chip, operand) is memory]
        copies = chip.num_copies(memory)
        for port, read, written in _ports(memory):
            loads = [operand for operand in asked if read or (written and operand == "O")]
            twice = 1 + (read and written)
            if not loads:
                continue
            bits = {x: widths[x] * (twice if x == "O" else 1) for x in loads}
            need, words = min(
                ((sum(bits[x] * words[x] for x in loads), words) for words in _words_of_a_cycle(chip)),
                key=lambda found: found[0],
            )
            if need * rate > port * copies:
                verbs = ("gives", "ask") if read else ("takes", "send")
                told = " and ".join(f"{words[x]:,} words of {x}" for x in loads)
                yield (
                    f"{memory.name} {verbs[0]} {port * copies:.4g} bit a cycle, and {chip.num_pes:,} busy PEs "
                    f"{verbs[1]} {need * rate:.4g} at least ({told}), which no PE keeps: the array waits."
                )


def _ports(memory: Memory) -> tuple[tuple[float, bool, bool], ...]:
    """Of each port that limits: (bits per cycle, it reads, it writes)."""
    reads, writes = memory.read_bits_per_cycle, memory.write_bits_per_cycle
    if memory.shared_port:
        return () if reads is None else ((reads, True, True),)
    ports = ((reads, True, False), (writes, False, True))
    return tuple((rate, read, written) for rate, read, written in ports if rate is not None)


def _source(chip: Accelerator, operand: Operand) -> Memory | None:
    """The memory that the array takes an operand from, where no PE keeps it and nothing may skip it."""
    first = next(level for level in chip.levels[chip.array_level :] if operand in level.holds)
    return None if operand in first.bypass else first.memory(operand)


def _words_of_a_cycle(chip: Accelerator) -> Iterator[dict[Operand, int]]:
    """Different words that all PEs together work on, for each way to unroll a matrix product over the whole array.

    Pixels and coefficients on different axes may share inputs: a sum of two progressions of a and b terms has at
    least a + b - 1 values. Places that are served alone ask for a word each.
    """
    found = {(1, 1, 1, 1)}
    shared = [axis for axis in chip.axes if axis.multicast]
    alone = math.prod(axis.size for axis in chip.axes if not axis.multicast)
    for axis in shared:
        free = [bool(set(names) & set(axis.dims)) for names in _CLASSES]
        found = {
            tuple(old * new for old, new in zip(have, more, strict=True))  # type: ignore[misc]  # of four
            for have in found
            for more in _products(axis.size, free)
        }
    slides = any({"OY", "OX"} & set(one.dims) and {"FY", "FX"} & set(two.dims) for one in shared for two in shared)
    for k, c, p, g in found:
        inputs = c + p - 1 if slides else c * p
        yield {"W": k * c * g * alone, "I": inputs * g * alone, "O": k * p * g * alone}


def _products(size: int, free: list[bool]) -> Iterator[tuple[int, ...]]:
    """Every way to write `size` as a product with a factor for each place that is free, and 1 for the others."""
    if not any(free):
        if size == 1:
            yield (1,) * len(free)
        return
    for factor in divisors(size) if free[0] else [1]:
        yield from ((factor, *others) for others in _products(size // factor, free[1:]))


def _small_memories(chip: Accelerator) -> Iterator[str]:
    """Memories of the whole array that hold less than what lies below them, of operands that pass through both."""
    shared = [
        (m, index) for index, level in enumerate(chip.levels[:-1]) for m in level.memories if not level.per_pe
    ]
    for memory, index in shared:
        if memory.size_bits is None:
            continue
        below = [m for level in chip.levels[:index] for m in level.memories if set(m.holds) <= set(memory.holds)]
        held = sum(_held_bits(chip, m) for m in below)
        if held > memory.size_bits:
            yield (
                f"{memory.name} holds {memory.size_bits / 8192:.3g} KiB, and what lies below it "
                f"{held / 8192:.3g} KiB of the same operands: unless PEs hold the same words, those are never full."
            )


def _held_bits(chip: Accelerator, memory: Memory) -> float:
    """What all copies of a memory hold [bit]; cells of a compute-in-memory array are as many as its places."""
    if any(axis.weight_cells is not None for axis in chip.axes) and memory in chip.levels[0].memories:
        cell = 1 if chip.precision.analog is None else chip.precision.analog.cell_bits
        return float(cell * chip.num_pes)
    return (memory.size_bits or 0) * chip.num_copies(memory)


def _one_word(chip: Accelerator) -> Iterator[str]:
    """Memories of the PEs in which no loop runs that needs more than one word of an operand."""
    if chip.dataflow != "free":
        return
    looped: set[str] = set()
    for level in chip.levels[: chip.array_level]:
        looped |= set(level.temporal_dims)
        for memory in level.memories:
            words = {operand: looped & RELEVANT[operand] for operand in memory.holds}
            room = memory.copies * FLOAT_BITS * len(words)
            if not any(words.values()) and (memory.size_bits or 0) > room:
                yield (
                    f"{memory.name} holds {memory.size_bits:,.0f} bit in every PE, and `temporal` lets no loop of "
                    f"{', '.join(words)} run there: one word of each is all that it ever has."
                )


def _needless(chip: Accelerator) -> Iterator[str]:
    """Memories from which a bit costs no less than from what lies outside, and comes no faster."""
    for index, level in enumerate(chip.levels[:-1]):
        for memory in level.memories:
            outer = [_outside(chip.levels[index + 1 :], operand) for operand in memory.holds]
            if any(m is None or memory.resident or not _no_better(chip, memory, m) for m in outer):
                continue
            named = " and ".join(dict.fromkeys(m.name for m in outer if m is not None))
            yield (
                f"{memory.name} gives a bit for {memory.read_pj_per_bit:.3g} pJ, and {named} outside of it for no "
                "more and as fast: nothing is gained by keeping words there."
            )


def _outside(levels: tuple[Level, ...], operand: Operand) -> Memory | None:
    return next((memory for level in levels if (memory := level.memory(operand)) is not None), None)


def _no_better(chip: Accelerator, inner: Memory, outer: Memory) -> bool:
    copies = chip.num_copies(inner) / chip.num_copies(outer)
    fast = math.inf if inner.read_bits_per_cycle is None else inner.read_bits_per_cycle * copies
    slow = math.inf if outer.read_bits_per_cycle is None else outer.read_bits_per_cycle
    return inner.read_pj_per_bit >= outer.read_pj_per_bit > 0 and fast <= slow
