"""The mapper for any number of levels against brute force over every mapping."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from hwmodel.errors import MappingError
from hwmodel.mapper.deep import hopes, walk
from hwmodel.mapper.deep.branch import Rules, branches_of
from hwmodel.mapper.deep.find import deep_mapping
from hwmodel.mapper.deep.splits import Splits
from hwmodel.mapper.deep.states import Aim
from hwmodel.mapper.free import OBJECTIVES
from hwmodel.mapper.scores import ENERGY
from hwmodel.mapper.space.hierarchy import is_deep
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping, tile_bits
from hwmodel.nest.task import Stay, Task
from hwmodel.network.layer import DIM_NAMES, Bits, Density, Layer
from hwmodel.price.spatial import price
from tests.hwmodel.chips import chip
from tests.hwmodel.mapper.deep.brute import CHIPS, DRAM, HEAD, every_mapping

LAYERS = {
    "conv": Layer(name="conv", dims={"K": 2, "C": 2, "OX": 2, "FX": 3}),
    "strided": Layer(name="strided", dims={"OY": 2, "OX": 2, "FX": 3}, stride=2),
    "depthwise": Layer(name="depthwise", dims={"G": 2, "OX": 4, "FX": 3}),
    "window": Layer(name="window", dims={"C": 2, "OY": 2, "FY": 2}),
    "linear": Layer(name="linear", kind="linear", dims={"B": 2, "K": 4, "C": 2}),
    "reduced": Layer(name="reduced", kind="linear", dims={"B": 2, "K": 2, "C": 8}),
    "narrow": Layer(name="narrow", dims={"K": 2, "C": 4, "OX": 2}, bits=Bits(w=2, i=4)),
    "padded": Layer(name="padded", dims={"C": 2, "OX": 4, "FX": 3}, padding=((0, 0), (1, 1))),
    "plane": Layer(name="plane", dims={"OY": 2, "OX": 2, "FY": 2, "FX": 2}),
    "zeros": Layer(name="zeros", dims={"C": 2, "OX": 4, "FX": 3}, padding=((0, 0), (2, 2))),
    "rows": Layer(name="rows", dims={"C": 2, "OY": 4, "FY": 3}),
    "taps": Layer(name="taps", dims={"K": 2, "C": 2, "FX": 2}, bits=Bits(w=32, i=8)),
    "zero inputs": Layer(name="zero inputs", dims={"K": 2, "C": 2, "OX": 2}, density=Density(i=0.5)),
    "filters": Layer(name="filters", dims={"K": 4, "C": 4}),
    "wide": Layer(name="wide", dims={"G": 2, "OX": 4}, bits=Bits(w=8, i=8, o=16)),
}
#: Chips that each layer is mapped on.
PAIRS = [
    ("clusters", "conv"), ("clusters", "narrow"), ("clusters", "padded"), ("side by side", "conv"),
    ("side by side", "strided"), ("side by side", "linear"), ("shared", "narrow"), ("shared", "depthwise"),
    ("ordered", "narrow"), ("ordered", "padded"), ("meeting", "reduced"), ("meeting", "conv"), ("far", "reduced"),
    ("far", "conv"), ("clusters", "plane"), ("nested", "filters"), ("shared sums", "conv"),
    ("shared sums", "narrow"), ("tower", "rows"), ("gated", "zero inputs"),
    ("slow reads", "conv"), ("beside", "strided"), ("beside", "linear"), ("slow and small", "taps"),
    ("alone", "conv"), ("tower", "padded"), ("tower", "zeros"), ("tower", "plane"), ("slow", "conv"),
    ("gap", "linear"), ("gap", "window"), ("gap", "narrow"),
    ("windows", "window"), ("tight", "wide"),
]  # fmt: skip


def costs(task, mapping):
    """Energy [pJ], cycles and their product."""
    priced = price(task, mapping)
    energy = sum(priced.energy_pj.values())
    return {"energy": energy, "latency": priced.cycles, "edp": energy * priced.cycles}


@pytest.mark.parametrize(("name", "layer"), PAIRS)
def test_the_best_of_all_mappings_is_found(tmp_path, monkeypatch, name, layer):
    check(Task.of(LAYERS[layer], chip(tmp_path, CHIPS[name])), monkeypatch)


@pytest.mark.parametrize(
    ("resident", "room", "i_bits"),
    [(("I",), 20, None), (("O",), 20, None), (("I", "O"), 20, None), (("O",), 8, None), (("I",), 20, 16)],
)
def test_the_best_of_all_mappings_with_tensors_that_stay_is_found(tmp_path, monkeypatch, resident, room, i_bits):
    stay = Stay(resident=resident, room_bits=room * 8, i_bits=i_bits)
    check(Task.of(LAYERS["narrow"], chip(tmp_path, CHIPS["ordered"]), stay), monkeypatch)


@pytest.mark.parametrize(("layer", "room"), [("narrow", 20), ("narrow", 14), ("window", 10)])
def test_sums_that_no_level_inside_keeps_come_back_unfinished(tmp_path, monkeypatch, layer, room):
    stay = Stay(resident=("O",), room_bits=room * 8)
    check(Task.of(LAYERS[layer], chip(tmp_path, CHIPS["straight"]), stay), monkeypatch)


def check(task, monkeypatch):
    """The best of all mappings is found, and of those that keep the same and unroll the same."""
    assert is_deep(task.accelerator)
    best: dict[object, dict[str, float]] = {}
    for mapping in every_mapping(task):
        keep_least(best, mapping, costs(task, mapping))
    assert best_alone(task, monkeypatch) == {key: pytest.approx(own, rel=1e-9) for key, own in best.items()}
    least = {optimize: min(own[optimize] for own in best.values()) for optimize in OBJECTIVES}
    found = {optimize: costs(task, deep_mapping(task, optimize))[optimize] for optimize in OBJECTIVES}
    assert found == pytest.approx(least, rel=1e-9)


def keep_least(least, mapping, own):
    """Keeps the least costs of mappings that keep the same and unroll the same at every level."""
    unrolled = [
        tuple(math.prod(loop.bound for loop in level.spatial if loop.dim == dim) for dim in DIM_NAMES)
        for level in mapping.levels
    ]
    known = least.setdefault((tuple(frozenset(level.keeps) for level in mapping.levels), *unrolled), {})
    known |= {optimize: min(cost, known.get(optimize, math.inf)) for optimize, cost in own.items()}


def best_alone(task, monkeypatch):
    """What is found among the mappings that keep and unroll the same; the walk knows what each of them costs."""
    least: dict[object, dict[str, float]] = {}
    scores = []

    def walked(*arguments):
        score, beyond, count = own_walk(*arguments)
        scores.append(score)
        return score, beyond, count

    own_walk = walk.walk
    with monkeypatch.context() as patched:
        patched.setattr(walk, "walk", walked)
        for branch in branches_of(task, Rules(pads=False)):
            for own in list(each_alone(branch)):
                branch.parted = own
                places = tuple(map(tuple, own.places.tolist()))
                for objective, optimize in enumerate(OBJECTIVES):
                    mapping = branch.search(Aim(objective, math.inf, math.inf), places)
                    if mapping is not None:
                        cost = costs(task, mapping)[optimize]
                        assert scores[-1] == pytest.approx(cost, rel=1e-8), f"{optimize}\n{mapping.loop_nest()}"
                        within = Aim(objective, scores[-1] * (1 + 1e-10), math.inf)
                        assert branch.search(within, places) is not None  # no bound is above what it bounds
                        keep_least(least, mapping, {optimize: cost})
    return least


def each_alone(branch):
    """One split below every level, of all that divide the layer."""
    own, bounds = branch.parted, np.array(branch.dims.values_tuple)
    for rows in itertools.product(*(range(*span) for span in itertools.pairwise(own.spans.tolist()))):
        if not (bounds % own.whole[list(rows)].prod(axis=0)).any():
            columns = (np.ascontiguousarray(column[list(rows)]) for column in own[1:])
            yield Splits(np.arange(len(rows) + 1), *columns)


@pytest.mark.parametrize(
    ("name", "dims"),
    [
        ("clusters", {"C": 2, "OX": 5, "OY": 7}), ("alone", {"C": 2, "OX": 5}),
        ("shared", {"C": 2, "OX": 5, "OY": 3}), ("far", {"K": 3, "OX": 7, "OY": 7}),
        ("ordered", {"K": 2, "C": 3, "OX": 5, "OY": 7}), ("clusters", {"C": 2, "FX": 5}),
    ],
)  # fmt: skip
def test_no_bound_counts_inputs_that_bounds_are_padded_to(tmp_path, name, dims):
    """Rows and columns of I that a padded mapping reads beyond the layer's own are nowhere, and cost nothing."""
    text = CHIPS[name].replace("X, size: 2", "X, size: 4").replace("Y, size: 2", "Y, size: 4")
    task = Task.of(Layer(name="odd", dims=dims), chip(tmp_path, text))
    least = []
    for branch in branches_of(task):
        mapping = branch.search(Aim(ENERGY, math.inf, math.inf))
        least.append(math.inf if mapping is None else costs(task, mapping)["energy"])
        assert branch.least_energy <= least[-1] * (1 + 1e-12)
        assert not branch.padded or mapping is not None
    assert costs(task, deep_mapping(task))["energy"] == pytest.approx(min(least), rel=1e-12)


