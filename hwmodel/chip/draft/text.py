"""The commented chip file of a few answers."""

from __future__ import annotations

from hwmodel.chip.building import build_chip
from hwmodel.chip.chipfile import ChipFile
from hwmodel.chip.components.arithmetic import add_pj
from hwmodel.chip.draft.answers import ChipAnswers
from hwmodel.chip.draft.parts import (
    brick_bits,
    has_component,
    is_registered,
    largest_bits,
    largest_pj,
    mac_pj,
    power_of_two,
    store,
)
from hwmodel.chip.yamlfile import parse_document
from hwmodel.errors import AcceleratorError
from hwmodel.network.choice import FLOAT_BITS

#: A scratchpad of all three operands where nobody says its size [bit].
SCRATCHPAD_BITS = 64 * 8

_WORDS = {"ws": "weight stationary", "os": "output stationary", "free": "any dataflow"}
_FILE = """\
# {name}.yaml, from a few answers (hwmodel hw new). Every number is an answer, or an estimate of a class of chips:
# energies, areas and leakage follow from what a part is (`component:`; hwmodel hw show prints them with their
# sources). Put what your data sheet says beside it, which wins, and its name as the source.
# All keys: docs/reference/accelerators.md.
name: {name}
description: {rows}x{columns} MACs of {w}x{i} bit, {words}, {buffer} buffer, {nm} nm
source: answers to hwmodel hw new; components are estimates of a class, not of a product
clock: {clock}
technology: {nm} nm
mac:
  w: {w} bit  # native widths; wider operands take several passes
  i: {i} bit
{precision}
  accumulator: {sums} bit  # width of a partial sum
{mac}  source: >-
    widths an answer; {mac_said}
array:  # dims: loops of a layer that may be unrolled along an axis
{axes}
memories:  # innermost first
{registers}{shared}  - name: dram
    holds: [W, I, O]  # the outermost memory holds all three
    size: unbounded
    component: dram
    kind: ddr4  # or ddr3, lpddr2, lpddr4, gddr5, gddr6, hbm2
    bandwidth: {dram}  # one port for reads and writes
    source: >-
      bandwidth an answer; energy estimate: its component
vector:  # operations without MACs: activations, pooling, additions
  lanes: {columns}
  energy: {vector_pj} pJ
  source: >-
    lanes estimate: one per column; energy estimate: an 8-bit addition at {nm} nm (Horowitz, ISSCC 2014;
    Jouppi et al., ISCA 2021, table 2), as the adder of a component
# More keys: gating and skipping of zeros, nm: ["2:4"], compressed memories, area, leakage, notes, sweep (ranges).
"""
_SRAM = """\
    component: sram
    width: {width} bit  # of an access to one bank
    banks: {banks}  # {ways}
"""
_REGFILE = """\
    component: regfile
    width: {width} bit  # of an access
"""
_STATED = """\
    read_energy: {read} pJ/bit
    write_energy: {write} pJ/bit
"""
_PRECISION = {
    "fixed": "  precision: fixed  # fewer bits save traffic only; with fusion or bit_serial they also save cycles",
    "fusion": "  precision: fusion  # half as many bits of W or I: twice the MACs per cycle, down to the brick\n"
    "  brick: {brick} bit",
    "bit_serial": "  precision: bit_serial  # a MAC takes as many cycles as its inputs have bits\n  serial: [I]",
}
#: Dataflow -> loops along the columns and the rows, and why these.
_AXES = {
    "ws": ("K, G", "C, FY, FX", "sums run along the rows"),
    "os": ("K, G", "OX, OY, B, C", "C for layers without pixels"),
    "free": ("K, G, OX", "C, FY, FX, OY, B", "the mapper chooses"),
}
#: Dataflow -> name, operands, key and remark of the registers.
_REGISTERS = {
    "ws": ("weights", "W", "    double_buffered: true  # the next weights arrive beside the computation\n"),
    "os": ("sums", "O", ""),
    "free": ("registers", "W, I, O", ""),
}
_REGISTER = """\
  - name: {name}
    per: pe  # one in every PE
    holds: [{held}]
    size: {size}
{double}{part}    source: >-
      size {said}; {part_said}
"""
_BUFFER = """\
  - name: buffer
{level}    holds: [{held}]
    resident: [I, O]  # tensors stay between layers where they fit; with W too, weights between inferences
    size: {size}
    double_buffered: true  # half is filled while the other half is read
{part}    read_bandwidth: {read} bit/cycle
    write_bandwidth: {write} bit/cycle
    source: >-
      size an answer; ports estimate: {ports};
      {part_said}
"""
_SHARED_SUMS = """\
  - name: accumulators
    level: shared  # beside the buffer: a sum of every column is read and written in a cycle
    holds: [O]
    size: {size}
    double_buffered: true
{part}    source: >-
      size estimate: a quarter of the buffer; {part_said}
"""


