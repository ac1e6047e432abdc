"""What a first chip file asks: a few numbers, each with a default, its rule and how to write it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from hwmodel.chip.components.nodes import LARGEST_NM, SMALLEST_NM
from hwmodel.chip.units import parse_bandwidth, parse_quantity
from hwmodel.errors import AcceleratorError, nearest

#: What stays in the PEs: weights, outputs, or what the mapper finds best.
Stationary = Literal["ws", "os", "free"]
#: What narrow widths may bring. Rates of a table, and what a macro is made of, are measured: no draft has them.
Narrow = Literal["fixed", "fusion", "bit_serial"]
#: PEs on one side of an array.
MAX_SIDE = 65_536
MAX_BITS = 32
#: Answer -> what is asked, and what is taken where nobody answers.
QUESTIONS: dict[str, tuple[str, str]] = {
    "macs": ("PEs, rows x columns", "16x16"),
    "bits": ("widths of weights x inputs [bit]", "8x8"),
    "precision": ("narrow widths: fixed, fusion or bit_serial", "fixed"),
    "dataflow": ("what stays in the PEs: ws, os or free", "os"),
    "registers": ("registers of a PE, or auto", "auto"),
    "buffer": ("shared buffer", "256 KiB"),
    "node": ("technology", "28 nm"),
    "clock": ("clock", "500 MHz"),
    "dram": ("bandwidth of the memory outside", "3.2 GB/s"),
}
#: Products whose sum an accumulator holds whatever they are: 3 x 3 over 64 channels and more.
SUMMED = 2**10


@dataclass(frozen=True, kw_only=True)
class ChipAnswers:
    """All that a first chip file rests on.

    Attributes:
        name: of the chip, and of its file.
        rows, columns: of the array of PEs.
        w_bits, i_bits: native widths [bit].
        precision: what narrow widths bring.
        dataflow: what stays in the PEs.
        register_bits: of a PE [bit]; None: what the dataflow needs.
        buffer_bits: of the shared buffer [bit].
        node_nm: technology [nm].
        clock_hz: [Hz].
        dram_bits_per_s: bandwidth of the memory outside [bit/s].
    """

    name: str
    rows: int
    columns: int
    w_bits: int
    i_bits: int
    precision: Narrow
    dataflow: Stationary
    register_bits: float | None
    buffer_bits: float
    node_nm: float
    clock_hz: float
    dram_bits_per_s: float

    @property
    def sum_bits(self) -> int:
        """Width of a partial sum [bit]: any sum of `SUMMED` products, in steps of 16."""
        return 16 * math.ceil((self.w_bits + self.i_bits + math.log2(SUMMED)) / 16)


def chip_answers(name: str, **answers: str) -> ChipAnswers:
    """The answers as numbers.

    Args:
        name: of the chip: letters, digits, `_`, `-` and `.`.
        answers: by a key of `QUESTIONS`, as written; the others take their defaults.

    Raises:
        AcceleratorError: a name or an answer that breaks its rule; the message names it as an option of
            `hwmodel hw new`.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,63}", name, re.ASCII):
        raise AcceleratorError(
            f"a name has 1 to 64 letters, digits, `_`, `-` or `.`, a letter or digit first, but got {name!r}."
        )
    said = {key: answers.get(key, default) for key, (_, default) in QUESTIONS.items()}
    rows, columns = _pair("macs", said["macs"], MAX_SIDE)
    w_bits, i_bits = _pair("bits", said["bits"], MAX_BITS)
    precision = _word("precision", said["precision"], get_args(Narrow))
    dataflow = _word("dataflow", said["dataflow"], get_args(Stationary))
    return ChipAnswers(
        name=name, rows=rows, columns=columns, w_bits=w_bits, i_bits=i_bits,
        precision=precision, dataflow=dataflow,  # type: ignore[arg-type]  # `_word` has looked
        register_bits=None if said["registers"] == "auto" else _quantity("registers", "size", said["registers"]),
        buffer_bits=_quantity("buffer", "size", said["buffer"]),
        node_nm=_node(said["node"]),
        clock_hz=_quantity("clock", "frequency", said["clock"]),
        dram_bits_per_s=_bandwidth(said["dram"], _quantity("clock", "frequency", said["clock"])),
    )  # fmt: skip


def _pair(key: str, text: str, most: int) -> tuple[int, int]:
    found = re.fullmatch(r"\s*(\d{1,9})\s*[xX×]\s*(\d{1,9})\s*", text)
    values = tuple(map(int, found.groups())) if found else ()
    if len(values) != 2 or not all(1 <= value <= most for value in values):
        example = QUESTIONS[key][1]
        raise AcceleratorError(
            f"--{key}: must be two numbers from 1 to {most:,}, but got {text!r}. Write for example {example}."
        )
    return values[0], values[1]


def _word(key: str, text: str, words: tuple[str, ...]) -> str:
    if text not in words:
        close = nearest(text, words)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise AcceleratorError(f"--{key}: must be one of {', '.join(words)}, but got {text!r}.{hint}")
    return text


def _quantity(key: str, kind: str, text: str) -> float:
    try:
        value = parse_quantity(kind, text)
    except ValueError as error:
        raise AcceleratorError(f"--{key}: {error}") from None
    if not value > 0:
        raise AcceleratorError(f"--{key}: must be above 0, but got {text}. Write for example {QUESTIONS[key][1]}.")
    return value


def _bandwidth(text: str, clock_hz: float) -> float:
    """[bit/s], from `3.2 GB/s` or `64 bit/cycle`."""
    try:
        value = parse_bandwidth(text, clock_hz) * clock_hz
    except ValueError as error:
        raise AcceleratorError(f"--dram: {error}") from None
    if not value > 0 or not math.isfinite(value):
        raise AcceleratorError(f"--dram: must be above 0, but got {text}. Write for example 3.2 GB/s.")
    return value


def _node(text: str) -> float:
    nm = _quantity("node", "length", text)
    if not SMALLEST_NM <= nm <= LARGEST_NM:
        raise AcceleratorError(
            f"--node: components are known from {SMALLEST_NM:g} to {LARGEST_NM:g} nm, but got {text}. Take the "
            "nearest and write your own energies into the file."
        )
    return nm
