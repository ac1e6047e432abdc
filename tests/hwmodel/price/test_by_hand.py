"""Prices of small layers under given mappings, worked out on paper from their dims and the chip file's numbers.

The counts are those of `docs/explain/cost-model.md`: a tile moves whenever a loop outside of it that indexes it
steps; PEs that need the same word share its transfer; a sum is written back once per visit, and read again on all
but the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hwmodel import Bits, Density, Layer, LevelMapping, Loop, Mapping
from hwmodel.nest.task import Task
from hwmodel.price.spatial import price
from tests.hwmodel.chips import TINY, chip

#: Of the chip file `TINY` [pJ/bit], [bit/cycle], [pJ]; its partial sums have 16 bits.
REGS, BUFFER_READ, BUFFER_WRITE, DRAM = 0.01, 0.1, 0.13, 2.0
READ_PORT, WRITE_PORT, DRAM_PORT = 32, 16, 16
MAC, SUM = 0.5, 16

NO_REGISTERS = TINY[: TINY.index("  - name: regs")] + TINY[TINY.index("  - name: buffer") :]
SINGLE = TINY.replace("double_buffered: true", "double_buffered: false")
#: The outermost memory is read at 16 bit and written at 4 bit per cycle.
UNEQUAL = TINY.replace(
    "    bandwidth: 16 bit/cycle", "    read_bandwidth: 16 bit/cycle\n    write_bandwidth: 4 bit/cycle"
)
ROWS = TINY.replace("dims: [K, OX]", "dims: [K, OY]")
APART = ROWS.replace("memories:", "diagonal: false\nmemories:", 1)


def loops(**bounds: int) -> tuple[Loop, ...]:
    """Loops, outer to inner."""
    return tuple(Loop(dim, bound) for dim, bound in bounds.items())  # type: ignore[arg-type]


def nest(buffer=(), dram=(), x=(), y=(), registers=True) -> Mapping:
    """A mapping on the tiny chip: loops at buffer and DRAM, and across the PEs of either axis."""
    spatial = tuple(Loop(loop.dim, loop.bound, axis) for axis, item in (("X", x), ("Y", y)) for loop in item)
    levels = (
        LevelMapping(name="regs", keeps=("W", "O")),
        LevelMapping(name="buffer", keeps=("W", "I", "O"), temporal=buffer, spatial=spatial),
        LevelMapping(name="dram", keeps=("W", "I", "O"), temporal=dram),
    )
    return Mapping(levels=levels if registers else levels[1:])


@dataclass(frozen=True, kw_only=True)
class Case:
    """One layer by hand; bits as (read, written) per memory and operand."""

    name: str
    layer: Layer
    mapping: Mapping
    bits: dict[tuple[str, str], tuple[float, float]]
    compute: float
    first_fill: float  #: of the buffer, and
    weight_fill: float  #: of the registers
    last_drain: float  #: of the buffer, and
    last_sums: float  #: out of the PEs
    outer: int = 1  #: iterations of the loops at DRAM, and
    stay: int = 1  #: those in which a tile of O stays
    text: str = TINY
    mac_pj: float = MAC
    active: float = field(default=1.0)  #: share of the MACs that are not gated


def weights_stay() -> Case:
    """K x C PEs keep a weight each while OX pixels go by; PEs of one c share its input, PEs of one k add up."""
    K, C, OX = 2, 2, 6
    return Case(
        name="weights stay",
        layer=Layer(name="x", dims=dict(K=K, C=C, OX=OX)),
        mapping=nest(buffer=loops(OX=OX), x=loops(K=K), y=loops(C=C)),
        bits={
            ("regs", "W"): (K * C * OX * 8, K * C * 8),
            ("regs", "O"): (0, K * C * OX * SUM),  # every product goes into a sum of its own
            ("buffer", "W"): (K * C * 8, K * C * 8),
            ("buffer", "I"): (C * OX * 8, C * OX * 8),
            ("buffer", "O"): (0, K * OX * 8),  # added on the way, finished
            ("dram", "W"): (K * C * 8, 0),
            ("dram", "I"): (C * OX * 8, 0),
            ("dram", "O"): (0, K * OX * 8),
        },
        compute=OX,
        weight_fill=K * C * 8 / READ_PORT,
        last_sums=K * 8 / WRITE_PORT,
        first_fill=(K * C + C * OX) * 8 / DRAM_PORT,
        last_drain=K * OX * 8 / DRAM_PORT,
    )


def window(stride: int, dilation: int = 1) -> Case:
    """FX taps in the buffer, OX outside: of the window of I only what a step uncovers comes anew."""
    OX, FX = 4, 3
    tile = (FX - 1) * dilation + 1
    inputs = tile + (OX - 1) * min(stride, tile)
    return Case(
        name=f"window of stride {stride}, dilation {dilation}",
        layer=Layer(name="x", dims=dict(OX=OX, FX=FX), stride=stride, dilation=dilation),
        mapping=nest(buffer=loops(FX=FX), dram=loops(OX=OX)),
        bits={
            ("regs", "W"): (OX * FX * 8, OX * FX * 8),
            ("regs", "O"): ((OX * FX - OX) * SUM, OX * FX * SUM),
            ("buffer", "W"): (OX * FX * 8, FX * 8),
            ("buffer", "I"): (OX * FX * 8, inputs * 8),
            ("buffer", "O"): (0, OX * 8),
            ("dram", "W"): (FX * 8, 0),
            ("dram", "I"): (inputs * 8, 0),
            ("dram", "O"): (0, OX * 8),
        },
        compute=OX * FX,
        outer=OX,
        weight_fill=8 / READ_PORT,
        last_sums=8 / WRITE_PORT,
        first_fill=(FX + tile) * 8 / DRAM_PORT,
        last_drain=8 / DRAM_PORT,
    )


def sums_spill() -> Case:
    """C outside of K, and a tile of one word each: all but the last sum of an output come back unfinished."""
    K, C = 4, 3
    return Case(
        name="sums spill",
        layer=Layer(name="x", kind="linear", dims=dict(K=K, C=C)),
        mapping=nest(dram=loops(C=C, K=K)),
        bits={
            ("regs", "W"): (K * C * 8, K * C * 8),
            ("regs", "O"): ((K * C - K) * SUM, K * C * SUM + (K * C - K) * SUM),
            ("buffer", "W"): (K * C * 8, K * C * 8),
            ("buffer", "I"): (K * C * 8, C * 8),
            ("buffer", "O"): ((K * C - K) * SUM, 2 * (K * C - K) * SUM + K * 8),  # from outside, and from the PE
            ("dram", "W"): (K * C * 8, 0),
            ("dram", "I"): (C * 8, 0),
            ("dram", "O"): ((K * C - K) * SUM, (K * C - K) * SUM + K * 8),
        },
        compute=K * C,
        outer=K * C,
        weight_fill=8 / READ_PORT,
        last_sums=8 / WRITE_PORT,
        first_fill=2 * 8 / DRAM_PORT,
        last_drain=8 / DRAM_PORT,
    )


def sums_stay() -> Case:
    """C inside of K: a tile of O stays in buffer and registers for C iterations of DRAM."""
    K, C = 2, 3
    return Case(
        name="sums stay",
        layer=Layer(name="x", kind="linear", dims=dict(K=K, C=C)),
        mapping=nest(dram=loops(K=K, C=C)),
        bits={
            ("regs", "W"): (K * C * 8, K * C * 8),
            ("regs", "O"): ((K * C - K) * SUM, K * C * SUM),
            ("buffer", "W"): (K * C * 8, K * C * 8),
            ("buffer", "I"): (K * C * 8, K * C * 8),
            ("buffer", "O"): (0, K * 8),
            ("dram", "W"): (K * C * 8, 0),
            ("dram", "I"): (K * C * 8, 0),
            ("dram", "O"): (0, K * 8),
        },
        compute=K * C,
        outer=K * C,
        stay=C,
        weight_fill=8 / READ_PORT,
        last_sums=8 / WRITE_PORT,
        first_fill=2 * 8 / DRAM_PORT,
        last_drain=8 / DRAM_PORT,
    )


def depthwise() -> Case:
    """G channels one after the other; two PEs make neighbouring pixels with one weight."""
    G, OX, FX = 4, 2, 2
    return Case(
        name="depthwise",
        layer=Layer(name="x", dims=dict(G=G, OX=OX, FX=FX)),
        mapping=nest(buffer=loops(FX=FX), dram=loops(G=G), x=loops(OX=OX)),
        bits={
            ("regs", "W"): (G * OX * FX * 8, OX * G * FX * 8),
            ("regs", "O"): ((G * OX * FX - G * OX) * SUM, G * OX * FX * SUM),
            ("buffer", "W"): (G * FX * 8, G * FX * 8),  # one read for both PEs
            ("buffer", "I"): (G * FX * OX * 8, G * (OX + FX - 1) * 8),
            ("buffer", "O"): (0, G * OX * 8),
            ("dram", "W"): (G * FX * 8, 0),
            ("dram", "I"): (G * (OX + FX - 1) * 8, 0),
            ("dram", "O"): (0, G * OX * 8),
        },
        compute=G * FX,
        outer=G,
        weight_fill=8 / READ_PORT,
        last_sums=OX * 8 / WRITE_PORT,
        first_fill=(FX + OX + FX - 1) * 8 / DRAM_PORT,
        last_drain=OX * 8 / DRAM_PORT,
    )


def rows_in_a_set(text: str, rows: int, name: str) -> Case:
    """OY x FY PEs; where diagonals share, they need OY + FY - 1 different rows of I, else one each."""
    OY, FY, C = 2, 2, 3
    return Case(
        name=name,
        text=text,
        layer=Layer(name="x", dims=dict(OY=OY, FY=FY, C=C)),
        mapping=nest(buffer=loops(C=C), x=loops(OY=OY), y=loops(FY=FY)),
        bits={
            ("regs", "W"): (OY * FY * C * 8, OY * FY * C * 8),
            ("regs", "O"): (OY * FY * (C - 1) * SUM, OY * FY * C * SUM),
            ("buffer", "W"): (FY * C * 8, FY * C * 8),
            ("buffer", "I"): (rows * C * 8, (OY + FY - 1) * C * 8),
            ("buffer", "O"): (0, OY * 8),
            ("dram", "W"): (FY * C * 8, 0),
            ("dram", "I"): ((OY + FY - 1) * C * 8, 0),
            ("dram", "O"): (0, OY * 8),
        },
        compute=C,
        weight_fill=FY * 8 / READ_PORT,
        last_sums=OY * 8 / WRITE_PORT,
        first_fill=(FY + OY + FY - 1) * C * 8 / DRAM_PORT,
        last_drain=OY * 8 / DRAM_PORT,
    )


def batch(name: str, bits: Bits | None = None, **changes) -> Case:
    """B samples, then C in the buffer; K outside, so that I stays there. At widths w, i, o and sums of `SUM`."""
    B, K, C = 3, 2, 2
    w, i, o = (8, 8, 8) if bits is None else (bits.w, bits.i, bits.out)
    edges = dict(
        compute=B * K * C,
        outer=K,
        weight_fill=w / READ_PORT,
        last_sums=o / WRITE_PORT,
        first_fill=(C * w + B * C * i) / DRAM_PORT,
        last_drain=B * o / DRAM_PORT,
    )
    return Case(
        name=name,
        layer=Layer(name="x", kind="linear", dims=dict(B=B, K=K, C=C), bits=bits),
        mapping=nest(buffer=loops(B=B, C=C), dram=loops(K=K)),
        bits={
            ("regs", "W"): (B * K * C * w, B * K * C * w),
            ("regs", "O"): ((B * K * C - B * K) * SUM, B * K * C * SUM),
            ("buffer", "W"): (B * K * C * w, K * C * w),
            ("buffer", "I"): (B * K * C * i, B * C * i),
            ("buffer", "O"): (0, B * K * o),
            ("dram", "W"): (K * C * w, 0),
            ("dram", "I"): (B * C * i, 0),
            ("dram", "O"): (0, B * K * o),
        },
        **{**edges, **changes},
    )


def without_registers() -> Case:
    """MACs that add straight into the buffer: every product is a write of a sum, and all but the first a read."""
    K, C, B = 2, 2, 3
    steps = 2  # of C, one after the other; two more stand side by side
    return Case(
        name="no registers",
        text=NO_REGISTERS,
        layer=Layer(name="x", kind="linear", dims=dict(B=B, K=K, C=C * steps)),
        mapping=nest(buffer=loops(B=B, C=steps), x=loops(K=K), y=loops(C=C), registers=False),
        bits={
            ("buffer", "W"): (B * steps * K * C * 8, K * C * steps * 8),
            ("buffer", "I"): (B * steps * C * 8, B * C * steps * 8),
            ("buffer", "O"): (
                B * K * (steps - 1) * SUM,
                B * K * steps * SUM,
            ),  # sums of C, never finished on the way
            ("dram", "W"): (K * C * steps * 8, 0),
            ("dram", "I"): (B * C * steps * 8, 0),
            ("dram", "O"): (0, B * K * 8),
        },
        compute=B * steps,
        weight_fill=0,
        last_sums=0,
        first_fill=(K * C + B * C) * steps * 8 / DRAM_PORT,
        last_drain=B * K * 8 / DRAM_PORT,
    )


CASES = [
    weights_stay(),
    window(1),
    window(2),
    window(4),  # a stride beyond the filter: the whole tile is new
    window(1, dilation=2),
    sums_spill(),
    sums_stay(),
    depthwise(),
    rows_in_a_set(ROWS, rows=3, name="diagonals share rows"),
    rows_in_a_set(APART, rows=4, name="no diagonals"),
    batch("batch"),
    batch("narrow", Bits(w=2, i=4, o=6)),  # one width in the multiplier: fewer bits move, nothing else
    batch("wide", Bits(w=16, i=8), compute=12 * 2, mac_pj=2 * MAC),  # two passes of the 8-bit multiplier
    batch("single buffered", text=SINGLE),
    batch("unequal ports", text=UNEQUAL, last_drain=3 * 8 / 4),
    without_registers(),
]


def ends_of(case: Case, moved: Callable[[str, int], float]) -> dict[str, list[float]]:
    """When array and ports let the layer end, as `docs/explain/cost-model.md` has it.

    The registers of the chip are single buffered, the buffer is unless it says otherwise double buffered; ports of
    the buffer are apart.
    """
    fill, drain, sums = case.first_fill, case.last_drain, case.last_sums
    write = 4 if case.text is UNEQUAL else DRAM_PORT
    refills = 0.0
    if case.text is not NO_REGISTERS:
        refills = (case.bits["buffer", "W"][0] + case.bits["buffer", "O"][0]) / READ_PORT
    read, written = moved("buffer", 0) / READ_PORT, moved("buffer", 1) / WRITE_PORT
    if case.text is SINGLE:
        into = sum(case.bits["dram", x][0] for x in "WIO") / min(DRAM_PORT, WRITE_PORT)
        alternating = into + moved("dram", 1) / min(DRAM_PORT, READ_PORT)
        ends = {
            "compute": [case.compute + refills + alternating + sums],
            "buffer": [read + alternating, written - into + alternating],
        }
    else:  # of the first fill the write port does as much as it takes: both have 16 bit/cycle
        ends = {
            "compute": [fill + case.compute + refills + sums + drain],
            "buffer": [fill + read + drain, written + drain],
        }
    tile = case.compute / case.outer
    ends["dram"] = [
        moved("dram", 0) / 16 + tile + sums + drain,
        fill + case.weight_fill + case.stay * tile + sums + moved("dram", 1) / write,
    ]
    if case.text is not UNEQUAL:
        ends["dram"].append((moved("dram", 0) + moved("dram", 1)) / DRAM_PORT)
    return ends


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_price_is_what_the_paper_says(case, tmp_path):
    priced = price(Task.of(case.layer, chip(tmp_path, case.text)), case.mapping)
    found = {key: (item.reads_bits, item.writes_bits) for key, item in priced.traffic.items()}
    assert found == case.bits

    per_bit = {"regs": (REGS, REGS), "buffer": (BUFFER_READ, BUFFER_WRITE), "dram": (DRAM, DRAM)}
    energy = {key: r * per_bit[key[0]][0] + w * per_bit[key[0]][1] for key, (r, w) in case.bits.items()}
    energy["mac", ""] = math.prod(case.layer.dims.values()) * case.mac_pj
    assert priced.energy_pj == pytest.approx(energy)

    def moved(memory: str, way: int) -> float:
        return sum(pair[way] for (place, _), pair in case.bits.items() if place == memory)

    ends = ends_of(case, moved)
    assert priced.compute_cycles == case.compute
    assert priced.cycles == math.ceil(max(max(ends[name]) for name in ends) - 1e-9)
    assert max(ends[priced.bound]) == max(max(ends[name]) for name in ends)
    parts = priced.parts
    assert parts.first_fill + parts.busy + parts.waiting + parts.last_drain == pytest.approx(
        max(ends[priced.bound])
    )
    size = 4 * (case.mac_pj / MAC)  # PEs; the passes of a wide product halve the rate
    assert priced.utilization == pytest.approx(
        math.prod(case.layer.dims.values()) / (4 / (size / 4) * priced.cycles)
    )


def test_sums_in_the_buffer_of_a_chip_without_registers_are_as_wide_as_the_accumulator(tmp_path):
    """Even where the adders across the PEs finish them at once: what a MAC adds to has the width of a sum."""
    K, C = 2, 2
    layer = Layer(name="x", kind="linear", dims=dict(K=K, C=C))
    priced = price(Task.of(layer, chip(tmp_path, NO_REGISTERS)), nest(x=loops(K=K), y=loops(C=C), registers=False))
    outputs = priced.traffic["buffer", "O"]
    assert (outputs.reads_bits, outputs.writes_bits) == (0, K * SUM)
    assert priced.tile_bits["buffer", "O"] == K * SUM
    assert priced.traffic["dram", "O"].writes_bits == K * 8


def test_a_gated_mac_spends_nothing_and_reads_no_weight(tmp_path):
    """Half of the inputs are zeros: the registers of W and O rest with the MAC, the buffer does not."""
    case, density = batch("gated"), 0.5
    layer = Layer(name="x", kind="linear", dims=case.layer.dims, density=Density(i=density))
    gated = price(Task.of(layer, chip(tmp_path, TINY + "gating: [I]\n")), case.mapping)
    macs, fills = 12, 12  # of W, from the buffer
    assert gated.energy_pj["mac", ""] == pytest.approx(density * macs * MAC)
    assert gated.energy_pj["regs", "W"] == pytest.approx((density * macs + fills) * 8 * REGS)
    assert gated.energy_pj["regs", "O"] == pytest.approx(density * (6 + 12) * SUM * REGS)
    assert gated.energy_pj["buffer", "I"] == pytest.approx((12 * BUFFER_READ + 6 * BUFFER_WRITE) * 8)
    assert gated.compute_cycles == macs


@pytest.mark.parametrize("also", ["", "skipping: [W]\n", "gating: [W]\n"])
def test_a_pattern_is_counted_once_whatever_else_skips_its_zeros(tmp_path, also):
    """2:4 in W: half of the MACs are left, not a quarter, whether the pattern or the zeros are what is skipped."""
    K, C = 2, 4
    layer = Layer(name="x", dims=dict(K=K, C=C), density=Density(w=0.5, pattern="2:4"))
    text = TINY + "nm: ['2:4']\n" + also
    packed = 2 * (8 + 2) / (4 * 8)  # two values of four, each with an index of two bits
    priced = price(Task.of(layer, chip(tmp_path, text)), nest(buffer=loops(K=K, C=C)))
    macs = K * C
    assert priced.energy_pj["mac", ""] == pytest.approx(macs / 2 * MAC)
    # Skipping alone waits after every MAC of a PE without a loop of its own: one cycle each, zero or not.
    assert priced.compute_cycles == (macs if "skipping" in also else macs / 2)
    # Every memory holds, moves and is filled with the packed weights.
    weights = macs * 8 * packed
    assert priced.traffic["dram", "W"].reads_bits == weights
    for memory in ("buffer", "regs"):
        traffic = priced.traffic[memory, "W"]
        assert (traffic.reads_bits, traffic.writes_bits) == (weights, weights)
    assert priced.energy_pj["regs", "W"] == pytest.approx(2 * weights * REGS)
    assert priced.energy_pj["regs", "O"] == pytest.approx((macs - K + macs) / 2 * SUM * REGS)
    assert priced.parts.first_fill == (weights + C * 8) / DRAM_PORT


def test_a_gated_input_is_read_for_the_macs_that_skipping_leaves(tmp_path):
    """Zeros of W are skipped, with or without a pattern: half of the MACs look at their input, to gate on it."""
    K, C = 2, 4
    everything = TINY.replace("holds: [W, O]", "holds: [W, I, O]")
    text = everything + "nm: ['2:4']\nskipping: [W]\ngating: [I]\n"
    kept: tuple[LevelMapping, ...] = tuple(
        LevelMapping(name=name, keeps=("W", "I", "O"), temporal=loops(K=K, C=C) if name == "buffer" else ())
        for name in ("regs", "buffer", "dram")
    )
    for density in (Density(w=0.5, i=0.5), Density(w=0.5, i=0.5, pattern="2:4")):
        layer = Layer(name="x", dims=dict(K=K, C=C), density=density)
        priced = price(Task.of(layer, chip(tmp_path, text)), Mapping(levels=kept))
        macs, fills = K * C, K * C
        assert priced.energy_pj["regs", "I"] == pytest.approx((macs / 2 + fills) * 8 * REGS)
        assert priced.energy_pj["mac", ""] == pytest.approx(macs / 4 * MAC)
