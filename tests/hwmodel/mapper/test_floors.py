"""Lower bounds for all sizes of a buffer at once are those of each size by itself."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from hwmodel.chip.accelerator import Accelerator
from hwmodel.mapper.counting import BUFFER
from hwmodel.mapper.free import bound_best, branches_of
from hwmodel.mapper.kin.floors import Floors
from hwmodel.mapper.kin.library import Library
from hwmodel.mapper.space import exchange
from hwmodel.nest.task import Stay, Task
from hwmodel.network.layer import Bits, Dims, Layer
from tests.hwmodel.chips import TINY, chip
from tests.hwmodel.mapper.test_monotone import random_layer

APART = TINY.replace(
    "  - name: buffer\n    holds: [W, I, O]\n",
    "  - name: weights\n    level: shared\n    holds: [W]\n    size: 48 B\n    read_energy: 0.2 pJ/bit\n"
    "    double_buffered: true\n    source: test\n"
    "  - name: buffer\n    level: shared\n    holds: [I, O]\n",
)
RESIDENT = TINY.replace("    size: 64 B\n", "    size: 1 KiB\n    resident: [I, O]\n")


def sized(accelerator: Accelerator, factor: float) -> Accelerator:
    """The chip with other sizes of what is shared."""
    levels = tuple(
        level
        if level.per_pe
        else replace(
            level,
            memories=tuple(replace(m, size_bits=m.size_bits and m.size_bits * factor) for m in level.memories),
        )
        for level in accelerator.levels
    )
    return replace(accelerator, levels=levels)


@pytest.mark.parametrize("text", [TINY, APART, RESIDENT], ids=["one", "apart", "resident"])
@pytest.mark.parametrize("seed", range(6))
def test_floors_are_the_bounds_of_every_size(tmp_path, text: str, seed: int) -> None:
    rng = random.Random(seed)
    base, layer = chip(tmp_path, text), random_layer(rng)
    stay = Stay(resident=rng.choice([(), ("I",), ("I", "O")])) if text is RESIDENT else Stay()
    tasks = [Task.of(layer, sized(base, factor), stay) for factor in (1, 0.25, 0.5, 2, 7, 1e6)]
    for metric in ("energy", "latency"):
        floors = Floors(tasks[0], metric)
        for task in tasks:
            exchange._stairs.clear()
            exchange._least.clear()
            own = bound_best(task, metric)
            if metric == "energy":
                assert floors.bound(task) == own
            else:
                assert floors.bound(task) <= own
                assert np.isfinite(own) == np.isfinite(floors.bound(task))
    assert Floors(tasks[-1], "latency").bound(tasks[-1]) >= 0.9 * bound_best(tasks[-1], "latency")


def test_a_tile_that_sums_a_part_holds_unfinished_outputs(tmp_path) -> None:
    """4 x 4 channels of one pixel: half of the sums in 16 bit accumulators take what all of them take in 8 bit."""
    text = TINY.replace("    size: 64 B\n", "    size: 14 B\n").replace("d: true", "d: false")
    layer = Layer(name="x", dims=Dims(K=4, C=4), bits=Bits(w=8, i=8, o=8, acc=16))
    branch = branches_of(Task.of(layer, chip(tmp_path, text)))[0]
    tiles = branch.space.buffer_tiles(branch.kept[1]).tiles
    found = {(int(tile[2]), int(tile[3])) for tile in tiles}  # K, C
    every = [(k, c) for k in (1, 2, 4) for c in (1, 2, 4)]
    assert found == {(k, c) for k, c in every if k * c + c + k * (1 if c == 4 else 2) <= 14}
    assert (4, 2) not in found and (2, 4) in found  # 18 and 14 byte; with outputs of 8 bit both would be 14


def test_stairs_fall_where_a_better_tile_fits(tmp_path) -> None:
    layer = Layer(name="x", dims=Dims(K=8, C=8, OX=4), bits=Bits(w=8, i=8, o=8))
    branch = branches_of(Task.of(layer, chip(tmp_path, TINY)))[0]
    stairs = exchange.stairs_for(branch.space, branch.kept[1], branch.nest, 1)
    assert stairs is not None and len(stairs.needs) > 2
    values = branch.space.grid()
    needs = branch.space.needs(branch.kept[1], stairs.slot)
    prices = exchange.bounds.price_tiles(branch.nest, 1, values.tiles, values.held)[:, 0]
    for size in (*stairs.needs, *(stairs.needs - 1), 1e9):
        capacity = np.full(branch.space.capacity.shape[1], float(size))
        fits = prices[needs <= size]
        assert stairs.least(capacity)[0] == (fits.min() if len(fits) else np.inf)
    assert branch.space.capacity[BUFFER, stairs.slot] < np.inf


def test_resting_outputs_take_more_while_their_sums_are_parts(tmp_path) -> None:
    """4 outputs that lie in the buffer whole: 8 bit more each while sums of 2 of 4 channels come and go."""
    layer = Layer(name="x", dims=Dims(K=4, C=4), bits=Bits(w=8, i=8, o=8, acc=16))
    branch = branches_of(Task.of(layer, chip(tmp_path, RESIDENT), Stay(resident=("O",))))[0]
    tiles, needs = branch.space.grid().tiles, branch.space.needs(branch.kept[1], 0)
    found = {(int(tile[2]), int(tile[3])): need for tile, need in zip(tiles, needs, strict=True)}
    assert found[2, 2] == 8 * (2 * 2 + 2) + 4 * 8 / 2  # W, I and the rest of the sums, of half of the memory
    assert found[2, 4] == 8 * (2 * 4 + 4)


@pytest.mark.parametrize("metric", ["energy", "latency"])
def test_a_library_tells_ports_apart(tmp_path, metric: str) -> None:
    layer = Layer(name="x", dims=Dims(K=8, C=8, OX=4), bits=Bits(w=8, i=8, o=8))
    library = Library()
    texts = (TINY, TINY.replace("    bandwidth: 16 bit/cycle", "    bandwidth: 1 bit/cycle"))
    assert texts[0] != texts[1]
    tasks = [Task.of(layer, chip(tmp_path, text)) for text in texts]
    found = [library.bound(task, metric) for task in tasks]
    assert found == [Library().bound(task, metric) for task in tasks]
    assert (found[0] == found[1]) == (metric == "energy")
