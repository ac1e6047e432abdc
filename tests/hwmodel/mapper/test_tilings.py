"""The tilings of machines driven by commands: the best of all that fit, priced one by one."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Bits, Dims, Layer, evaluate, find_mapping, load_accelerator
from hwmodel.chip.loader import FOLDER
from hwmodel.errors import MappingError
from hwmodel.mapper.commands.tilings import _orders, best_tiling, candidates, tiling_mapping
from hwmodel.mapper.shared import bound_mapping
from hwmodel.nest.rules import check_mapping
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES
from hwmodel.price.spatial import price
from tests.hwmodel.chips import chip

GEMMINI = load_accelerator("gemmini")


def small(scratchpad: float, accumulator: float):
    """The preset with buffers of so many KiB."""
    sizes = {"scratchpad": scratchpad * 8192, "accumulator": accumulator * 8192}
    levels = tuple(
        replace(level, memories=tuple(replace(m, size_bits=sizes.get(m.name, m.size_bits)) for m in level.memories))
        for level in GEMMINI.levels
    )
    return replace(GEMMINI, levels=levels)


def divisors(bound: int) -> list[int]:
    return [n for n in range(1, bound + 1) if bound % n == 0]


def all_prices(task: Task) -> list[tuple[int, float]]:
    """(cycles, energy) of every tiling under every order, one by one; those that do not fit are left out."""
    d = task.layer.dims
    sizes = {dim: divisors(d[dim]) for dim in DIM_NAMES}
    for dim in ("K", "C"):
        sizes[dim] = [16 * n for n in divisors(d[dim] // 16)] if d[dim] % 16 == 0 else [d[dim]]
    found = []
    for tile in itertools.product(*(sizes[dim] for dim in DIM_NAMES)):
        for free in itertools.permutations(("K", "OY", "OX")):
            order = ("B", "G", *free, "FY", "FX", "C")
            try:
                priced = price(task, tiling_mapping(task, dict(zip(DIM_NAMES, tile, strict=True)), order))
            except MappingError:
                continue
            found.append((priced.cycles, sum(priced.energy_pj.values())))
    return found


CASES = [
    (Dims(K=32, C=32, OY=4, OX=6, FY=3), 8, 4),
    (Dims(K=64, C=48, B=8), 8, 2),
    (Dims(K=20, C=3, OY=8, OX=8, FX=3), 4, 4),
]


@pytest.mark.parametrize(("dims", "scratchpad", "accumulator"), CASES)
def test_the_best_tiling_is_the_best_of_all(dims, scratchpad, accumulator):
    task = Task.of(Layer(name="x", dims=dims), small(scratchpad, accumulator))
    prices = all_prices(task)
    assert len(prices) > 20
    fastest = price(task, best_tiling(task, "latency"))
    assert fastest.cycles == min(cycles for cycles, _ in prices)
    product = price(task, best_tiling(task, "edp"))
    best = min(cycles * energy for cycles, energy in prices)
    assert product.cycles * sum(product.energy_pj.values()) == pytest.approx(best)


@settings(max_examples=25, deadline=None)
@given(
    dims=st.builds(
        lambda k, c, oy, ox, f, b: Dims(K=k, C=c, OY=oy, OX=ox, FY=f, FX=f, B=b),
        *[st.integers(1, 70), st.integers(1, 70), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3)],
        st.integers(1, 2),
    ),
    data=st.data(),
)
def test_candidates_are_priced_as_their_mappings_are(dims, data):
    task = Task.of(Layer(name="x", dims=dims), GEMMINI)
    found = candidates(task)
    n = data.draw(st.integers(0, len(found.cycles) - 1))
    mapping = tiling_mapping(task, {dim: int(sizes[n]) for dim, sizes in found.tiles.items()}, found.orders[n])
    check_mapping(task, mapping)
    assert price(task, mapping).cycles == pytest.approx(found.cycles[n], abs=1)
    assert list(found.cycles) == sorted(found.cycles)


def test_objectives_take_the_mappings_that_they_ask_for():
    """Energy by the mapper's own search, cycles by the tilings; and a bound that none of them is below."""
    layer = Layer(name="x", dims={"K": 64, "C": 64, "OY": 14, "OX": 14, "FY": 3, "FX": 3}, padding=((1, 1), (1, 1)))
    energy, latency, edp = (evaluate(layer, GEMMINI, optimize=wanted) for wanted in ("energy", "latency", "edp"))
    assert energy.energy_pj <= edp.energy_pj <= latency.energy_pj
    assert latency.cycles <= edp.cycles <= energy.cycles
    assert edp.energy_pj * edp.cycles <= min(c.energy_pj * c.cycles for c in (energy, latency))
    mapping, cost = find_mapping(layer, GEMMINI, optimize="latency")
    assert cost.cycles == latency.cycles
    assert mapping == best_tiling(Task.of(layer, GEMMINI), "latency")
    assert bound_mapping(Task.of(layer, GEMMINI), "latency") <= latency.cycles
    assert 0 < bound_mapping(Task.of(layer, GEMMINI), "energy") <= energy.energy_pj


