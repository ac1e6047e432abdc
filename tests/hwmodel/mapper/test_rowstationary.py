"""The row-stationary search against brute force: every mapping that the published rules allow, each priced."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Bits, Layer, find_mapping, load_accelerator
from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import MappingError
from hwmodel.mapper import shared
from hwmodel.mapper.row_stationary import _mapping, row_stationary, search
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.nest.task import Stay, Task
from hwmodel.network.layer import DIM_NAMES
from hwmodel.network.numbers import divisors
from hwmodel.price.priced import Priced
from hwmodel.price.spatial import price

EYERISS = load_accelerator("eyeriss")


def small_chip(spads: dict[str, float], buffer: float, **changes: object) -> Accelerator:
    """Eyeriss with 4 x 5 PEs, spads and a buffer of so many bits, and changes to every memory with a size."""
    axes = tuple(replace(axis, size=size) for axis, size in zip(EYERISS.axes, (4, 5), strict=True))
    sizes = {**spads, "glb": buffer}
    levels = tuple(
        replace(level, memories=tuple(
            replace(m, size_bits=sizes[m.name], **changes) if m.name in sizes else m for m in level.memories
        ))
        for level in EYERISS.levels
    )  # fmt: skip
    return replace(EYERISS, axes=axes, levels=levels)


PORTS = dict(read_bits_per_cycle=24.0, write_bits_per_cycle=20.0)
CHIPS = [
    small_chip({"filter_spad": 12 * 16, "ifmap_spad": 6 * 16, "psum_spad": 4 * 16}, 300 * 16, bank_bits=64.0),
    small_chip({"filter_spad": 40 * 16, "ifmap_spad": 20 * 16, "psum_spad": 8 * 16}, 600 * 16,
               bank_bits=None, double_buffered=True, **PORTS),
    small_chip({"filter_spad": 12 * 16, "ifmap_spad": 6 * 16, "psum_spad": 4 * 16}, 400 * 16,
               bank_bits=None, shared_port=True, **PORTS),
]  # fmt: skip
CHIPS += [
    replace(CHIPS[0], diagonal=False),
    small_chip({"filter_spad": 24 * 16, "ifmap_spad": 16 * 16, "psum_spad": 8 * 16}, 320 * 16, bank_bits=8 * 16.0),
    small_chip({"filter_spad": 12 * 16, "ifmap_spad": 6 * 16, "psum_spad": 4 * 16}, 28 * 16, bank_bits=None),
]


def unrollings(layer: Layer, chip: Accelerator) -> Iterator[tuple[Loop, ...]]:
    """Loops across the PEs: any bounds that fit, but filter rows spread as far as they divide, and output rows in
    the numbers of `heights`, or all."""
    choices = []
    for axis in chip.axes:
        bounds = [range(1, min(axis.size, layer.dims[dim]) + 1) for dim in axis.dims]
        choices += [[
            tuple(Loop(d, n, axis.name) for d, n in zip(axis.dims, item, strict=True))
            for item in itertools.product(*bounds) if math.prod(item) <= axis.size
        ]]  # fmt: skip
    rows = max(n for n in range(1, chip.axes[0].size + 1) if layer.dims.FY % n == 0)
    legal = []
    for loops in (first + second for first, second in itertools.product(*choices)):
        of = {dim: math.prod(loop.bound for loop in loops if loop.dim == dim) for dim in DIM_NAMES}
        grouped = of["G"] == 1 or layer.dims.K * layer.dims.C == 1
        if of["FY"] == rows and grouped and all(of[d] < 2 * layer.dims[d] for d in DIM_NAMES):
            legal.append((of["OY"], tuple(loop for loop in loops if loop.bound > 1)))
    wanted = heights(layer, *(axis.size for axis in chip.axes))
    whole = min((e for e, _ in legal if e >= layer.dims.OY), default=None)
    for e, loops in legal:
        if e in wanted or e == whole:
            yield loops


def heights(layer: Layer, rows: int, columns: int) -> set[int]:
    """Of strips: as few even ones as are no wider than the array, or than half of it if no two sets stack."""
    if columns >= layer.dims.OY:
        return set()
    widths = {columns, columns // 2} if rows < 2 * layer.dims.FY else {columns}
    return {math.ceil(layer.dims.OY / math.ceil(layer.dims.OY / width)) for width in widths}


def all_mappings(layer: Layer, chip: Accelerator) -> Iterator[Mapping]:
    """p, q, k of any size; s, n and f that divide; each loop at its place in the order of the chip."""
    for spatial in unrollings(layer, chip):
        of = {dim: math.prod(loop.bound for loop in spatial if loop.dim == dim) for dim in DIM_NAMES}
        steps = {dim: math.ceil(layer.dims[dim] / of[dim]) for dim in DIM_NAMES}
        sizes = [range(1, steps["K"] + 1), range(1, steps["C"] + 1)]
        exact = [[d for d in range(1, steps[dim] + 1) if steps[dim] % d == 0] for dim in ("FX", "B", "OX")]
        for p, q, s, n, f in itertools.product(*sizes, *exact):
            left = math.ceil(steps["K"] / p)
            for k in range(1, left + 1):
                pe = [("C", q), ("FX", s), ("K", p)]
                buffer = [("FY", steps["FY"]), ("FX", steps["FX"] // s), ("K", k), ("B", n), ("OX", f)]
                dram = [("G", steps["G"]), ("B", steps["B"] // n), ("OY", steps["OY"]), ("OX", steps["OX"] // f),
                        ("K", math.ceil(left / k)), ("C", math.ceil(steps["C"] / q))]  # fmt: skip
                yield Mapping(levels=tuple(
                    LevelMapping(
                        name=level.name, keeps=level.holds, spatial=spatial if index == 1 else (),
                        temporal=tuple(Loop(dim, bound) for dim, bound in loops if bound > 1),
                    )
                    for index, (level, loops) in enumerate(zip(chip.levels, (pe, buffer, dram), strict=True))
                ))  # fmt: skip


def in_banks(chip: Accelerator, priced: Priced) -> bool:
    """Every tile in whole banks fits its memory; `check_mapping` does not look at banks."""
    for memory in (m for level in chip.levels for m in level.memories if m.size_bits is not None):
        bank = memory.bank_bits or 1.0
        need = sum(math.ceil(priced.tile_bits[memory.name, operand] / bank) * bank for operand in memory.holds)
        if need * (2 if memory.double_buffered else 1) > memory.size_bits:
            return False
    return True


def in_one_bank(chip: Accelerator, mapping: Mapping, priced: Priced) -> bool:
    """The ifmaps of one image lie in one bank of the buffer, or are of a single channel."""
    (buffer,) = chip.levels[1].memories
    channels = mapping.bounds(0)["C"] * mapping.spatial_of("C") * mapping.spatial_of("G")
    image = priced.tile_bits[buffer.name, "I"] / mapping.bounds(1)["B"]
    return channels == 1 or image <= (buffer.bank_bits or math.inf)


def best_of(task: Task, optimize: str) -> Priced | None:
    """The best mapping with output rows in as few pieces as fit."""
    by_pieces: dict[int, list[Priced]] = {}
    for mapping in all_mappings(task.layer, task.accelerator):
        try:
            priced = price(task, mapping)
        except MappingError:
            continue
        if in_banks(task.accelerator, priced) and in_one_bank(task.accelerator, mapping, priced):
            by_pieces.setdefault(task.layer.dims.OX // mapping.bounds(1)["OX"], []).append(priced)
    if not by_pieces:
        return None
    return min(by_pieces[min(by_pieces)], key=lambda priced: score(priced, optimize))


def score(priced: Priced, optimize: str, more: int = 0) -> float:
    """The objective, of a mapping that takes so many cycles more."""
    cycles = priced.cycles + more
    energy = sum(priced.energy_pj.values()) + more * EYERISS.clock_pj
    return {"energy": energy, "latency": cycles, "edp": energy * cycles}[optimize]


LAYERS = st.builds(
    lambda b, g, k, c, oy, ox, fy, fx, stride, dilation, bits: Layer(
        name="x", dims=dict(B=b, G=g, K=k, C=c, OY=oy, OX=ox, FY=fy, FX=fx), stride=stride, dilation=dilation,
        bits=Bits(w=bits[0], i=bits[1], o=16),
    ),
    st.integers(1, 2), st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 6),
    st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 4]), st.integers(1, 2),
    st.integers(1, 2), st.sampled_from([(16, 16), (8, 5)]),
)  # fmt: skip


@pytest.mark.parametrize("optimize", ["energy", "latency", "edp"])
@settings(max_examples=12, deadline=None)
@given(layer=LAYERS, number=st.integers(0, len(CHIPS) - 1), i_bits=st.sampled_from([None, 32]))
def test_the_search_finds_the_best_of_all_mappings(optimize, layer, number, i_bits):
    chip = CHIPS[number]
    task = Task.of(layer, chip, Stay(i_bits=i_bits))
    best = best_of(task, optimize)
    if best is None:
        with pytest.raises(MappingError, match="no row-stationary mapping of 'x' fits"):
            row_stationary(task, optimize)
        return
    found = price(task, row_stationary(task, optimize))
    assert in_banks(chip, found)
    least = score(best, optimize)  # cycles are rounded up, after sums that may be off by a last digit
    assert least * (1 - 1e-9) <= score(found, optimize) <= score(best, optimize, more=1) * (1 + 1e-9)


@st.composite
def large_layers(draw: st.DrawFn) -> Layer:
    """Layers of real sizes, for which nobody prices every mapping."""
    size = draw(st.sampled_from([1, 7, 13, 14, 28, 56]))
    filt = draw(st.sampled_from([1, 3, 5]))
    dims = dict(
        B=draw(st.sampled_from([1, 4, 12, 128])), G=draw(st.sampled_from([1, 1, 3])), K=draw(st.integers(1, 600)),
        C=draw(st.integers(1, 600)), OY=size, OX=draw(st.sampled_from([1, size])), FY=filt, FX=filt,
    )  # fmt: skip
    widths = draw(st.sampled_from([(16, 16), (8, 5)]))
    return Layer(name="x", dims=dims, stride=draw(st.integers(1, 4)), bits=Bits(w=widths[0], i=widths[1], o=16))


def part(draw: st.DrawFn, number: int) -> int:
    """The size of the parts when a number is cut, the last one padded; often an extreme."""
    count = draw(st.one_of(st.just(1), st.just(number), st.integers(1, number)))
    return math.ceil(number / count)


@pytest.mark.parametrize("optimize", ["energy", "latency", "edp"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_mapping_of_a_large_layer_beats_the_search(optimize, data):
    """The bounds leave out most of such a space: mappings drawn from it, often its corners, are never better."""
    layer, chip = data.draw(large_layers()), data.draw(st.sampled_from([EYERISS, *CHIPS]))
    task = Task.of(layer, chip)
    sets, energy_pj, cycles, found = search(task, optimize)
    least = {"energy": energy_pj, "latency": cycles, "edp": energy_pj * cycles}[optimize]
    for _ in range(40):
        arrangement = data.draw(st.one_of(st.just(max(0, found[0])), st.integers(0, len(sets) - 1)))
        of = {dim: math.ceil(layer.dims[dim] / sets[arrangement].factors.get(dim, 1)) for dim in DIM_NAMES}
        p, q = min(24, part(data.draw, of["K"])), min(12, part(data.draw, of["C"]))
        s, n = (data.draw(st.sampled_from(divisors(of[dim]))) for dim in ("FX", "B"))
        k = part(data.draw, math.ceil(of["K"] / p))
        try:
            mapping = _mapping(layer.dims, chip, sets[arrangement], [p, q, s, n, k, int(max(1, found[6]))])
            priced = price(task, mapping)
        except MappingError:
            continue
        if in_banks(chip, priced) and in_one_bank(chip, mapping, priced):
            assert score(priced, optimize, more=1) >= least * (1 - 1e-9), (arrangement, p, q, s, n, k)


#: Memories that are slower to write than to read, by far.
UNEQUAL = small_chip(
    {"filter_spad": 40 * 16, "ifmap_spad": 20 * 16, "psum_spad": 8 * 16}, 600 * 16,
    bank_bits=None, double_buffered=True, read_bits_per_cycle=24.0, write_bits_per_cycle=2.0,
)  # fmt: skip


@pytest.mark.parametrize("optimize", ["energy", "latency", "edp"])
@pytest.mark.parametrize("chip", [*CHIPS, UNEQUAL])
@pytest.mark.parametrize(
    "layer",
    [
        Layer(name="x", dims=dict(K=3, C=2, OY=4, OX=4, FY=3, FX=2), bits=Bits(w=8, i=5, o=16)),
        Layer(name="x", dims=dict(G=2, OY=5, OX=2, FY=2, FX=2), stride=2, bits=Bits(w=16, i=16)),
    ],
    ids=["conv", "depthwise"],
)
@pytest.mark.parametrize("i_bits", [None, 24])
def test_the_search_counts_what_the_price_charges(layer, i_bits, chip, optimize):
    """Not only its choice: the energy and the cycles by which it chose, first fill and last drain included."""
    task = Task.of(layer, chip, Stay(i_bits=i_bits))
    _, energy_pj, cycles, _ = search(task, optimize)
    found = price(task, row_stationary(task, optimize))
    assert abs(found.cycles - cycles) <= 1  # rounded up, after sums that may be off by a last digit
    assert sum(found.energy_pj.values()) == pytest.approx(energy_pj, rel=1e-9, abs=chip.clock_pj * 1.001)


def test_mappings_are_kept_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("HWMODEL_CACHE", str(tmp_path))
    shared.forget_mappings()
    layer = Layer(name="x", dims=dict(K=37, C=3, OY=27, OX=6, FY=3, FX=3))
    mapping, first = find_mapping(layer, EYERISS)
    assert mapping.dims != layer.dims  # padded
    shared.forget_mappings()
    monkeypatch.setattr(shared, "row_stationary", lambda *_: pytest.fail("mapped again"))
    assert find_mapping(layer, EYERISS) == (mapping, first)
