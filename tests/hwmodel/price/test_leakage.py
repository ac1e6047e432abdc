"""Power that a chip draws whatever it does, over the time of each layer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hwmodel import (
    Choice,
    CostTable,
    Layer,
    LayerGraph,
    Tensor,
    VectorOp,
    evaluate,
    list_accelerators,
    load_accelerator,
)
from hwmodel.errors import AcceleratorError
from tests.hwmodel.chips import TINY, chip

LEAKY = (
    TINY.replace("energy: 0.5 pJ, source: test}", "energy: 0.5 pJ, leakage: 3 mW, source: test}")
    .replace("    size: 8 B\n", "    size: 8 B\n    leakage: 20 uW\n")
    .replace("    size: 64 B\n", "    size: 64 B\n    leakage: 1.5 mW\n")
)
LAYER = Layer(name="x", module="x", dims=dict(K=6, C=5, OX=4))


def test_leakage_is_power_times_time(tmp_path):
    """3 mW of the array, 20 uW in each of 4 PEs, 1.5 mW of the buffer, at 100 MHz: 10 ns a cycle."""
    leaky, plain = evaluate(LAYER, chip(tmp_path, LEAKY)).layers[0], evaluate(LAYER, chip(tmp_path)).layers[0]
    ns = leaky.cycles * 10
    expected = {
        "array": 3e-3 * ns * 1e3,
        "regs": 4 * 20e-6 * ns * 1e3,
        "buffer": 1.5e-3 * ns * 1e3,
    }  # W * ns = 1e3 pJ
    found = {place: value for (place, kind), value in leaky.energy_breakdown.items() if kind == "leakage"}
    assert found == pytest.approx(expected)
    assert leaky.energy_pj == pytest.approx(plain.energy_pj + sum(expected.values()))
    assert leaky.leakage_energy_pj == pytest.approx(sum(expected.values()))
    assert leaky.mapping == plain.mapping
    assert leaky.mac_energy_pj == plain.mac_energy_pj


def network() -> LayerGraph:
    softmax = VectorOp(name="softmax", kind="softmax", elements_in=24, elements_out=24, ops_per_element=5)
    end = Layer(name="end", module="end", dims=dict(K=2, C=6, OX=4))
    shape = (1, 6, 4)
    return LayerGraph(
        "x",
        [LAYER, softmax, end],
        [("x", "softmax", Tensor(name="x", shape=shape)), ("softmax", "end", Tensor(name="y", shape=shape))],
    )


def test_it_runs_while_the_vector_unit_works(tmp_path):
    leaky = chip(tmp_path, LEAKY)
    cost = evaluate(network(), leaky)
    watts = 3e-3 + 4 * 20e-6 + 1.5e-3
    assert sum(item.leakage_energy_pj for item in cost.layers) == pytest.approx(watts * cost.latency_s * 1e12)
    frame = cost.to_dataframe()
    parts = frame["mac_energy_pj"] + frame["memory_energy_pj"] + frame["leakage_energy_pj"]
    assert parts.sum() == pytest.approx(cost.energy_pj)
    assert cost.traffic_frame()["energy_pj"].sum() == pytest.approx(cost.energy_pj)


def test_the_table_equals_evaluate_with_leakage(tmp_path):
    graph, leaky = network(), chip(tmp_path, LEAKY)
    choices = [Choice(w_bits=w, a_bits=a) for w, a in ((2, 4), (8, 8))]
    table = CostTable.build(graph, leaky, choices)
    for first in choices:
        for second in choices:
            picked = {"x": first, "end": second}
            assert table.price(picked).energy_pj == evaluate(graph, leaky, picked).energy_pj


@pytest.mark.parametrize("optimize", ["energy", "latency", "edp"])
def test_the_table_equals_evaluate_where_tensors_stay(optimize):
    """Powers that are no round numbers, in a memory, in every PE and in the array."""
    npu = load_accelerator("edge_npu")
    levels = tuple(
        replace(level, memories=tuple(replace(m, leakage_w=0.00123 * n) for m in level.memories))
        for n, level in enumerate(npu.levels, 1)
    )
    leaky, graph = replace(npu, levels=levels, array_leakage_w=0.0171), network()
    choices = [Choice(w_bits=w, a_bits=a) for w, a in ((2, 4), (3, 7), (8, 8))]
    table = CostTable.build(graph, leaky, choices, optimize)
    for first in choices:
        for second in choices:
            picked = {"x": first, "end": second}
            totals, cost = table.price(picked), evaluate(graph, leaky, picked, optimize)
            assert (totals.energy_pj, totals.cycles) == (cost.energy_pj, cost.cycles)
            assert cost.energy_pj > evaluate(graph, npu, picked, optimize).energy_pj


def test_a_chip_that_states_none_has_none():
    for name in list_accelerators():
        assert load_accelerator(name).leakage_w == {}
    assert all(
        kind != "leakage" for _, kind in evaluate(LAYER, load_accelerator("edge_npu")).layers[0].energy_breakdown
    )


def test_leakage_enters_the_fingerprint(tmp_path):
    assert chip(tmp_path, LEAKY).fingerprint != chip(tmp_path).fingerprint


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(AcceleratorError, match="leakage"):
        chip(tmp_path, LEAKY.replace("3 mW", "3"))
    with pytest.raises(AcceleratorError, match="leakage"):
        chip(tmp_path, LEAKY.replace("3 mW", "-3 mW"))
    with pytest.raises(AcceleratorError, match="call no memory so"):
        chip(tmp_path, LEAKY.replace("name: buffer", "name: array"))
    folder = Path(load_accelerator.__code__.co_filename).parent.parent / "accelerators"
    gpu = (folder / "a100.yaml").read_text().replace("    size:", "    leakage: 1 W\n    size:", 1)
    with pytest.raises(AcceleratorError, match="idle_power"):
        chip(tmp_path, gpu)
