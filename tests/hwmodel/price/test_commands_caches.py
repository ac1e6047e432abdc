"""Caches behind commands: the lines that a tile lacks, against sweeps, rows and tiles one by one."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodel import Layer, load_accelerator
from hwmodel.chip.timing.commands import Cache
from hwmodel.mapper.commands.tilings import tiling_mapping
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES
from hwmodel.price.commands.caches import lines_of, miss_share, missed_lines, sets_used
from hwmodel.price.commands.cycles import phases_of_mapping

GEMMINI = load_accelerator("gemmini")
ORDER = ("B", "G", "K", "OY", "OX", "FY", "FX", "C")


@given(st.floats(0, 40))
def test_the_share_that_misses_solves_its_equation(x):
    q = float(miss_share(np.array([x]))[0])
    assert 0 <= q <= 1
    assert (q == 0) if x <= 1 else 1 - q == pytest.approx(math.exp(-q * x), abs=1e-5)


@pytest.mark.parametrize("fullness", [0.5, 1.2, 1.6, 2.5, 4.0])
def test_a_sweep_over_a_cache_with_random_victims_misses_that_share(fullness):
    rng, places = random.Random(0), 512
    held, where, missed = list(range(-places, 0)), {}, 0
    lines, sweeps = int(fullness * places), 30
    for sweep, line in itertools.product(range(sweeps), range(lines)):
        if line not in where:
            missed += sweep >= sweeps // 2
            victim = next((n for n, old in enumerate(held) if old < 0), None) if fullness < 1 else None
            victim = rng.randrange(places) if victim is None else victim
            where.pop(held[victim], None)
            held[victim], where[line] = line, victim
    found = missed / (lines * (sweeps - sweeps // 2))
    assert found == pytest.approx(float(miss_share(np.array([fullness]))[0]), abs=0.03)


@given(width=st.integers(1, 40), more=st.integers(0, 60), step=st.sampled_from([1, 4, 16]))
def test_lines_of_rows_are_those_of_the_rows_one_by_one(width, more, step):
    """The mean over one period of rows, each from its own start."""
    line = 16
    width, pitch = width * step, (width + more) * step
    rows = line // math.gcd(pitch, line)
    touched = [{b // line for b in range(n * pitch, n * pitch + width)} for n in range(rows)]
    mean = sum(len(one) for one in touched) / rows
    expected = len(set().union(*touched)) / rows if width == pitch else min(mean, max(pitch / line, 1.0))
    stated = float(lines_of(np.array([float(width)]), float(pitch), line)[0])
    if width == pitch or math.gcd(pitch, line) == line or width % math.gcd(pitch, line) == 0:
        assert stated == pytest.approx(expected)
    else:
        assert stated == pytest.approx(expected, abs=1)


def test_a_pitch_of_many_lines_falls_on_few_sets():
    assert sets_used(1024, 1, 0, 4096, 8, 1) == 1024 // 8
    assert sets_used(1024, 1, 0, 4096, 8, 4) == 1024 // 8 * 4
    assert sets_used(1024, 1, 0, 10, 8, 1) == 10
    assert sets_used(1024, 3, 512, 8, 1, 1) == 16  # the third row falls on the first


def cached(lines: float, count: float, **loops: int) -> float:
    """Lines of W that a tile misses where K runs outside of OY: W of a tile takes `lines`, I and O nothing."""
    cache = Cache(size_bytes=64 * 100, ways=1, line_bytes=64, banks=1, load_cycles=1, store_cycles=1)
    one = np.ones(1)
    found = missed_lines(
        cache,
        ORDER,
        {dim: one * loops.get(dim, 1) for dim in DIM_NAMES},
        {"W": one * lines, "I": one * count, "O": one * 1e-9},
        {"W": one * 100, "I": one * 100, "O": one * 100},
        {"W": {}, "I": {}, "O": {}},
    )
    return float(found["W"][0])


def test_lines_come_back_in_the_loops_that_an_operand_does_not_depend_on():
    """100 lines: W of 40 comes back with every row of pixels, after itself and the inputs of a tile."""
    assert cached(40, 10, OY=4) == 0  # 50 of 100 lines between, and 40 + 4 * 10 in all
    q = float(miss_share(np.array([1.2]))[0])  # 40 + 80 lines between
    everything = float(miss_share(np.array([(40 + 4 * 80) / 100]))[0])
    assert cached(40, 80, OY=4) == pytest.approx(40 * (3 / 4 * q + 1 / 4 * everything))
    # K outside: other weights, each once; what brings them back is the run before, after all lines
    assert cached(40, 10, K=4) == pytest.approx(40 * float(miss_share(np.array([1.7]))[0]))


def extra_loads(layer: Layer, tile: dict[str, int], caches: tuple[Cache, ...]) -> float:
    """Load cycles of a tile that the caches add."""
    task = Task.of(layer, GEMMINI)
    mapping = tiling_mapping(task, dict(layer.dims) | tile, ORDER)
    with_caches, without = (
        phases_of_mapping(replace(GEMMINI.timing, caches=some), task, mapping).loads[0] for some in (caches, ())
    )
    return float(with_caches - without)


def fully_associative(lines: int) -> Cache:
    return Cache(size_bytes=64 * lines, ways=lines, line_bytes=64, banks=1, load_cycles=1, store_cycles=0)


def test_rows_that_windows_share_are_there_from_the_tile_before():
    """Of four rows of 16 pixels the next tile reads two again: 10 of 16 are new, and W in one of four tiles."""
    layer = Layer(name="x", dims={"K": 16, "C": 64, "OY": 8, "OX": 16, "FY": 3})
    weights, inputs, outputs = 3 * 64 / 4, 4 * 16, 2 * 16 / 4  # 16 B rows of W and O share lines of 64 B
    everything = weights + 10 * 16 + 8 * 16 / 4
    lines = int(everything / 1.25)
    assert weights + inputs + outputs < lines  # one tile to the next
    q = float(miss_share(np.array([everything / lines]))[0])
    expected = weights * q / 4 + inputs * q * 10 / 16
    assert extra_loads(layer, {"OY": 2}, (fully_associative(lines),)) == pytest.approx(expected)


def test_a_cache_lacks_no_line_that_the_one_before_it_has():
    layer = Layer(name="x", dims={"K": 64, "C": 64, "OX": 16})
    assert extra_loads(layer, {}, (fully_associative(4096), fully_associative(1))) == 0
    assert extra_loads(layer, {}, (fully_associative(1), fully_associative(4096))) > 0
