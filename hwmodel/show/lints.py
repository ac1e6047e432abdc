"""What a valid chip file may still have wrong: idle arrays, sums that overflow, memories that cannot keep up."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hwmodel.chip.accelerator import Accelerator

#: Kind of layer -> the loops that it has; the others are 1.
_DIMS = {
    "convolutions": {"B", "K", "C", "OY", "OX", "FY", "FX"},
    "depthwise convolutions": {"B", "G", "OY", "OX", "FY", "FX"},
    "linear layers of one image": {"K", "C"},
}
#: Products of a usual filter: 3 x 3 over 64 channels.
USUAL_REDUCTION = 9 * 64


def chip_lints(chip: Accelerator) -> tuple[str, ...]:
    """One sentence for each thing that is allowed, and seldom meant.

    Args:
        chip: of kind `spatial`; the others have no array and no memories of this kind, and no lints.
    """
    if chip.kind != "spatial":
        return ()
    return (*_idle_axes(chip), *_narrow_sums(chip), *_starved(chip), *_small_memories(chip), *_narrow_arrays(chip))


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
    macs = chip.num_pes * chip.precision.macs_per_cycle(w, i)
    words = sum((memory.size_bits or 0) * chip.num_copies(memory) for memory in inside) / min(w, i)
    need = 2 * macs * min(w, i) / math.sqrt(words)
    for memory in chip.levels[-1].memories:
        rate = memory.read_bits_per_cycle
        if rate is not None and {"W", "I"} <= set(memory.holds) and rate < need:
            yield (
                f"{memory.name} gives {rate:.4g} bit a cycle, and {macs:,.0f} MACs a cycle of matrix products "
                f"need {need:.4g} at least, however mapped, with {words:,.0f} words on chip: the array waits."
            )


def _small_memories(chip: Accelerator) -> Iterator[str]:
    """Memories of the whole array that hold less than what lies below them, of operands that pass through both."""
    shared = [
        (m, index) for index, level in enumerate(chip.levels[:-1]) for m in level.memories if not level.per_pe
    ]
    for memory, index in shared:
        if memory.size_bits is None:
            continue
        below = [m for level in chip.levels[:index] for m in level.memories if set(m.holds) <= set(memory.holds)]
        held = sum((m.size_bits or 0) * chip.num_copies(m) for m in below)
        if held > memory.size_bits:
            yield (
                f"{memory.name} holds {memory.size_bits / 8192:.3g} KiB, and what lies below it "
                f"{held / 8192:.3g} KiB of the same operands: unless PEs hold the same words, those are never full."
            )