def chip_text(answers: ChipAnswers) -> str:
    """The chip file: sizes, clock and bandwidth as answered, the rest components (`hwmodel.chip.components`).

    Raises:
        AcceleratorError: the answers do not add up to a chip, such as registers that do not hold a word.
    """
    text = _text(answers)
    document = parse_document(text, f"{answers.name}.yaml", AcceleratorError)
    build_chip(document, document.validated(ChipFile))
    return text


def _text(a: ChipAnswers) -> str:
    nm = a.node_nm
    return _FILE.format(
        name=a.name, rows=a.rows, columns=a.columns, w=a.w_bits, i=a.i_bits, nm=f"{nm:g}",
        words=_WORDS[a.dataflow], buffer=_size(a.buffer_bits), clock=_hertz(a.clock_hz), sums=a.sum_bits,
        precision=_PRECISION[a.precision].format(brick=brick_bits(a)), axes=_axes(a), registers=_registers(a),
        shared=_shared(a), dram=f"{a.dram_bits_per_s / 8e9:.15g} GB/s", vector_pj=f"{add_pj(8, nm):.3g}", **_mac(a),
    )  # fmt: skip


def _mac(a: ChipAnswers) -> dict[str, str]:
    """What the arithmetic is; its energy where no component gives it."""
    registered = "" if is_registered(a) else "  registered: false  # the memory of the PE holds its operands\n"
    if has_component(a):
        said = "energy, area and leakage estimate: its component"
        return {"mac": f"  component: mac\n{registered}", "mac_said": said}
    energy = f"  energy: {mac_pj(a):.3g} pJ\n"
    said = "energy estimate: a multiplier of one width and an adder, as components have them"
    return {"mac": energy, "mac_said": said}


def _part(size_bits: float, word_bits: int, nm: float) -> dict[str, str]:
    """What a memory is that reads and writes a word in a cycle; of one larger than any array the energies."""
    if size_bits > largest_bits():
        read, write = (f"{energy:.3g}" for energy in largest_pj(nm))
        said = f"energies estimate: those of a component sram of {_size(largest_bits())}"
        return {"part": _STATED.format(read=read, write=write), "part_said": said}
    part = store(size_bits, word_bits)
    text = _SRAM if part.kind == "sram" else _REGFILE
    lines = text.format(width=part.width_bits, banks=part.banks, ways="a word is read while one is written")
    return {"part": lines, "part_said": "energy, area and leakage estimate: its component"}


def _axes(a: ChipAnswers) -> str:
    columns, rows, why = _AXES[a.dataflow]
    return (
        f"  - {{axis: X, size: {a.columns}, dims: [{columns}]}}  # columns\n"
        f"  - {{axis: Y, size: {a.rows}, dims: [{rows}]}}  # rows: {why}"
    )


def _registers(a: ChipAnswers) -> str:
    """The memory in every PE."""
    name, held, double = _REGISTERS[a.dataflow]
    size, word, said = {
        "ws": (2.0 * FLOAT_BITS, FLOAT_BITS, f"estimate: an active and a shadow weight of up to {FLOAT_BITS} bit"),
        "os": (float(a.sum_bits), a.sum_bits, "estimate: one sum"),
        "free": (float(SCRATCHPAD_BITS), a.sum_bits, "estimate: a small scratchpad"),
    }[a.dataflow]
    if a.register_bits is not None:
        size, said = a.register_bits, "an answer"
    return _REGISTER.format(
        name=name, held=held, double=double, size=_size(size), said=said, **_part(size, word, a.node_nm)
    )


def _shared(a: ChipAnswers) -> str:
    """The buffer, and beside it accumulators where no PE keeps its sums."""
    words = power_of_two(a.rows * a.i_bits + a.columns * a.w_bits)
    sums, sums_bits = "", a.buffer_bits / 4
    if a.dataflow == "ws":
        sums = _SHARED_SUMS.format(size=_size(sums_bits), **_part(sums_bits, a.columns * a.sum_bits, a.node_nm))
    return sums + _BUFFER.format(
        level="    level: shared\n" if sums else "", held="W, I" if sums else "W, I, O", size=_size(a.buffer_bits),
        read=words, write=words, ports="a word for every row and column", **_part(a.buffer_bits, words, a.node_nm),
    )  # fmt: skip


def _size(bits: float) -> str:
    """A size in the largest unit that it is a whole number of."""
    for unit, of in (("MiB", 8 * 2**20), ("KiB", 8 * 2**10), ("B", 8)):
        if bits % of == 0:
            return f"{bits / of:.0f} {unit}"
    return f"{bits!r} bit"


def _hertz(hertz: float) -> str:
    unit, of = next(((u, f) for u, f in (("GHz", 1e9), ("MHz", 1e6), ("kHz", 1e3)) if hertz >= f), ("Hz", 1.0))
    return f"{hertz / of:.15g} {unit}"
