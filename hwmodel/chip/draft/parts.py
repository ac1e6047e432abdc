"""What the parts of a first chip file are: components of the library (`hwmodel.chip.components`), whose estimates
are its energies, areas and leakage."""

from __future__ import annotations

import math
from typing import NamedTuple

from hwmodel.chip.components.arithmetic import MAX_HALVINGS, Arithmetic, mac_figures
from hwmodel.chip.components.parts import PartKind
from hwmodel.chip.components.sram import MAX_WORDS, MIN_WORDS, sram, width_limits
from hwmodel.chip.draft.answers import ChipAnswers


class Store(NamedTuple):
    """A memory on the chip.

    Attributes:
        kind: of component; `sram` where its tables have arrays so small, else `regfile`.
        width_bits: of an access to one bank [bit].
        banks: as many as what it reads and writes in a cycle needs.
    """

    kind: PartKind
    width_bits: int
    banks: int


def store(size_bits: float, word_bits: int) -> Store:
    """The component of a memory that reads a word and writes one in a cycle.

    Args:
        size_bits: [bit].
        word_bits: what moves in a cycle, one way [bit].
    """
    narrowest, widest = width_limits()
    needed = max(word_bits, narrowest, math.ceil(size_bits / MAX_WORDS))
    width = min(power_of_two(needed), widest)
    banks = math.ceil(2 * word_bits / width)
    if size_bits < MIN_WORDS * width * banks:
        return Store("regfile", max(1, min(word_bits, int(size_bits))), 1)
    return Store("sram", width, banks)


def largest_bits() -> int:
    """Capacity of the largest array of the tables [bit]."""
    return width_limits()[1] * MAX_WORDS


def largest_pj(nm: float) -> tuple[float, float]:
    """Energy of a bit read from it and written to it [pJ]."""
    found = sram(largest_bits(), width_bits=width_limits()[1], nm=nm)
    return found.read_pj_per_bit, found.write_pj_per_bit


def brick_bits(answers: ChipAnswers) -> int:
    """Smallest multiplier of `fusion`: 2 bit, or what the components' synthesis reaches from the widest operand."""
    reached = power_of_two(math.ceil(max(answers.w_bits, answers.i_bits) / 2**MAX_HALVINGS))
    return min(max(2, reached), answers.w_bits, answers.i_bits)


def has_component(answers: ChipAnswers) -> bool:
    """A component gives the energy of its MAC: none does of serial units, nor of bricks that are too small."""
    fuses = answers.precision == "fusion"
    ratio = max(answers.w_bits, answers.i_bits) / brick_bits(answers) if fuses else 1.0
    return answers.precision != "bit_serial" and ratio <= 2**MAX_HALVINGS


def is_registered(answers: ChipAnswers) -> bool:
    """The operands of a MAC stand in registers of its own: where no memory of the PE holds any."""
    return answers.dataflow == "os"


def mac_pj(answers: ChipAnswers) -> float:
    """Energy of a multiplier of one width and an adder [pJ]."""
    own = Arithmetic(kind="mac", nm=answers.node_nm, registered=is_registered(answers))
    return mac_figures(own, w=answers.w_bits, i=answers.i_bits, acc=answers.sum_bits).energy_pj


def power_of_two(bits: int) -> int:
    """The smallest one that is no less."""
    return 1 << (bits - 1).bit_length()
