"""What no section of a chip file can tell alone: whether the machine that the sections add up to can run a layer.

A machine that breaks one of these rules would load, and then refuse every layer or price what cannot be built.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from hwmodel.chip.accelerator import Accelerator, Level, Memory
from hwmodel.chip.timing.base import Timing
from hwmodel.errors import AcceleratorError
from hwmodel.network.layer import OPERANDS, DimName, Operand

#: An outermost memory below this [bit] is a buffer: no layer of some size would start and end there.
SMALLEST_OUTERMOST_BITS = 64 * 2**20 * 8
MAX_PES = 2**31
#: Dims that are larger than any array in some layer of every network; a chip may leave the others to its array.
LOOPED: tuple[DimName, ...] = ("K", "C", "OY", "OX")

#: (text to look for in the file, message) -> the error.
Fail = Callable[[str, str], AcceleratorError]


def check_possible(chip: Accelerator, fail: Fail) -> None:
    """Raises what `fail` makes of the first rule that a chip breaks."""
    if chip.num_pes > MAX_PES:
        raise fail("array", f"`PEs <= 2^31` must hold, but got {chip.num_pes:,} (the product of the axes)")
    levels = chip.levels
    if not levels:
        return
    _check_order(chip, fail)
    for level in levels:
        for memory in level.memories:
            _check_room(chip, memory, fail, outermost=level is levels[-1])
    _check_outermost(levels[-1], fail)
    _check_residents(chip, fail)
    if chip.precision.analog is not None:
        _check_analog(chip, fail)
    if chip.kind == "spatial":
        if chip.dataflow == "row_stationary":
            _check_row_stationary(chip, fail)
        else:
            _check_loops(levels, fail)


def _check_order(chip: Accelerator, fail: Fail) -> None:
    shared_seen = False
    for index, level in enumerate(chip.levels):
        if level.per_pe and shared_seen:
            raise fail(level.memories[0].name, f"level {level.name!r} is per PE but lies outside a shared level")
        shared_seen |= not level.per_pe
        more = sorted(chip.places(index) - chip.places(index - 1)) if index else []
        if more:
            raise fail(
                level.memories[0].name,
                f"level {level.name!r} has a copy for each place along {', '.join(more)}, but "
                f"{chip.levels[index - 1].name!r}, which lies inside of it, has not: name the inner level's axes "
                "in its `per`, too, or exchange the two",
            )
    _check_shared(chip, fail)


def _check_shared(chip: Accelerator, fail: Fail) -> None:
    """What places along an axis share is served by a level that they share, too."""
    for index, level in enumerate(chip.levels[:-1]):
        for memory in level.memories:
            both = sorted((chip.places(index) - set(chip.own_axes(memory))) & chip.places(index + 1))
            if both:
                raise fail(
                    memory.name,
                    f"memory {memory.name!r} is shared along {', '.join(both)}, but the level outside of it, "
                    f"{chip.levels[index + 1].name!r}, has a copy for each place there: name the axis in `per` of "
                    "both, or of neither",
                )


def _check_room(chip: Accelerator, memory: Memory, fail: Fail, *, outermost: bool) -> None:
    """One word of every operand that must pass through fits, O as wide as a partial sum."""
    if memory.size_bits is None:
        return
    native, acc = chip.native_bits, chip.precision.acc_bits or chip.native_bits.w + chip.native_bits.i
    widths: dict[Operand, int] = {"W": native.w, "I": native.i, "O": native.i if outermost else acc}
    words = {operand: widths[operand] for operand in memory.holds if operand not in memory.bypass}
    copies = memory.copies
    twice = " twice (double buffered)" if copies == 2 else ""
    sizes = [(f"one {width}-bit {_word(operand, outermost)}", width) for operand, width in words.items()]
    sizes.append((" and ".join(text for text, _ in sizes), sum(words.values())))
    for text, width in sizes:
        if width * copies > memory.size_bits:
            raise fail(
                memory.name,
                f"buffer {memory.name!r} ({memory.size_bits / 8:g} B) cannot hold {text}{twice}. "
                f"Write `size: {math.ceil(sizes[-1][1] * copies / 8)} B` or more.",
            )


def _word(operand: Operand, outermost: bool) -> str:
    return "partial sum" if operand == "O" and not outermost else "word"


def _check_outermost(outer: Level, fail: Fail) -> None:
    name = outer.memories[0].name
    if outer.bypass:
        raise fail(name, f"the outermost memory cannot be bypassed, but got {list(outer.bypass)}")
    if outer.per_pe:
        raise fail(name, "the outermost memory must be shared: write `per: array`")
    missing = sorted(set(OPERANDS) - set(outer.holds))
    if missing:
        raise fail(name, f"the outermost memory must hold W, I and O, but lacks {missing}")
    for memory in outer.memories:
        if len(outer.memories) > 1:  # of tensors apart from weights: whether they fit is said where they are known
            continue
        if memory.size_bits is not None and memory.size_bits < SMALLEST_OUTERMOST_BITS:
            raise fail(
                memory.name,
                f"the outermost memory must hold every tensor, but {memory.name!r} has "
                f"{memory.size_bits / 8192:.3g} KiB. Add the memory outside of it (`size: unbounded`).",
            )


def _check_residents(chip: Accelerator, fail: Fail) -> None:
    """Whole tensors lie in one bounded memory next to the outermost one."""
    for index, level in enumerate(chip.levels):
        for memory in level.memories:
            if not memory.resident:
                continue
            line, place = f"name: {memory.name}", f"memory {memory.name!r}: `resident`"
            if chip.kind != "spatial" or chip.dataflow != "free":
                raise fail(line, f"{place} needs kind spatial and dataflow free")
            if level.per_pe or index != len(chip.levels) - 2:
                raise fail(
                    line, f"{place} needs a shared memory of the level before the outermost one: name it there"
                )
            if memory.size_bits is None:
                raise fail(line, f"{place} needs a size, but it is unbounded")
    keeping = [memory.name for memory in chip.memories().values() if memory.resident]
    if len(keeping) > 1:
        raise fail(f"name: {keeping[1]}", f"resident: tensors may stay in one memory, but got {', '.join(keeping)}")


def _check_analog(chip: Accelerator, fail: Fail) -> None:
    """Sums are analog inside the array only: inputs enter it and sums leave it through the converters."""
    columns = [axis.name for axis in chip.axes if axis.weight_cells is not None]
    if len(columns) != 1:
        raise fail("array", f"analog needs one axis with `weight_cells`, that of the columns, but got {columns}")
    cells = chip.levels[: chip.array_level]
    inside = sorted({operand for level in cells for operand in level.holds} - {"W"})
    if inside:
        raise fail("memories", f"analog: the PEs are cells and hold W alone, but got {inside}")
    if chip.dataflow != "free" or chip.timing != Timing() or chip.gating or chip.skipping or chip.nm:
        raise fail("mac", "analog knows no `timing`, `gating`, `skipping`, `nm` and no other dataflow than free")


def _check_loops(levels: tuple[Level, ...], fail: Fail) -> None:
    looped = {dim for level in levels for dim in level.temporal_dims}
    stuck = [dim for dim in LOOPED if dim not in looped]
    if stuck:
        raise fail(
            "temporal",
            f"temporal: some level must loop over each of {', '.join(LOOPED)}, but none does over "
            f"{', '.join(stuck)}",
        )


def _check_row_stationary(chip: Accelerator, fail: Fail) -> None:
    held = [set(level.holds) for level in chip.levels]
    placed = len(held) == 3 and chip.array_level == chip.shared_level == 1
    if not placed or held[0] != set(OPERANDS) or held[1] != {"I", "O"}:
        raise fail(
            "dataflow",
            "dataflow row_stationary needs one level per PE that holds W, I and O, one shared level that holds "
            "I and O, and the outermost memory",
        )
