"""The mapper against brute force over every tiling, unrolling and loop order."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from hwmodel.errors import MappingError
from hwmodel.mapper.counting import irrelevant
from hwmodel.mapper.free import best_mapping, find_best
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.nest.task import ALONE, Stay, Task
from hwmodel.network.layer import DIM_NAMES, OPERANDS, RELEVANT, Bits, Density, Layer
from hwmodel.price.spatial import price
from tests.hwmodel.chips import TINY, chip

LAYERS = [
    Layer(name="conv", dims={"K": 2, "C": 2, "OY": 2, "OX": 2, "FX": 3}),
    Layer(name="strided", dims={"K": 2, "OY": 4, "OX": 2, "FY": 3}, stride=2),
    Layer(name="dilated", dims={"C": 2, "OX": 6, "FX": 2}, dilation=2),
    Layer(name="depthwise", dims={"G": 4, "OY": 2, "OX": 2, "FY": 2}),
    Layer(name="linear", kind="linear", dims={"B": 2, "K": 4, "C": 4}),
    Layer(name="matmul", kind="matmul", dims={"G": 2, "K": 2, "C": 4, "OX": 2}),
    Layer(name="narrow", dims={"K": 4, "C": 4, "OX": 4}, bits=Bits(w=2, i=4)),
    Layer(name="wide", dims={"K": 4, "C": 2, "OX": 4}, bits=Bits(w=16, i=8)),
    Layer(name="padded", dims={"K": 2, "OY": 2, "OX": 4, "FX": 3}, padding=((0, 0), (1, 1))),
    Layer(name="padded twice", dims={"C": 2, "OY": 4, "FY": 3}, stride=2, padding=((2, 1), (0, 0))),
]

NO_REGISTERS = TINY[: TINY.index("  - name: regs")] + TINY[TINY.index("  - name: buffer") :]
NO_BUFFER = TINY[: TINY.index("  - name: buffer")] + TINY[TINY.index("  - name: dram") :]
SINGLE_BUFFERED = TINY.replace("double_buffered: true", "double_buffered: false")
WEIGHTS_ONLY = TINY.replace("holds: [W, O]", "holds: [W]").replace(
    "holds: [W, I, O]\n    size: 64", "holds: [I, O]\n    size: 64"
)


def divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def splits(layer: Layer, parts: int) -> list[list[dict[str, int]]]:
    """Every way to split every dim over `parts` places; per way, the factors of each place."""
    per_dim = []
    for bound in layer.dims.values():
        found = [()]
        for _ in range(parts - 1):
            found = [(*f, d) for f in found for d in divisors(bound // math.prod(f))]
        per_dim.append([(*f, bound // math.prod(f)) for f in found])
    return [
        [dict(zip(DIM_NAMES, column, strict=True)) for column in zip(*combination, strict=True)]
        for combination in itertools.product(*per_dim)
    ]


def kept_choices(level, task):
    """Every set of operands that a level may keep a tile of."""
    held = [
        o for memory in level.memories for o in memory.holds if not (memory.resident and o in task.stay.resident)
    ]
    free = [o for o in level.bypass if o in held]
    return [
        tuple(o for o in held if o not in out)
        for n in range(len(free) + 1)
        for out in itertools.combinations(free, n)
    ]


def orders(level, factors):
    """Every loop order that a level allows; none where it may not loop over a dim."""
    loops = [Loop(d, b) for d, b in factors.items() if b > 1]
    if any(loop.dim not in level.temporal_dims for loop in loops):
        return []
    if level.per_pe:  # the order inside a PE moves nothing
        return [tuple(loops)]
    if level.order:
        place = {dim: n for n, dim in enumerate(level.order)}
        return [tuple(sorted(loops, key=lambda loop: place.get(loop.dim, -1)))]
    return list(itertools.permutations(loops))


def all_mappings(task):
    """Every mapping of a layer, without padding."""
    layer, accelerator = task.layer, task.accelerator
    array = accelerator.array_level
    for *temporal, spatial in splits(layer, len(accelerator.levels) + 1):
        allowed = [orders(level, factors) for level, factors in zip(accelerator.levels, temporal, strict=True)]
        if not all(allowed):
            continue
        for loops in place_on_axes(accelerator, layer, spatial):
            for chosen in itertools.product(*allowed):
                for keeps in itertools.product(*(kept_choices(level, task) for level in accelerator.levels)):
                    yield Mapping(
                        levels=tuple(
                            LevelMapping(
                                name=level.name,
                                temporal=chosen[n],
                                spatial=loops if n == array else (),
                                keeps=keeps[n],
                            )
                            for n, level in enumerate(accelerator.levels)
                        )
                    )


def place_on_axes(accelerator, layer, spatial):
    """Loops on axes X and Y that give these factors per dim; one choice unless it makes a difference."""
    x_axis, y_axis = accelerator.axes
    options = []
    for dim, bound in spatial.items():
        options.append(
            [
                (x, bound // x)
                for x in divisors(bound)
                if (x == 1 or dim in x_axis.dims)
                and (bound == x or dim in y_axis.dims)
                and (dim not in x_axis.full or x == layer.dims[dim])
                and (dim not in y_axis.full or bound // x == layer.dims[dim])
            ]
        )
    found = []
    for choice in itertools.product(*options):
        if math.prod(x for x, _ in choice) <= x_axis.size and math.prod(y for _, y in choice) <= y_axis.size:
            pairs = list(zip(spatial, choice, strict=True))
            loops = [Loop(dim, x, "X") for dim, (x, _) in pairs] + [Loop(dim, y, "Y") for dim, (_, y) in pairs]
            found.append(tuple(loop for loop in loops if loop.bound > 1))
    return found[:1] if accelerator.diagonal else found


BYPASS = TINY.replace("holds: [W, O]", "holds: [W, I, O]\n    bypass: [W, I, O]").replace(
    "holds: [W, I, O]\n    size: 64", "holds: [W, I, O]\n    bypass: [W, I]\n    size: 64"
)
ORDERED = TINY.replace("memories:", "order: {buffer: [K, C, OX, FX], dram: [OX, K, OY, FX, C]}\nmemories:", 1)
DATAFLOW = TINY.replace("size: 2, dims: [K, OX]}", "size: 4, dims: [K, OX], full: [K]}").replace(
    "memories:", "temporal: {regs: [C, FX], buffer: [OY, OX, C, B], dram: [C, OX, K, FY, G]}\nmemories:", 1
)
TWO_NETWORKS = TINY.replace("dims: [C, FY, OY]", "dims: [C, FY, FX]").replace(
    "memories:", "diagonal: false\nmemories:", 1
)
#: Memories that are slower to write than to read, the outer one much.
UNEQUAL = TINY.replace(
    "    bandwidth: 16 bit/cycle", "    read_bandwidth: 16 bit/cycle\n    write_bandwidth: 3 bit/cycle"
)
SMALL = [
    Layer(name="conv", dims={"K": 2, "C": 2, "OX": 2, "FX": 3}),
    Layer(name="strided", dims={"K": 2, "OY": 4, "OX": 2, "FY": 3}, stride=2),
    Layer(name="depthwise", dims={"G": 2, "OY": 2, "OX": 2, "FX": 2}),
    Layer(name="matmul", kind="matmul", dims={"K": 4, "C": 2, "OX": 4}),
]
#: For chips that may keep an operand in a level or not: each mapping of a layer is there 32 times.
SMALLEST = [
    Layer(name="conv", dims={"K": 2, "OX": 2, "FX": 3}),
    Layer(name="strided", dims={"K": 2, "OY": 4, "FY": 3}, stride=2),
    Layer(name="depthwise", dims={"G": 2, "OY": 2, "FX": 2}),
    Layer(name="matmul", kind="matmul", dims={"K": 4, "C": 2, "OX": 2}),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("text", [TINY, SINGLE_BUFFERED, WEIGHTS_ONLY, NO_REGISTERS, NO_BUFFER],
                         ids=["tiny", "single", "weights_only", "no_registers", "no_buffer"])  # fmt: skip
def test_no_mapping_is_better(layer, text, tmp_path):
    compare_with_brute_force(layer, chip(tmp_path, text))


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
@pytest.mark.parametrize("text", [ORDERED, DATAFLOW, TWO_NETWORKS], ids=["ordered", "dataflow", "two_networks"])
def test_no_mapping_is_better_with_constraints(layer, text, tmp_path):
    compare_with_brute_force(layer, chip(tmp_path, text))


@pytest.mark.parametrize("layer", SMALLEST, ids=lambda layer: layer.name)
def test_no_mapping_is_better_with_bypass(layer, tmp_path):
    compare_with_brute_force(layer, chip(tmp_path, BYPASS))


COUNTED = {
    "tiny": TINY, "single": SINGLE_BUFFERED, "weights_only": WEIGHTS_ONLY, "no_registers": NO_REGISTERS,
    "no_buffer": NO_BUFFER, "bypass": BYPASS, "unequal": UNEQUAL,
}  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("text", COUNTED.values(), ids=COUNTED)
def test_the_search_counts_what_the_price_charges(layer, text, tmp_path):
    """Not only its choice: the energy and the cycles by which it chose, first fill and last drain included."""
    check_counted(Task.of(layer, chip(tmp_path, text)))


def check_counted(task):
    for objective in ("energy", "latency", "edp"):
        found = find_best(task, objective)
        priced = price(task, found.mapping)
        assert found.energy_pj == pytest.approx(sum(priced.energy_pj.values()), rel=1e-9)
        assert found.cycles == priced.cycles


#: One buffer in which everything may lie; and one of inputs, beside the accumulators from which outputs come to it.
SHARED = TINY.replace("size: 64 B", "size: 96 B\n    resident: [W, I, O]")
BESIDE = TINY.replace(
    "  - name: buffer\n    holds: [W, I, O]\n    size: 64 B",
    "  - {name: sums, level: buffer, holds: [O], size: 16 B, read_energy: 0.05 pJ/bit, source: test,"
    " read_bandwidth: 64 bit/cycle}\n  - name: activations\n    level: buffer\n    holds: [W, I]\n"
    "    resident: [I, O]\n    size: 96 B",
)
RESIDENTS = [("I",), ("O",), ("I", "O")]
STAYS = [
    *(("shared", SHARED, residents) for residents in [*RESIDENTS, ("W",), ("W", "I", "O")]),
    *(("beside", BESIDE, residents) for residents in RESIDENTS),
]
STAYS_WITH_BYPASS = BYPASS.replace("size: 64 B", "size: 96 B\n    resident: [I, O]")


@pytest.mark.parametrize("layer", SMALLEST, ids=lambda layer: layer.name)
def test_no_mapping_is_better_with_bypass_and_tensors_that_stay_on_chip(layer, tmp_path):
    compare_with_residents(layer, chip(tmp_path, STAYS_WITH_BYPASS), ("I", "O"))


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
@pytest.mark.parametrize(("text", "residents"), [item[1:] for item in STAYS],
                         ids=[f"{name}-{''.join(residents)}" for name, _, residents in STAYS])  # fmt: skip
def test_no_mapping_is_better_with_tensors_that_stay_on_chip(layer, text, residents, tmp_path):
    compare_with_residents(layer, chip(tmp_path, text), residents)


def compare_with_residents(layer, accelerator, residents):
    """The tiles fit what residents leave of the buffer, all of it or 20 bytes."""
    for room in (None, 160.0):
        stay = Stay(residents, room, 16)
        compare_with_brute_force(layer, accelerator, stay)
        check_counted(Task.of(layer, accelerator, stay))


ROOMY = TINY.replace("size: 8 B", "size: 16 B").replace("[W, O]", "[W, I, O]").replace("dims: [K, OX]", "dims: [K]")
SPARSE = {
    "skips both": ROOMY + "skipping: [W, I]\n",
    "skips W, gates I": ROOMY + "skipping: [W]\ngating: [I]\n",
    "packs": TINY.replace("    bandwidth:", "    compressed: [W, I, O]\n    bandwidth:") + "gating: [W]\n",
    "2:4": TINY + "nm: ['2:4']\ngating: [I]\n",
}
ZEROS = [Density(w=0.5, i=0.3, o=0.4), Density(w=0.2), Density(w=0.5, i=0.7, pattern="2:4")]


@pytest.mark.parametrize("text", SPARSE.values(), ids=SPARSE)
@pytest.mark.parametrize("density", ZEROS, ids=["both", "weights", "pattern"])
@pytest.mark.parametrize("layer", SMALL[2:], ids=lambda layer: layer.name)
def test_no_mapping_of_a_sparse_layer_is_better(layer, density, text, tmp_path):
    compare_with_brute_force(replace(layer, density=density), chip(tmp_path, text))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("density", ZEROS, ids=["both", "weights", "pattern"])
@pytest.mark.parametrize("text", SPARSE.values(), ids=SPARSE)
def test_the_search_counts_zeros_as_the_price_does(layer, density, text, tmp_path):
    task = Task.of(replace(layer, density=density), chip(tmp_path, text))
    for objective in ("energy", "latency", "edp"):
        found = find_best(task, objective)
        priced = price(task, found.mapping)
        assert found.energy_pj == pytest.approx(sum(priced.energy_pj.values()), rel=1e-9)
        assert found.cycles == priced.cycles
        assert 0 < priced.utilization <= 1


def compare_with_brute_force(layer, accelerator, stay=ALONE):
    task = Task.of(layer, accelerator, stay)
    least = {"energy": math.inf, "latency": math.inf, "edp": math.inf}
    for mapping in all_mappings(task):
        try:
            priced = price(task, mapping)
        except MappingError:
            continue
        energy, cycles = sum(priced.energy_pj.values()), priced.cycles
        for name, value in (("energy", energy), ("latency", cycles), ("edp", energy * cycles)):
            least[name] = min(least[name], value)
    assert least["energy"] < math.inf
    for objective, expected in least.items():
        mapping = best_mapping(task, objective)
        priced = price(task, mapping)
        energy, cycles = sum(priced.energy_pj.values()), priced.cycles
        got = {"energy": energy, "latency": cycles, "edp": energy * cycles}[objective]
        if mapping.dims == layer.dims:
            assert got == pytest.approx(expected, rel=1e-9), objective
        else:  # padding, which the brute force leaves out, won
            assert got < expected * (1 + 1e-9), objective


def test_a_dim_that_does_not_divide_the_array_is_padded(tmp_path):
    fast = TINY.replace("axis: X, size: 2", "axis: X, size: 4").replace("16 bit/cycle", "4096 bit/cycle")
    accelerator = chip(tmp_path, fast.replace("32 bit/cycle", "4096 bit/cycle"))
    layer = Layer(name="prime", dims={"K": 7, "C": 2, "OY": 4})
    mapping = best_mapping(Task.of(layer, accelerator), "latency")
    assert mapping.dims.K == 8
    assert mapping.spatial_of("K") == 4


def test_nothing_fits_says_what_to_change(tmp_path):
    accelerator = chip(tmp_path, TINY.replace("size: 64 B", "size: 8 B"))
    with pytest.raises(MappingError, match=r"no mapping of 'big' fits 'tiny'.*16.*fewer bits, or a larger memory"):
        best_mapping(Task.of(Layer(name="big", dims={"K": 2}, bits=Bits(w=32, i=32)), accelerator))


def test_unknown_objective_offers_the_nearest(tmp_path):
    with pytest.raises(MappingError, match="energy, latency, edp, but got 'enrgy'\\. Did you mean 'energy'"):
        best_mapping(Task.of(LAYERS[0], chip(tmp_path)), "enrgy")


@pytest.mark.parametrize(("index", "operand"), list(enumerate(OPERANDS)))
def test_the_kernel_knows_which_dims_index_an_operand(index, operand):
    """Its unrolled product is that of the one table: the factors are primes, so that no other set has it."""
    factors = np.array([2, 3, 5, 7, 11, 13, 17, 19], dtype=np.int64)
    expected = math.prod(int(f) for f, dim in zip(factors, DIM_NAMES, strict=True) if dim not in RELEVANT[operand])
    assert irrelevant.py_func(index, factors) == expected
