"""The mapper for any number of levels against brute force over every mapping."""

from __future__ import annotations

import math

import pytest

from hwmodel.errors import MappingError
from hwmodel.mapper.deep import hopes, walk
from hwmodel.mapper.deep.find import Rules, deep_mapping
from hwmodel.mapper.space.hierarchy import is_deep
from hwmodel.nest.task import Stay, Task
from hwmodel.network.layer import Bits, Layer
from hwmodel.price.spatial import price
from tests.hwmodel.chips import chip
from tests.hwmodel.mapper.deep.brute import CHIPS, every_mapping

LAYERS = {
    "conv": Layer(name="conv", dims={"K": 2, "C": 2, "OX": 2, "FX": 3}),
    "strided": Layer(name="strided", dims={"OY": 2, "OX": 2, "FX": 3}, stride=2),
    "depthwise": Layer(name="depthwise", dims={"G": 2, "OX": 4, "FX": 3}),
    "linear": Layer(name="linear", kind="linear", dims={"B": 2, "K": 4, "C": 2}),
    "reduced": Layer(name="reduced", kind="linear", dims={"B": 2, "K": 2, "C": 8}),
    "narrow": Layer(name="narrow", dims={"K": 2, "C": 4, "OX": 2}, bits=Bits(w=2, i=4)),
    "padded": Layer(name="padded", dims={"C": 2, "OX": 4, "FX": 3}, padding=((0, 0), (1, 1))),
}
#: Chips that each layer is mapped on.
PAIRS = [
    ("clusters", "conv"), ("clusters", "narrow"), ("clusters", "padded"), ("side by side", "conv"),
    ("side by side", "strided"), ("side by side", "linear"), ("shared", "narrow"), ("shared", "depthwise"),
    ("ordered", "narrow"), ("ordered", "padded"), ("meeting", "reduced"), ("meeting", "conv"), ("far", "reduced"),
    ("far", "conv"),
]  # fmt: skip


def costs(task, mapping):
    """Energy [pJ], cycles and their product."""
    priced = price(task, mapping)
    energy = sum(priced.energy_pj.values())
    return {"energy": energy, "latency": priced.cycles, "edp": energy * priced.cycles}


@pytest.mark.parametrize(("name", "layer"), PAIRS)
def test_the_best_of_all_mappings_is_found(tmp_path, name, layer):
    check(Task.of(LAYERS[layer], chip(tmp_path, CHIPS[name])))


@pytest.mark.parametrize("resident", [("I",), ("O",), ("I", "O")])
def test_the_best_of_all_mappings_with_tensors_that_stay_is_found(tmp_path, resident):
    check(Task.of(LAYERS["narrow"], chip(tmp_path, CHIPS["ordered"]), Stay(resident=resident, room_bits=20 * 8)))


def check(task):
    assert is_deep(task.accelerator)
    best = {"energy": math.inf, "latency": math.inf, "edp": math.inf}
    for mapping in every_mapping(task):
        own = costs(task, mapping)
        best = {optimize: min(best[optimize], own[optimize]) for optimize in best}
    found = {optimize: costs(task, deep_mapping(task, optimize))[optimize] for optimize in best}
    assert found == pytest.approx(best, rel=1e-9)


def test_kernels_are_compiled_once_for_all_chips(tmp_path):
    """Whatever a chip is like, the types are those of the installed ones."""
    for name in CHIPS:
        deep_mapping(Task.of(LAYERS["narrow"], chip(tmp_path, CHIPS[name])), "edp")
    assert (len(walk.walk.overloads), len(hopes.hopes.overloads)) == (1, 1)


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