def test_a_layer_that_does_not_fit_says_so():
    chip = small(0.25, 64)  # 16 channels of a pixel and 16 x 16 weights take 272 B, twice
    with pytest.raises(MappingError, match=r"no tiling of 'x' fits 'gemmini'.*larger `size`"):
        best_tiling(Task.of(Layer(name="x", dims={"K": 64, "C": 64, "OX": 8}), chip), "latency")


def test_groups_run_one_after_the_other():
    """A depthwise layer has a weight of its own for every channel and tap: its passes are as many."""
    task = Task.of(Layer(name="x", dims={"G": 6, "OY": 8, "OX": 8, "FX": 3}), GEMMINI)
    priced = price(task, best_tiling(task, "latency"))
    assert priced.compute_cycles >= 6 * 3 * 8 * 8


def test_an_accumulator_for_each_column_is_the_same_machine(tmp_path):
    """Four levels: of every column its own 4 KiB, a 16th of the whole; the same tilings, as fast as before."""
    text = (FOLDER / "gemmini.yaml").read_text()
    text = text.replace(
        "    level: on_chip\n    holds: [O]\n    size: 64 KiB", "    per: X\n    holds: [O]\n    size: 4 KiB"
    )
    text = text.replace("    level: on_chip\n    holds: [W, I]", "    holds: [W, I]")
    deep = chip(tmp_path, text.replace("temporal:\n", "temporal:\n  scratchpad: []\n"))
    assert [level.name for level in deep.levels] == ["weight_register", "accumulator", "scratchpad", "dram"]
    for dims in ({"K": 64, "C": 48, "OY": 28, "OX": 28, "FX": 3}, {"K": 40, "C": 16, "B": 200}):
        layer = Layer(name="x", dims=dims)
        tasks = [Task.of(layer, own) for own in (GEMMINI, deep)]
        assert list(candidates(tasks[1]).cycles) == list(candidates(tasks[0]).cycles)
        mappings = [best_tiling(task, "latency") for task in tasks]
        check_mapping(tasks[1], mappings[1])
        priced = [price(task, mapping) for task, mapping in zip(tasks, mappings, strict=True)]
        check_mapping(tasks[1], best_tiling(tasks[1], "edp"))
        assert priced[0].cycles == priced[1].cycles
        assert priced[1].traffic["dram", "O"].writes_bits == priced[0].traffic["dram", "O"].writes_bits


def test_every_candidate_fits_with_the_next_tile_beside_it():
    task = Task.of(Layer(name="x", dims=Dims(K=64, C=48, OY=8, OX=8)), small(6, 4))
    found = candidates(task)
    for n, order in enumerate(found.orders):
        check_mapping(task, tiling_mapping(task, {dim: int(sizes[n]) for dim, sizes in found.tiles.items()}, order))
    assert max(found.tiles["OX"] * found.tiles["OY"] * found.tiles["K"]) * 32 * 2 == 4 * 8192


#: What changes of the preset, and whether 16-bit weights still fit.
CHANGED = {
    "registers of one weight": ({"    size: 8 B": "    size: 2 B"}, False),
    "registers that hold sums": ({"    holds: [W]\n    size: 8 B": "    holds: [W, O]\n    size: 40 B",
                                  "[B, OY, OX]": "[]"}, True),
    "registers with a row of sums": ({"    holds: [W]\n    size: 8 B": "    holds: [W, O]\n    size: 100 B"}, True),
    "no loop over pixels outside": ({"temporal:\n": "temporal:\n  dram: [K, C, B]\n"}, True),
    "no loop over filters inside": ({"temporal:\n": "temporal:\n  on_chip: [C, FX, OX]\n"}, True),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_tilings_are_those_that_a_chip_can_run(name, tmp_path):
    """Of all sizes of a tile just those that the rules of mappings allow, whatever the rest of the chip is."""
    changes, wide_fits = CHANGED[name]
    text = (FOLDER / "gemmini.yaml").read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)
    own = chip(tmp_path, text)
    for bits in (8, 16):
        layer = Layer(name="x", dims=Dims(K=32, C=48, OX=6, OY=2), bits=Bits(w=bits, i=8))
        task = Task.of(layer, own)
        found = candidates(task)
        ours = {
            (tuple(int(sizes[n]) for sizes in found.tiles.values()), order) for n, order in enumerate(found.orders)
        }
        for tile, order in itertools.product(
            itertools.product([1], [1], [16, 32], [16, 48], [1, 2], [1, 2, 3, 6], [1], [1]), _orders(layer)
        ):
            try:
                check_mapping(task, tiling_mapping(task, dict(zip(DIM_NAMES, tile, strict=True)), order))
            except MappingError:
                assert (tile, order) not in ours
            else:
                assert (tile, order) in ours
        assert bool(ours) == (bits == 8 or wide_fits)
        if ours:
            assert price(task, best_tiling(task, "latency")).cycles == pytest.approx(found.cycles[0], abs=1)
        else:
            with pytest.raises(MappingError, match="no tiling of 'x' fits 'gemmini'"):
                best_tiling(task, "latency")
