"""The commented chip file of a few answers."""

from __future__ import annotations

from hwmodel.chip.chipfile import ChipFile
from hwmodel.chip.draft.answers import ChipAnswers
from hwmodel.chip.draft.estimates import DRAM_PJ_PER_BIT, NODES_NM, add_pj, multiply_pj, store_pj_per_bit
from hwmodel.chip.loader import build_chip
from hwmodel.chip.yamlfile import parse_document
from hwmodel.errors import AcceleratorError

#: Width that every word of a register has room for [bit]: layers without bits of their own are floats of 32.
FLOAT_BITS = 32
#: A scratchpad of all three operands where nobody says its size [bit].
SCRATCHPAD_BITS = 64 * 8

_WORDS = {"ws": "weight stationary", "os": "output stationary", "free": "any dataflow"}
_FILE = """\
# {name}.yaml, from a few answers (hwmodel hw new). Every number is an answer, or the estimate of a class of
# chips: put what your data sheet says in its place, and its name as the source.
# All keys: docs/reference/accelerators.md.
name: {name}
description: {rows}x{columns} MACs of {w}x{i} bit, {words}, {buffer} buffer, {nm} nm
source: answers to hwmodel hw new; energies are estimates of a class, not of a product
clock: {clock}
technology: {nm} nm
mac:
  w: {w} bit  # native widths; wider operands take several passes
  i: {i} bit
{precision}
  accumulator: {sums} bit  # width of a partial sum
  energy: {mac_pj} pJ
  source: >-
    widths an answer; energy estimate: a multiplication of {w}x{i} bit and an addition of {sums} bit
    {tables}
array:  # dims: loops of a layer that may be unrolled along an axis
{axes}
memories:  # innermost first
{registers}{shared}  - name: dram
    holds: [W, I, O]  # the outermost memory holds all three
    size: unbounded
    read_energy: {dram_pj} pJ/bit
    bandwidth: {dram}  # one port for reads and writes
    source: >-
      bandwidth an answer; energy estimate: DDR3 and DDR4, 1300 pJ per 64 bit (Horowitz, ISSCC 2014)
vector:  # operations without MACs: activations, pooling, additions
  lanes: {columns}
  energy: {vector_pj} pJ
  source: >-
    lanes estimate: one per column; energy estimate: an 8-bit addition
    {tables}
# More keys: gating and skipping of zeros, nm: ["2:4"], compressed memories, area, leakage, notes, sweep (ranges).
"""
_TABLES = "at {nm} nm, {how} (Horowitz, ISSCC 2014; Jouppi et al., ISCA 2021, table 2)"
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
{double}    read_energy: {pj} pJ/bit
    source: >-
      size {said}; energy estimate: by size
      {tables}
"""
_BUFFER = """\
  - name: buffer
{level}    holds: [{held}]
    resident: [I, O]  # tensors stay between layers where they fit; with W too, weights between inferences
    size: {size}
    double_buffered: true  # half is filled while the other half is read
    read_energy: {pj} pJ/bit
    read_bandwidth: {read} bit/cycle
    write_bandwidth: {write} bit/cycle
    source: >-
      size an answer; ports estimate: {ports}; energy estimate: by size
      {tables}
"""
_SHARED_SUMS = """\
  - name: accumulators
    level: shared  # beside the buffer: a sum of every column is read and written in a cycle
    holds: [O]
    size: {size}
    double_buffered: true
    read_energy: {pj} pJ/bit
    source: >-
      size estimate: a quarter of the buffer; energy estimate: by size
      {tables}
"""


def chip_text(answers: ChipAnswers) -> str:
    """The chip file: sizes, clock and bandwidth as answered, energies of `hwmodel.chip.draft.estimates`.

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
        precision=_PRECISION[a.precision].format(brick=min(2, a.w_bits, a.i_bits)),
        mac_pj=f"{multiply_pj(a.w_bits, a.i_bits, nm) + add_pj(a.sum_bits, nm):.3g}", tables=_tables(nm),
        axes=_axes(a), registers=_registers(a), shared=_shared(a), dram_pj=f"{DRAM_PJ_PER_BIT:.3g}",
        dram=f"{a.dram_bits_per_s / 8e9:.15g} GB/s", vector_pj=f"{add_pj(8, nm):.3g}",
    )  # fmt: skip


def _tables(nm: float) -> str:
    """Where an energy at a node comes from."""
    old, new = NODES_NM
    how = f"on the power law through {old:g} and {new:g} nm"
    if not new <= nm <= old:
        how += ", extended"
    return _TABLES.format(nm=f"{nm:g}", how="tabulated" if nm in NODES_NM else how)


def _axes(a: ChipAnswers) -> str:
    columns, rows, why = _AXES[a.dataflow]
    return (
        f"  - {{axis: X, size: {a.columns}, dims: [{columns}]}}  # columns\n"
        f"  - {{axis: Y, size: {a.rows}, dims: [{rows}]}}  # rows: {why}"
    )


def _registers(a: ChipAnswers) -> str:
    """The memory in every PE."""
    name, held, double = _REGISTERS[a.dataflow]
    size, said = {
        "ws": (2.0 * FLOAT_BITS, f"estimate: an active and a shadow weight of up to {FLOAT_BITS} bit"),
        "os": (float(a.sum_bits), "estimate: one sum"),
        "free": (float(SCRATCHPAD_BITS), "estimate: a small scratchpad"),
    }[a.dataflow]
    if a.register_bits is not None:
        size, said = a.register_bits, "an answer"
    return _REGISTER.format(
        name=name, held=held, double=double, size=_size(size), said=said,
        pj=f"{store_pj_per_bit(size, a.node_nm):.3g}", tables=_tables(a.node_nm),
    )  # fmt: skip


def _shared(a: ChipAnswers) -> str:
    """The buffer, and beside it accumulators where no PE keeps its sums."""
    words = _power_of_two(a.rows * a.i_bits + a.columns * a.w_bits)
    sums, sums_bits = "", a.buffer_bits / 4
    if a.dataflow == "ws":
        pj = f"{store_pj_per_bit(sums_bits, a.node_nm):.3g}"
        sums = _SHARED_SUMS.format(size=_size(sums_bits), pj=pj, tables=_tables(a.node_nm))
    return sums + _BUFFER.format(
        level="    level: shared\n" if sums else "", held="W, I" if sums else "W, I, O", size=_size(a.buffer_bits),
        pj=f"{store_pj_per_bit(a.buffer_bits, a.node_nm):.3g}", read=words, write=words,
        ports="a word for every row and column", tables=_tables(a.node_nm),
    )  # fmt: skip


def _power_of_two(bits: int) -> int:
    return 1 << (bits - 1).bit_length()


def _size(bits: float) -> str:
    """A size in the largest unit that it is a whole number of."""
    for unit, of in (("MiB", 8 * 2**20), ("KiB", 8 * 2**10), ("B", 8)):
        if bits % of == 0:
            return f"{bits / of:.0f} {unit}"
    return f"{bits!r} bit"


def _hertz(hertz: float) -> str:
    unit, of = next(((u, f) for u, f in (("GHz", 1e9), ("MHz", 1e6), ("kHz", 1e3)) if hertz >= f), ("Hz", 1.0))
    return f"{hertz / of:.15g} {unit}"
