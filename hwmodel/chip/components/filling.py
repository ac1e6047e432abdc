"""The numbers of a chip file that its components give. What the file states itself wins, each number alone."""

from __future__ import annotations

from dataclasses import dataclass

from hwmodel.chip.components.arithmetic import Arithmetic, MacFigures, mac_figures
from hwmodel.chip.components.nodes import wire_pj_per_bit_mm
from hwmodel.chip.components.parts import Part
from hwmodel.chip.precision import Precision

NM_PER_MM = 1e6


@dataclass(frozen=True, kw_only=True)
class MemoryNumbers:
    """Numbers of a memory.

    Attributes:
        read_pj_per_bit, write_pj_per_bit: [pJ/bit].
        area_mm2_per_bit: [mm^2/bit], None when unknown.
        leakage_w: of one instance [W].
    """

    read_pj_per_bit: float
    write_pj_per_bit: float
    area_mm2_per_bit: float | None
    leakage_w: float


def memory_numbers(part: Part, size_bits: float | None) -> MemoryNumbers:
    """What a component gives.

    Args:
        part: what the memory is.
        size_bits: its capacity [bit], None when unbounded.

    Raises:
        ValueError: the component is outside of its tables.
    """
    found = part.figures(size_bits)
    return MemoryNumbers(
        read_pj_per_bit=found.read_pj_per_bit,
        write_pj_per_bit=found.write_pj_per_bit,
        area_mm2_per_bit=None if found.area_mm2 is None or size_bits is None else found.area_mm2 / size_bits,
        leakage_w=found.leakage_w,
    )


def filled(
    part: Part | None,
    size_bits: float | None,
    *,
    read: float | None,
    write: float | None,
    area: float | None,
    leakage: float | None,
) -> MemoryNumbers:
    """All numbers of a memory.

    Args:
        part: what it is; None: its numbers are stated.
        size_bits: its capacity [bit], None when unbounded.
        read, write, area, leakage: what the file says, as in `MemoryNumbers`; None where it says nothing. Without a
            component there is a `read`.

    Raises:
        ValueError: the component is outside of its tables.
    """
    if part is None:
        read = 0.0 if read is None else read
        given = MemoryNumbers(read_pj_per_bit=read, write_pj_per_bit=read, area_mm2_per_bit=None, leakage_w=0.0)
    else:
        given = memory_numbers(part, size_bits)
    return MemoryNumbers(
        read_pj_per_bit=given.read_pj_per_bit if read is None else read,
        write_pj_per_bit=given.write_pj_per_bit if write is None else write,
        area_mm2_per_bit=given.area_mm2_per_bit if area is None else area,
        leakage_w=given.leakage_w if leakage is None else leakage,
    )


def mac_numbers(arithmetic: Arithmetic, precision: Precision) -> MacFigures:
    """What a component gives for the arithmetic of one PE.

    Raises:
        ValueError: the component is outside of its tables, or no width of the sum is stated.
    """
    if precision.acc_bits is None:
        raise ValueError(f"component {arithmetic.kind} needs the width of its adder, such as `accumulator: 32 bit`")
    return mac_figures(
        arithmetic, w=precision.w_bits, i=precision.i_bits, acc=precision.acc_bits, halvings=precision.halvings
    )


def network_pj_per_bit(length_nm: float, nm: float | None) -> float:
    """Energy of a bit over a length of wire [pJ/bit].

    Raises:
        ValueError: no technology, or one outside of the tables.
    """
    if nm is None:
        raise ValueError("`network_length` needs the `technology` of the chip, such as `technology: 28 nm`")
    return length_nm / NM_PER_MM * wire_pj_per_bit_mm(nm)