def test_kernels_are_compiled_once_for_all_chips(tmp_path):
    """Whatever a chip is like, the types are those of the installed ones."""
    for name in CHIPS:
        deep_mapping(Task.of(LAYERS["narrow"], chip(tmp_path, CHIPS[name])), "edp")
    assert (len(walk.walk.overloads), len(hopes.hopes.overloads)) == (1, 1)


def test_a_chip_of_one_level_is_mapped(tmp_path):
    """Places are served alone, so that it is a chip for this mapper; its bounds look at no level inside."""
    axis = "array:\n  - {axis: X, size: 2, dims: [K, OX], multicast: false}\nmemories:\n"
    task = Task.of(LAYERS["conv"], chip(tmp_path, HEAD + axis + DRAM))
    found = {optimize: costs(task, deep_mapping(task, optimize)) for optimize in OBJECTIVES}
    assert {own["energy"] for own in found.values()} == {found["energy"]["energy"]}
    least = min(costs(task, mapping)["latency"] for mapping in every_mapping(task))
    assert found["latency"]["latency"] == least


def test_of_equal_energies_more_pes_are_taken(tmp_path):
    """Places that are served alone save no energy: all mappings of two filters cost the same, but for the time."""
    text = CHIPS["shared"].replace("{axis: Y, size: 2, dims: [OY, C]", "{axis: Y, size: 2, dims: [K, OY]")
    task = Task.of(Layer(name="x", dims={"K": 2}), chip(tmp_path, text.replace("dims: [K, OX]", "dims: [OX]")))
    assert deep_mapping(task).num_active == 2


