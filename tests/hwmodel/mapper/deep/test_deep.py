"""The mapper for any number of levels against brute force over every mapping."""

from __future__ import annotations

import math

import pytest

from hwmodel.mapper.deep.find import deep_mapping, is_deep
from hwmodel.nest.task import Task
from hwmodel.network.layer import Bits, Layer
from hwmodel.price.spatial import price
from tests.hwmodel.chips import chip
from tests.hwmodel.mapper.deep.brute import CHIPS, every_mapping

LAYERS = [
    Layer(name="conv", dims={"K": 2, "C": 2, "OX": 4, "FX": 3}),
    Layer(name="strided", dims={"C": 2, "OY": 4, "OX": 2, "FY": 3}, stride=2),
    Layer(name="depthwise", dims={"G": 2, "OY": 2, "OX": 4, "FX": 3}),
    Layer(name="linear", kind="linear", dims={"B": 2, "K": 4, "C": 4}),
    Layer(name="narrow", dims={"K": 4, "C": 4, "OX": 2}, bits=Bits(w=2, i=4)),
    Layer(name="padded", dims={"K": 2, "C": 2, "OX": 4, "FX": 3}, padding=((0, 0), (1, 1))),
]


def costs(task, mapping):
    """Energy [pJ], cycles and their product."""
    priced = price(task, mapping)
    energy = sum(priced.energy_pj.values())
    return {"energy": energy, "latency": priced.cycles, "edp": energy * priced.cycles}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("name", CHIPS)
def test_the_best_of_all_mappings_is_found(tmp_path, name, layer):
    task = Task.of(layer, chip(tmp_path, CHIPS[name]))
    assert is_deep(task.accelerator)
    best = {"energy": math.inf, "latency": math.inf, "edp": math.inf}
    for mapping in every_mapping(task):
        own = costs(task, mapping)
        best = {optimize: min(best[optimize], own[optimize]) for optimize in best}
    found = {optimize: costs(task, deep_mapping(task, optimize))[optimize] for optimize in best}
    assert found == pytest.approx(best, rel=1e-9)
