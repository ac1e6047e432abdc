"""Bounds that stand for prices: none says too much, and what they leave without a price could not have won."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwmodel import Choice, LayerGraph, load_accelerator
from hwmodel.chip.accelerator import Accelerator
from hwmodel.cost import price_situation
from hwmodel.place.hopes import BOUNDS_LESS, LEAST_CYCLES, LEAST_PJ
from hwmodel.place.placer import Placer
from hwmodel.place.plan import Plan
from tests.hwmodel.chips import chip
from tests.hwmodel.place.test_placement import POINTS, STAYING, changed, with_buffer
from tests.hwmodel.place.test_stripes import WITHOUT_WEIGHTS, images
from tests.hwmodel.place.test_weights import KEEPING
from tests.hwmodel.price.test_memory import networks

OBJECTIVES = ("energy", "latency", "edp")


def placer_of(graph: LayerGraph, accelerator: Accelerator, optimize: str) -> Placer:
    plan = Plan.of(graph, accelerator)
    price = partial(price_situation, accelerator, optimize)
    return Placer(plan, accelerator, optimize, [[layer] for layer in plan.layers], price)


def place(placer: Placer):
    return placer.run(np.zeros((1, len(placer.plan.layers)), dtype=np.int64))


def price_everything(placer: Placer) -> None:
    """Every layer in every number of stripes, in every situation and room."""
    whole = [row for row, found in enumerate(placer._situations) if not found.rows]
    for row in whole:
        layer = placer._situations[row].layer
        for height in range(len(placer.plan.heights)) if layer.kind == "conv" else ():
            if placer.striped[row, height] < 0:
                placer._add_stripe(row, height)
    for row in range(len(placer._situations)):
        placer._add_floor(row)
        for situation in range(placer.prices.shape[1]):
            for room in range(placer.prices.shape[2]):
                if np.isnan(placer.prices[row, situation, room, 0]):
                    placer._add_price(row, situation, room)


def leaking(accelerator: Accelerator) -> Accelerator:
    return replace(changed(accelerator, lambda memory: replace(memory, leakage_w=7e-4)), array_leakage_w=1.3e-3)


def drawn(graph: LayerGraph, data: st.DataObject, tmp_path, *texts: str) -> tuple[LayerGraph, Accelerator, str]:
    """The network at random widths, a chip with a tight or ample buffer, and an objective."""
    accelerator = chip(tmp_path, data.draw(st.sampled_from(texts)))
    accelerator = with_buffer(accelerator, data.draw(st.sampled_from([384, 512, 768, 1536])))
    if data.draw(st.booleans()):
        accelerator = leaking(accelerator)
    bits = st.sampled_from([2, 4, 8])
    choices = {layer.module: Choice(w_bits=data.draw(bits), a_bits=data.draw(bits)) for layer in graph.layers}
    return graph.annotate(choices), accelerator, data.draw(st.sampled_from(OBJECTIVES))


def same(graph: LayerGraph, accelerator: Accelerator, optimize: str) -> None:
    lazy, eager = (placer_of(graph, accelerator, optimize) for _ in range(2))
    found = place(lazy)
    place(eager)
    price_everything(eager)
    exact = place(eager)
    assert np.array_equal(found.totals, exact.totals)
    assert np.array_equal(found.inside, exact.inside)
    assert np.array_equal(found.where, exact.where)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=images(), data=st.data())
def test_a_placement_is_the_one_with_all_prices_known(graph, data, tmp_path):
    """Bit for bit, ties included: images that may run in stripes, with weights that may wait, stay, or neither."""
    same(*drawn(graph, data, tmp_path, STAYING, WITHOUT_WEIGHTS, KEEPING))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=networks(), data=st.data())
def test_so_it_is_with_concatenations_and_products(graph, data, tmp_path):
    if graph.layers:
        same(*drawn(graph, data, tmp_path, STAYING, KEEPING))


@pytest.mark.parametrize("optimize", OBJECTIVES)
def test_no_bound_is_above_a_price(optimize, tmp_path):
    """Floors, the mapper's bounds, and a price for more room of what is minimised; whole and in stripes."""
    for accelerator in (chip(tmp_path, KEEPING), load_accelerator("edge_npu")):
        placer = placer_of(POINTS.annotate({"c1": Choice(w_bits=4, a_bits=4)}), accelerator, optimize)
        place(placer)
        price_everything(placer)
        for row in range(len(placer._situations)):
            for situation in range(placer.prices.shape[1]):
                prices, floor = placer.prices[row, situation], placer.floors[row, situation]
                least = floor[[LEAST_PJ, LEAST_CYCLES]].copy()
                placer._sharpen(row, situation)
                assert (floor[[LEAST_PJ, LEAST_CYCLES]] >= least).all()
                assert (least > 0).all()
                assert (prices >= floor[[LEAST_PJ, LEAST_CYCLES]]).all()
                if floor[BOUNDS_LESS]:
                    energy, cycles = prices[np.isfinite(prices[:, 0])].T
                    score = {"energy": energy, "latency": cycles, "edp": energy * cycles}[optimize]
                    assert (np.diff(score) >= -1e-12 * score[:-1]).all()


def test_most_layers_in_most_situations_need_no_price():
    """A layer of three between others has four situations, and 19 rooms in each; few of them are looked for."""
    placer = placer_of(POINTS, load_accelerator("edge_npu"), "energy")
    asked = []
    placer.price, price = lambda situation: asked.append(situation) or price(situation), placer.price
    place(placer)
    assert 3 <= len(asked) <= 2 * len(POINTS.layers)
    assert math.isnan(placer.prices[placer.rows[1, 0].max(), 0, 0, 0])
