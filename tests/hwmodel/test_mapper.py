"""The mapper against brute force over every tiling, unrolling and loop order."""

from __future__ import annotations

import itertools
import math

import pytest

from hwmodel.errors import MappingError
from hwmodel.layer import DIM_NAMES, Bits, Layer
from hwmodel.mapper import best_mapping
from hwmodel.mapping import LevelMapping, Loop, Mapping
from hwmodel.pricing import price
from tests.hwmodel.chips import TINY, chip

LAYERS = [
    Layer(name="conv", dims={"K": 2, "C": 2, "OY": 2, "OX": 4, "FY": 1, "FX": 3}),
    Layer(name="strided", dims={"K": 4, "OY": 4, "OX": 2, "FY": 3}, stride=2),
    Layer(name="dilated", dims={"C": 2, "OX": 6, "FX": 2}, dilation=2),
    Layer(name="depthwise", dims={"G": 4, "OY": 2, "OX": 2, "FY": 2}),
    Layer(name="linear", kind="linear", dims={"B": 2, "K": 4, "C": 4}),
    Layer(name="matmul", kind="matmul", dims={"G": 2, "K": 2, "C": 4, "OX": 4}),
    Layer(name="narrow", dims={"K": 4, "C": 4, "OX": 4}, bits=Bits(w=2, i=4)),
    Layer(name="wide", dims={"K": 4, "C": 2, "OX": 4}, bits=Bits(w=16, i=8)),
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


def all_mappings(layer, accelerator):
    """Every mapping of a layer, without padding; one axis assignment per unrolling."""
    inner = [n for n in accelerator.levels if n.per_pe]
    shared = [n for n in accelerator.levels if not n.per_pe]
    for *temporal, spatial in splits(layer, len(inner) + len(shared) + 1):
        loops = place_on_axes(accelerator, spatial)
        if loops is None:
            continue
        orders = [
            list(itertools.permutations([Loop(d, b) for d, b in factors.items() if b > 1])) for factors in temporal
        ]
        if inner:  # the order inside a PE moves nothing
            orders[0] = orders[0][:1]
        for chosen in itertools.product(*orders):
            yield Mapping(
                levels=tuple(
                    LevelMapping(
                        name=level.name,
                        temporal=tuple(chosen[n]),
                        spatial=loops if n == len(inner) else (),
                        keeps=level.holds,
                    )
                    for n, level in enumerate(accelerator.levels)
                )
            )


def place_on_axes(accelerator, spatial):
    """Loops on axes X and Y that give these factors per dim, or None."""
    x_axis, y_axis = accelerator.axes
    options = []
    for dim, bound in spatial.items():
        options.append(
            [
                (x, bound // x)
                for x in divisors(bound)
                if (x == 1 or dim in x_axis.dims) and (bound == x or dim in y_axis.dims)
            ]
        )
    for choice in itertools.product(*options):
        if math.prod(x for x, _ in choice) <= x_axis.size and math.prod(y for _, y in choice) <= y_axis.size:
            return tuple(
                loop
                for dim, (x, y) in zip(spatial, choice, strict=True)
                for loop in (Loop(dim, x, "X"), Loop(dim, y, "Y"))
                if loop.bound > 1
            )
    return None


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("text", [TINY, SINGLE_BUFFERED, WEIGHTS_ONLY, NO_REGISTERS, NO_BUFFER],
                         ids=["tiny", "single", "weights_only", "no_registers", "no_buffer"])  # fmt: skip
def test_no_mapping_is_better(layer, text, tmp_path):
    accelerator = chip(tmp_path, text)
    least = {"energy": math.inf, "latency": math.inf, "edp": math.inf}
    for mapping in all_mappings(layer, accelerator):
        try:
            priced = price(layer, accelerator, mapping)
        except MappingError:
            continue
        energy, cycles = sum(priced.energy_pj.values()), priced.cycles
        for name, value in (("energy", energy), ("latency", cycles), ("edp", energy * cycles)):
            least[name] = min(least[name], value)
    assert least["energy"] < math.inf
    for objective, expected in least.items():
        mapping = best_mapping(layer, accelerator, objective)
        priced = price(layer, accelerator, mapping)
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
    mapping = best_mapping(layer, accelerator, "latency")
    assert mapping.dims.K == 8
    assert mapping.spatial_of("K") == 4


def test_nothing_fits_says_what_to_change(tmp_path):
    accelerator = chip(tmp_path, TINY.replace("size: 64 B", "size: 4 B"))
    with pytest.raises(MappingError, match=r"no mapping of 'big' fits 'tiny'.*16.*fewer bits, or a larger memory"):
        best_mapping(Layer(name="big", dims={"K": 2}, bits=Bits(w=32, i=32)), accelerator)


def test_unknown_objective_offers_the_nearest(tmp_path):
    with pytest.raises(MappingError, match="energy, latency, edp, but got 'enrgy'\\. Did you mean 'energy'"):
        best_mapping(LAYERS[0], chip(tmp_path), "enrgy")
