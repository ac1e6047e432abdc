"""Weights that stay between inferences: every set of weights in every division of the memory, and by hand."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwmodel import Choice, CostTable, Layer, LayerGraph, evaluate, load_accelerator
from hwmodel.cost import layer_cost
from hwmodel.errors import MappingError
from hwmodel.network.stored import weight_readers
from hwmodel.place.pinning import PARTS, UNITS
from hwmodel.place.plan import MOST_SHARED, Plan
from hwmodel.show.occupancy import occupancy
from tests.hwmodel.chips import TINY, chip
from tests.hwmodel.place import test_stripes
from tests.hwmodel.place.test_placement import POINTS, chain, changed, is_inner, width_of, with_buffer
from tests.hwmodel.place.test_stripes import groupings, images, one_by_hand

KEEPING = TINY.replace("size: 64 B", "size: 96 B\n    resident: [W, I, O]")
WEIGHTS_ALONE = TINY.replace("size: 64 B", "size: 96 B\n    resident: [W]")
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def keeping(accelerator, *operands: str):
    """The same chip with other operands that may stay in its buffer."""
    sized = [memory.name for memory in accelerator.memories().values() if memory.resident]
    return changed(accelerator, lambda m: replace(m, resident=operands) if m.name in sized else m)


def divisions(layers, size: float):
    """(area, indices of the layers whose weights stay) of every division and every set that fits it, rounded up.

    Of the areas that hold all weights only the smallest.
    """
    index = {id(layer): n for n, layer in enumerate(layers)}
    weights = [
        (max(layer.weights * layer.bits.w for layer in readers), [index[id(layer)] for layer in readers])
        for readers in weight_readers(layers).values()
    ]
    yield 0.0, frozenset()
    for part in range(1, PARTS + 1):
        area = size * part / PARTS
        all_fit = sum(bits for bits, _ in weights) <= area
        for count in range(len(weights) + 1):
            for chosen in itertools.combinations(weights, count):
                units = sum(math.ceil(bits * UNITS / area) for bits, _ in chosen)
                if all_fit or units <= UNITS:
                    yield area, frozenset(n for _, readers in chosen for n in readers)
        if all_fit:
            return


def least(graph: LayerGraph, accelerator, optimize: str, *, fuse: bool) -> float:
    """Score of the best of all divisions, sets of weights, groupings and placements."""
    plan = Plan.of(graph, accelerator, fuse=fuse)
    width = [width_of(graph, tensor.name) for tensor in plan.tensors]
    bits = [tensor.elements * w for tensor, w in zip(plan.tensors, width, strict=True)]
    names = {tensor.name: w for tensor, w in zip(plan.tensors, width, strict=True)}
    stays = accelerator.resident("I") is not None
    movable = {n for n, tensor in enumerate(plan.tensors) if stays and is_inner(graph, tensor.name)}
    best = math.inf
    for groups in set(groupings(plan)):
        streamed = {n for group, _, _ in groups for n in group.inner}
        free = sorted(movable - streamed)
        for inside in itertools.chain.from_iterable(itertools.combinations(free, k) for k in range(len(free) + 1)):
            for area, pinned in divisions(plan.layers, accelerator.keeper.size_bits):
                try:
                    score = one_by_hand(
                        graph, plan, accelerator, groups, set(inside), bits, names, optimize, area, pinned
                    )
                except MappingError:
                    continue
                best = min(best, math.inf if score is None else score)
    return best


@pytest.fixture
def remembered(monkeypatch):
    """Layers at the same place are priced once in a brute force."""

    @functools.cache
    def price(*args):
        try:
            return layer_cost(*args[:3], **dict(args[3]))
        except MappingError as error:
            return error

    def cost(*args, **kwargs):
        found = price(*args, tuple(sorted(kwargs.items())))
        if isinstance(found, MappingError):
            raise found
        return found

    monkeypatch.setattr(test_stripes, "layer_cost", cost)


def check_best(graph, accelerator, choices, optimize, *, fuse):
    best = least(graph.annotate(choices), accelerator, optimize, fuse=fuse)
    cost = evaluate(graph, accelerator, choices, optimize, fuse=fuse)
    got = cost.energy_pj if optimize == "energy" else cost.cycles
    assert got == pytest.approx(best, rel=1e-9)


@settings(SLOW, max_examples=40)
@given(graph=images(), data=st.data())
def test_no_set_of_weights_is_better(graph, data, tmp_path, remembered):
    """Random networks at random widths, in tight and ample buffers, with and without tensors that stay."""
    text = data.draw(st.sampled_from([KEEPING, WEIGHTS_ALONE]))
    accelerator = with_buffer(chip(tmp_path, text), data.draw(st.sampled_from([384, 512, 768, 1536, 2048])))
    bits = st.sampled_from([2, 4, 8])
    choices = {layer.module: Choice(w_bits=data.draw(bits), a_bits=data.draw(bits)) for layer in graph.layers}
    optimize = data.draw(st.sampled_from(["energy", "latency"]))
    check_best(graph, accelerator, choices, optimize, fuse=False)


@settings(SLOW, max_examples=15)
@given(graph=images(), data=st.data())
def test_no_set_of_weights_is_better_with_stripes(graph, data, tmp_path, remembered):
    accelerator = with_buffer(chip(tmp_path, KEEPING), data.draw(st.sampled_from([384, 512, 768])))
    choices = {layer.module: Choice(w_bits=8, a_bits=data.draw(st.sampled_from([4, 8]))) for layer in graph.layers}
    check_best(graph, accelerator, choices, data.draw(st.sampled_from(["energy", "latency"])), fuse=True)


@settings(SLOW, max_examples=20)
@given(modules=st.lists(st.integers(0, 1), min_size=3, max_size=4), data=st.data())
def test_a_weight_that_several_layers_read_stays_for_all_of_them(modules, data, tmp_path, remembered):
    layers = (
        Layer(name=f"c{n}", module=f"m{module}", dims=dict(K=3, C=3, OX=4)) for n, module in enumerate(modules)
    )
    graph = chain(*layers, image=(1, 3, 1, 4))
    accelerator = with_buffer(chip(tmp_path, KEEPING), data.draw(st.sampled_from([256, 384, 512, 768])))
    choices = {f"m{module}": Choice(w_bits=data.draw(st.sampled_from([4, 8])), a_bits=8) for module in set(modules)}
    check_best(graph, accelerator, choices, data.draw(st.sampled_from(["energy", "latency"])), fuse=False)
    cost = evaluate(graph, accelerator, choices, fuse=False)
    stay = {item.module for item in cost.layers if "W" in item.resident}
    assert all(("W" in item.resident) == (item.module in stay) for item in cost.layers)
    assert (cost.load.bits if cost.load else 0) == sum(9 * choices[module].w_bits for module in stay)


@settings(SLOW, max_examples=25)
@given(graph=images(), data=st.data())
def test_a_table_prices_candidates_as_evaluate_does(graph, data, tmp_path):
    text = data.draw(st.sampled_from([KEEPING, WEIGHTS_ALONE]))
    accelerator = with_buffer(chip(tmp_path, text), data.draw(st.sampled_from([384, 768, 1536])))
    options = [Choice(w_bits=w, a_bits=a) for w, a in ((8, 8), (4, 2), (2, 4))]
    optimize, fuse = data.draw(st.sampled_from(["energy", "latency", "edp"])), data.draw(st.booleans())
    table = CostTable.build(graph, accelerator, options, optimize, fuse=fuse)
    row = st.lists(st.integers(0, 2), min_size=len(table.modules), max_size=len(table.modules))
    picks = data.draw(st.lists(row, min_size=1, max_size=4))
    totals = table.totals(np.array(picks, dtype=np.int64))
    for n, row in enumerate(picks):
        chosen = {module: options[pick] for module, pick in zip(table.modules, row, strict=True)}
        cost = evaluate(graph, accelerator, chosen, optimize, fuse=fuse)
        for name in ("energy_pj", "cycles", "latency_s", "weight_bits", "activation_bits", "memory_bits", "bops"):
            assert totals[name][n] == getattr(cost, name), name


@settings(SLOW, max_examples=25)
@given(graph=images(), data=st.data())
def test_more_memory_and_weights_that_may_stay_never_cost_more(graph, data, tmp_path):
    accelerator = chip(tmp_path, KEEPING)
    optimize = data.draw(st.sampled_from(["energy", "latency"]))
    size = data.draw(st.sampled_from([384, 512, 768, 1536]))

    def score(chip) -> float:
        cost = evaluate(graph, chip, None, optimize, fuse=False)
        return cost.energy_pj if optimize == "energy" else cost.cycles

    here = score(with_buffer(accelerator, size))
    assert here <= score(with_buffer(keeping(accelerator, "I", "O"), size)) * (1 + 1e-12)
    assert score(with_buffer(accelerator, size + data.draw(st.sampled_from([8, 100, 1024])))) <= here * (1 + 1e-12)


# ---- by hand --------------------------------------------------------------------------------------


def products(*filters: int) -> LayerGraph:
    """Linear layers one behind the other on a vector of 64: of K filters each."""
    pairs = itertools.pairwise((64, *filters))
    layers = (Layer(name=f"c{n}", module=f"c{n}", dims=dict(K=k, C=c)) for n, (c, k) in enumerate(pairs))
    return chain(*layers, image=(1, 64, 1, 1))


def dram_weights(cost) -> list[float]:
    return [item.traffic_bits["dram", "W"] if "W" not in item.resident else 0.0 for item in cost.layers]


def test_of_two_weights_that_fit_one_at_a_time_the_larger_one_stays():
    """4 KiB and 2 KiB in a buffer of 5.5 KiB: 12 of its 16 parts, 4.125 KiB, hold the larger one alone."""
    npu = with_buffer(keeping(load_accelerator("edge_npu"), "W", "I", "O"), 5.5 * 8192)
    sram, dram = npu.memories()["sram"], npu.memories()["dram"]
    for filters, larger in (((64, 32), "c0"), ((32, 128), "c1")):
        cost = evaluate(products(*filters), npu)
        bits = 4096 * 8
        assert cost.load.layers == (larger,)
        assert (cost.load.memory, cost.load.bits) == ("sram", bits)
        assert cost.load.energy_pj == pytest.approx(bits * (dram.read_pj_per_bit + sram.write_pj_per_bit))
        ports = bits / dram.read_bits_per_cycle, bits / sram.write_bits_per_cycle
        assert cost.load.cycles == math.ceil(max(ports))
        assert sum(dram_weights(cost)) == 2048 * 8


def test_weights_that_all_fit_leave_no_traffic_but_the_ends_of_the_network():
    """16 KiB for 768 B of weights and 3 KiB of tensors at most; the load is no part of an inference."""
    npu = with_buffer(keeping(load_accelerator("edge_npu"), "W", "I", "O"), 16 * 8192)
    cost = evaluate(POINTS, npu)
    assert cost.load.bits == 3 * 16 * 16 * 8
    assert [item.resident for item in cost.layers] == [("W", "O"), ("W", "I", "O"), ("W", "I")]
    dram = sum(v for item in cost.layers for (place, _), v in item.traffic_bits.items() if place == "dram")
    assert dram == 2 * 16 * 8 * 8 * 8
    assert {step.weights for step in occupancy(cost, npu)} == {cost.load.bits}
    assert cost.energy_pj == sum(item.energy_pj for item in cost.layers)
    assert (cost + cost).load.cycles == 2 * cost.load.cycles


def test_a_layer_alone_and_a_chip_that_keeps_none_load_nothing():
    npu = load_accelerator("edge_npu")
    assert evaluate(POINTS, npu).load is None
    assert evaluate(POINTS.layers[0], keeping(npu, "W", "I", "O")).load is None


def test_too_many_shared_weights_are_said(tmp_path):
    count = MOST_SHARED + 1
    layers = (Layer(name=f"c{n}", module=f"m{n % count}", dims=dict(K=2, C=2)) for n in range(2 * count))
    cost = evaluate(chain(*layers, image=(1, 2, 1, 1)), chip(tmp_path, WEIGHTS_ALONE))
    assert any(f"at most {MOST_SHARED} may stay" in note for note in cost.notes)
