"""`count_accesses` against a loop nest that is walked step by step."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from hwmodel.nest.access import count_accesses
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.network.layer import DIM_NAMES, Layer
from tests.hwmodel.chips import chip
from tests.hwmodel.mapper.executor import counts

FREE = """\
name: free
description: every operand may skip every level
source: made up for tests
clock: 100 MHz
mac: {w: 8 bit, i: 8 bit, accumulator: 16 bit, energy: 0.5 pJ, source: test}
array:
  - {axis: X, size: 6, dims: [B, G, K, C, OY, OX, FY, FX]}
  - {axis: Y, size: 6, dims: [B, G, K, C, OY, OX, FY, FX]}
memories:
  - {name: regs, per: pe, holds: [W, I, O], bypass: [W, I, O], size: 1 MB, read_energy: 0.01 pJ/bit, source: test}
  - {name: buffer, holds: [W, I, O], bypass: [W, I, O], size: 1 MB, read_energy: 0.1 pJ/bit, source: test}
  - {name: dram, holds: [W, I, O], size: unbounded, read_energy: 2 pJ/bit, source: test}
"""


def random_case(seed: int) -> tuple[Layer, Mapping]:
    """A layer of at most 200 MACs, split at random over three levels and two axes, kept at random."""
    rng = random.Random(seed)
    bounds = dict.fromkeys(DIM_NAMES, 1)
    depthwise = rng.random() < 0.2
    names = ["G", "OY", "OX", "FY", "FX"] if depthwise else [d for d in DIM_NAMES if d != "G" or rng.random() < 0.3]
    for _ in range(12):
        dim, factor = rng.choice(names), rng.choice((2, 2, 3))
        macs = 1
        for bound in bounds.values():
            macs *= bound
        if macs * factor <= 200:
            bounds[dim] *= factor
    places: list[list[Loop]] = [[], [], [], [], []]  # temporal of the three levels, then X and Y
    for dim, bound in bounds.items():
        left = bound
        while left > 1:
            factor = next(f for f in (2, 3, 5, 7) if left % f == 0)
            left //= factor
            place = rng.randrange(5)
            used = [loop.dim for loop in places[place]]
            size = 1
            for loop in places[place]:
                size *= loop.bound
            if place >= 3 and size * factor > 6:
                place, used = 2, [loop.dim for loop in places[2]]
            if dim in used:
                index = used.index(dim)
                places[place][index] = Loop(dim, places[place][index].bound * factor, places[place][index].axis)
            else:
                places[place].append(Loop(dim, factor, {3: "X", 4: "Y"}.get(place, "")))
    for loops in places:
        rng.shuffle(loops)
    keeps = [tuple(o for o in ("W", "I", "O") if rng.random() < 0.6) for _ in range(2)] + [("W", "I", "O")]
    levels = tuple(
        LevelMapping(
            name=name,
            temporal=tuple(places[n]),
            spatial=tuple(places[3] + places[4]) if n == 1 else (),
            keeps=keeps[n],
        )
        for n, name in enumerate(("regs", "buffer", "dram"))
    )
    layer = Layer(
        name=f"random{seed}",
        dims=bounds,
        stride=(rng.choice((1, 1, 2, 3)), rng.choice((1, 1, 2))),
        dilation=(rng.choice((1, 1, 2)), rng.choice((1, 1, 2, 3))),
    )
    return layer, Mapping(levels=levels)


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("block", range(10))
def test_counts_equal_a_walk_through_the_nest(block, diagonal, tmp_path):
    text = FREE if diagonal else FREE.replace("memories:", "diagonal: false\nmemories:", 1)
    accelerator = chip(tmp_path, text)
    for seed in range(40 * block, 40 * block + 40):
        layer, mapping = random_case(seed)
        got = {key: (c.reads, c.fills, c.updates) for key, c in count_accesses(layer, accelerator, mapping).items()}
        assert got == counts(layer, mapping, diagonal=diagonal), f"seed {seed}\n{mapping.loop_nest()}\n{layer}"


def moved_inward(rng: random.Random, mapping: Mapping) -> tuple[Mapping, dict[str, list[int]]]:
    """A mapping whose operands have tiles of their own; and, by operand and level, the loops around its tile."""
    sizes = [len(level.temporal) for level in mapping.levels]
    natural = [sum(sizes[n + 1 :]) for n in range(len(sizes))]
    inward: list[dict[str, int]] = [{} for _ in sizes]
    around: dict[str, list[int]] = {}
    for operand in "WIO":
        places, most = [0] * len(sizes), sum(sizes)
        for n in range(len(sizes) - 1):
            if operand in mapping.levels[n].keeps:
                most = places[n] = rng.randint(natural[n], most) if natural[n] < most else natural[n]
                inward[n][operand] = places[n] - natural[n]
            else:
                places[n] = most  # what runs around what is inside runs around this level, too
        for n in range(len(sizes) - 2, -1, -1):  # a level that keeps none begins inside of the next one that does
            if operand not in mapping.levels[n].keeps:
                places[n] = max(places[n], places[n + 1])
        around[operand] = places
    levels = tuple(
        replace(level, inward=tuple(own.items())) for level, own in zip(mapping.levels, inward, strict=True)
    )
    return Mapping(levels=levels), around


def as_one_has_it(mapping: Mapping, places: list[int]) -> Mapping:
    """The mapping with one tile per level that an operand sees, from the loops around each of its tiles."""
    loops = [loop for level in reversed(mapping.levels) for loop in level.temporal]
    ends = [len(loops), *places[:-1]]
    return Mapping(
        levels=tuple(
            replace(level, temporal=tuple(loops[begin:end]), inward=())
            for level, begin, end in zip(mapping.levels, places, ends, strict=True)
        )
    )


@pytest.mark.parametrize("block", range(5))
def test_counts_of_tiles_of_their_own_equal_a_walk_through_the_nest(block, tmp_path):
    accelerator = chip(tmp_path, FREE + "tiles: uneven\n")
    uneven = 0
    for seed in range(40 * block, 40 * block + 40):
        layer, even = random_case(seed)
        mapping, around = moved_inward(random.Random(seed), even)
        uneven += not mapping.is_even
        got = {key: (c.reads, c.fills, c.updates) for key, c in count_accesses(layer, accelerator, mapping).items()}
        for operand, places in around.items():
            own = counts(layer, as_one_has_it(mapping, places))
            wanted = {key: count for key, count in own.items() if key[1] == operand}
            told = f"seed {seed}\n{mapping.loop_nest()}\n{mapping}\n{layer}"
            assert {key: count for key, count in got.items() if key[1] == operand} == wanted, told
    assert uneven > 10
