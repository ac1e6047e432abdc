"""Kernels compiled at an install are those that networks ask for, and nothing fails without them."""

from __future__ import annotations

import math

from hwmodel import Density, Layer, evaluate, load_accelerator, warm
from hwmodel.mapper.deep.branch import branches_of
from hwmodel.mapper.deep.find import deep_mapping
from hwmodel.mapper.free import find_best
from hwmodel.mapper.row_stationary import row_stationary
from hwmodel.mapper.uneven.find import better
from hwmodel.mapper.uneven.ways import Ways, every_split
from hwmodel.nest.task import Task
from tests.hwmodel.chips import TINY, chip
from tests.hwmodel.place.test_placement import POINTS, with_buffer
from tests.hwmodel.place.test_stripes import PAIR
from tests.hwmodel.place.test_weights import keeping

LAYER = Layer(name="c", module="c", dims=dict(K=4, C=4, OY=4, OX=4, FY=3, FX=3))
SKIPPING = TINY.replace("size: 8 B", "size: 16 B").replace("[W, O]", "[W, I, O]") + "skipping: [W]\n"


def test_kernels_are_compiled_for_the_types_that_networks_ask_for(tmp_path):
    """Every kernel there is was called for just these types, by layers and networks that need each of them."""
    npu = load_accelerator("edge_npu")
    find_best(Task.of(LAYER, npu))
    find_best(Task.of(Layer(name="s", dims=LAYER.dims, density=Density(w=0.5)), chip(tmp_path, SKIPPING)))
    row_stationary(Task.of(LAYER, load_accelerator("eyeriss")))
    deep_mapping(Task.of(LAYER, load_accelerator("simba")))
    ways = [Ways(branch, every_split(branch)) for branch in branches_of(Task.of(LAYER, npu))]
    assert list(better(ways, math.inf, lambda mapping: float(mapping.iterations)))
    evaluate(POINTS, npu)
    assert evaluate(PAIR, with_buffer(npu, 4096 * 8)).fused
    evaluate(POINTS, keeping(npu, "W", "I", "O"))
    calls = [call for part in warm.parts() for call in part]
    unasked = [
        call.kernel.__name__
        for call in calls
        if tuple(call.kernel.typeof_pyval(argument) for argument in call.arguments) not in call.kernel.overloads
    ]
    assert (unasked, len(calls)) == ([], 15)


def test_it_compiles_nothing_twice_and_says_what_it_did(capsys):
    every, kept = warm.warm()
    assert every == kept
    warm.main()
    said = capsys.readouterr().out
    assert f"{every} of {every} kernels are kept" in said


def test_an_install_does_not_fail_with_it(monkeypatch, capsys):
    def fails(name: str) -> None:
        raise OSError("no room")

    monkeypatch.setattr(warm, "load_accelerator", fails)
    warm.main()
    assert "not done, so the first calls will: no room" in capsys.readouterr().out
