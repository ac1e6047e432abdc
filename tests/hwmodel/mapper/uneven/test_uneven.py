"""The mapper with a tile per operand and memory against brute force."""

from __future__ import annotations

import math

import pytest

from hwmodel.errors import MappingError
from hwmodel.mapper.deep.branch import Rules, branches_of
from hwmodel.mapper.deep.find import deep_mapping
from hwmodel.mapper.uneven.find import uneven_mapping
from hwmodel.mapper.uneven.loops import mapping_of
from hwmodel.mapper.uneven.nest import Nest
from hwmodel.mapper.uneven.paths import cheapest, left_to_pay
from hwmodel.mapper.uneven.ways import Ways, every_split
from hwmodel.nest.mapping import check_mapping
from hwmodel.nest.task import Stay, Task
from hwmodel.price.spatial import price
from tests.hwmodel.chips import chip
from tests.hwmodel.mapper.deep.brute import CHIPS as EVEN_CHIPS
from tests.hwmodel.mapper.deep.test_deep import LAYERS
from tests.hwmodel.mapper.uneven.brute import least_energy

CHIPS = {name: text + "tiles: uneven\n" for name, text in EVEN_CHIPS.items() if "order:" not in text}
#: Tensors may stay in the buffer.
CHIPS["staying"] = CHIPS["clusters"].replace(
    "holds: [W, I, O], size: 40 B", "holds: [W, I, O], resident: [I, O], size: 40 B"
)
NO_PADS = Rules(pads=False)


def energy(task, mapping):
    return sum(price(task, mapping).energy_pj.values())


@pytest.mark.parametrize(
    "layer", ["conv", "strided", "depthwise", "window", "linear", "narrow", "padded", "zeros", "rows"]
)
@pytest.mark.parametrize("name", sorted(CHIPS))
def test_the_least_energy_of_all_mappings_is_found(tmp_path, monkeypatch, name, layer):
    task = Task.of(LAYERS[layer], chip(tmp_path, CHIPS[name]))
    check(task, monkeypatch)


def check(task, monkeypatch):
    try:
        found = uneven_mapping(task, "energy", NO_PADS)
    except MappingError:
        assert least_energy(task, monkeypatch) == math.inf
        return
    check_mapping(task, found)
    assert energy(task, found) == pytest.approx(least_energy(task, monkeypatch), rel=1e-9)