def test_what_costs_less_with_more_of_a_chip(tmp_path):
    """A larger buffer, and reuse across places, never cost energy."""
    layer = LAYERS["conv"]
    small, large = (
        Task.of(layer, chip(tmp_path, CHIPS["clusters"].replace("size: 40 B", f"size: {size} B")))
        for size in (24, 80)
    )
    least = [costs(task, deep_mapping(task))["energy"] for task in (large, small)]
    assert least[0] <= least[1] * (1 + 1e-12)
    known = costs(small, deep_mapping(small, "energy", Rules(pads=False, ends_at_splits=True)))["energy"]
    assert least[1] <= known * (1 + 1e-12)


def test_a_layer_that_fits_nowhere_names_what_holds_too_little(tmp_path):
    tiny = CHIPS["clusters"].replace("size: 12 B", "size: 6 B")
    wide = Layer(name="wide", dims={"K": 2}, bits=Bits(w=8, i=32, acc=32))
    with pytest.raises(MappingError, match="no mapping of 'wide' fits 'deep'"):
        deep_mapping(Task.of(wide, chip(tmp_path, tiny)))


def test_sums_take_their_room_as_long_as_any_loop_leaves_them_unfinished(tmp_path):
    """The loop over C is one of a level that keeps no O: behind it what l2 keeps is finished, before it is not."""
    task = Task.of(Layer(name="sums", dims={"K": 2, "C": 2, "OX": 2}), chip(tmp_path, CHIPS["gap"]))
    names, kept = ("l0", "l1", "l2", "dram"), (("W", "I", "O"), ("W", "I"), ("I", "O"), ("W", "I", "O"))
    bits = {}
    for place, of_c in (("inside", 0), ("between", 1), ("around", 2)):
        loops = [[Loop("K", 2)], [Loop("OX", 2)], []]
        loops[of_c].insert(0, Loop("C", 2))
        levels = (
            LevelMapping(name=name, temporal=tuple(own), keeps=keeps)
            for name, own, keeps in zip(names, [*loops, []], kept, strict=True)
        )
        mapping = Mapping(levels=tuple(levels))
        bits[place] = tile_bits(task, mapping, 2, "O")
    assert bits == {"inside": 4 * 8, "between": 4 * 24, "around": 4 * 24}
