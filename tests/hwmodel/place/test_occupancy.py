"""What memories hold step by step: against the peak, the size of the memory, and by hand."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwmodel import Bits, Choice, evaluate, load_accelerator
from hwmodel.network.tensors import written_bits
from hwmodel.show.occupancy import Step, occupancy
from tests.hwmodel.chips import chip
from tests.hwmodel.place.test_placement import BYTES, POINTS, STAYING, with_buffer, without_residents
from tests.hwmodel.place.test_stripes import images
from tests.hwmodel.price.test_memory import networks


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=st.one_of(networks(), images()), data=st.data())
def test_the_most_at_a_step_is_the_peak_and_fits(graph, data, tmp_path):
    if not graph.layers:
        return
    text = data.draw(st.sampled_from([STAYING, STAYING.replace("[I, O]", "[W, I, O]")]))
    accelerator = with_buffer(chip(tmp_path, text), data.draw(st.sampled_from([384, 768, 1536])))
    choices = {layer.module: Choice(w_bits=8, a_bits=data.draw(st.sampled_from([2, 8]))) for layer in graph.layers}
    optimize = data.draw(st.sampled_from(["energy", "latency"]))
    cost = evaluate(graph, accelerator, choices, optimize)
    steps = occupancy(cost, accelerator)
    assert [step.node for step in steps] == [node.name for node in graph.nodes]
    assert max(step.resident + step.outside for step in steps) == cost.activation_bits
    assert max(step.taken for step in steps) <= accelerator.keeper.size_bits
    written = written_bits(graph.annotate(choices), Bits(w=8, i=8))
    assert written == {item.name: item.layer.bits.out for item in cost.layers}


def test_three_layers_by_hand():
    """c0 and c1 read and write 1 KiB each on chip; in and c2 lie outside; tiles are the weights alone."""
    npu = load_accelerator("edge_npu")
    cost = evaluate(POINTS, npu)
    bits = 8 * BYTES
    steps = {step.node: step for step in occupancy(cost, npu)}
    assert (steps["in"].resident, steps["in"].outside) == (0, bits)
    assert (steps["c0"].resident, steps["c0"].outside) == (bits, bits)
    assert (steps["c1"].resident, steps["c1"].outside) == (2 * bits, 0)
    assert (steps["c2"].resident, steps["c2"].outside) == (bits, bits)
    assert steps["out"] == Step(node="out", resident=0, weights=0, tiles=0, outside=bits)
    for item in cost.layers:
        tiles = {operand: taken for (memory, operand), taken in item.tile_bits.items() if memory == "sram"}
        assert steps[item.name].tiles == 2 * sum(taken for o, taken in tiles.items() if o not in item.resident)


def test_networks_one_after_the_other():
    npu = load_accelerator("edge_npu")
    cost = evaluate(POINTS, npu)
    twice = occupancy(cost + cost, npu)
    assert [step.node for step in twice] == 2 * list(cost.order)
    once = occupancy(cost, npu)
    for kind in ("resident", "tiles", "outside"):
        assert [getattr(step, kind) for step in twice] == 2 * [getattr(step, kind) for step in once]


@pytest.mark.parametrize("name", ["edge_npu", "eyeriss", "a100"])
def test_where_nothing_may_stay_all_lies_outside(name):
    accelerator = without_residents(load_accelerator(name))
    cost = evaluate(POINTS, accelerator)
    assert {tensor.memory for tensor in cost.tensors} == {accelerator.levels[-1].memories[0].name}
    assert all(step.taken == 0 for step in occupancy(cost, accelerator))
