"""Networks whose traffic and peak are known: by hand where they fit, against every placement where they do not."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

from hwmodel import Choice, CostTable, Layer, LayerGraph, Port, Tensor, VectorOp, evaluate, load_accelerator
from hwmodel.cost import layer_cost
from tests.hwmodel.place.oracle import Oracle
from tests.hwmodel.place.test_placement import dram_bytes, with_buffer, without_residents
from workloads import load_model_with_input, trace

KIB = 8 * 1024


@cache
def network(name: str) -> LayerGraph:
    model, inputs = load_model_with_input(name)
    return trace(model, *inputs)


def at_8_bits(graph: LayerGraph) -> dict[str, Choice]:
    return {layer.module: Choice(w_bits=8, a_bits=8) for layer in graph.layers}


# ---- networks that fit ----------------------------------------------------------------------------


#: Network -> its input and output [B], and its weights: 10x4 and 4 pairs of depthwise and pointwise of 64 channels,
#: then 12 classes; 3x3 of 16, 32 and 64 channels with two projections, then 10 classes.
KNOWN = {
    "dscnn": (49 * 10, 12, 64 * 40 + 4 * (64 * 9 + 64 * 64) + 64 * 12),
    "resnet8": (
        3 * 32 * 32,
        10,
        9 * (3 * 16 + 2 * 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64) + 16 * 32 + 32 * 64 + 64 * 10,
    ),
}


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("optimize", ["energy", "latency"])
def test_of_a_network_that_fits_only_input_output_and_weights_cross_the_edge_of_the_chip(name, optimize):
    """At 8 bits in 128 KiB; each weight once, as every layer is one pass over them."""
    graph = network(name)
    cost = evaluate(graph, load_accelerator("edge_npu"), at_8_bits(graph), optimize)
    _, made, weights = KNOWN[name]
    assert dram_bytes(cost, "O") == made
    assert dram_bytes(cost, "vector") == 0
    assert sum("I" not in item.resident for item in cost.layers) == 1  # the first
    assert [tensor.name for tensor in cost.tensors if tensor.memory == "dram"] == ["x", "fc"]
    assert sum(item.weight_bits for item in cost.layers) == weights * 8
    if optimize == "energy":
        assert dram_bytes(cost, "W") == weights


@pytest.mark.parametrize("name", KNOWN)
def test_of_the_input_nothing_but_its_pixels_comes_in(name):
    graph = network(name)
    assert dram_bytes(evaluate(graph, load_accelerator("edge_npu"), at_8_bits(graph)), "I") == KNOWN[name][0]


def test_what_goes_through_dram_without_a_resident_memory():
    """DS-CNN writes 64 x 25 x 5 eight times and reads it again, pools the ninth to 64: most of its energy."""
    graph, npu = network("dscnn"), without_residents(load_accelerator("edge_npu"))
    cost = evaluate(graph, npu, at_8_bits(graph))
    assert dram_bytes(cost, "O") >= 8 * 64 * 25 * 5 + 64 + 12
    moved = sum(
        pj for item in cost.layers for (place, operand), pj in item.energy_breakdown.items()
        if place == "dram" and operand in ("I", "O", "vector")
    )  # fmt: skip
    assert 0.6 < moved / cost.energy_pj < 0.8


# ---- networks that do not -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kib", "optimize", "stays"),
    [
        ("dscnn", 24, "energy", True),
        ("dscnn", 24, "latency", True),
        ("dscnn", 12, "energy", False),
        ("dscnn", 12, "latency", False),
        ("resnet8", 24, "energy", False),
    ],
)
def test_with_a_smaller_memory_the_placement_is_the_best_of_all(name, kib, optimize, stays):
    """All placements one by one; operations apart, so that there are no groups.

    DS-CNN keeps 16,000 B at its peak and its tiles live in the 8,576 B that 24 KiB leave; ResNet-8 keeps 49,152 B.
    """
    graph, npu = network(name), with_buffer(load_accelerator("edge_npu"), kib * KIB)
    choices = at_8_bits(graph)
    cost = evaluate(graph, npu, choices, optimize, fuse=False)
    oracle = Oracle(graph.annotate(choices), npu, optimize, fuse=False)
    least, _ = min(oracle.everywhere(), key=lambda found: found[0])
    assert oracle.least() == pytest.approx(least, rel=1e-12)  # the recursion misses none
    assert score(cost, optimize) == pytest.approx(least, rel=1e-9)
    outside = {tensor.name for tensor in cost.tensors if tensor.memory == "dram"} - {"x", "fc"}
    assert bool(outside) is not stays


@pytest.mark.parametrize("optimize", ["energy", "latency"])
@pytest.mark.parametrize("kib", [16, 20])
def test_with_groups_the_placement_is_the_best_of_all_too(kib, optimize):
    """DS-CNN: groups of up to eight layers in 2 to 25 stripes, with every placement of the other tensors."""
    graph, npu = network("dscnn"), with_buffer(load_accelerator("edge_npu"), kib * KIB)
    choices = at_8_bits(graph)
    cost = evaluate(graph, npu, choices, optimize)
    assert score(cost, optimize) == pytest.approx(Oracle(graph.annotate(choices), npu, optimize).least(), rel=1e-9)
    assert bool(cost.fused) is (optimize == "latency")


def score(cost, optimize: str) -> float:
    return cost.energy_pj if optimize == "energy" else cost.cycles


def test_a_table_prices_mixed_precision_as_evaluate_does():
    graph, npu = network("dscnn"), with_buffer(load_accelerator("edge_npu"), 24 * KIB)
    options = [Choice(w_bits=w, a_bits=a) for w, a in ((8, 8), (4, 4), (2, 8))]
    table = CostTable.build(graph, npu, options, fuse=False)
    picks = np.random.default_rng(0).integers(0, 3, (6, len(table.modules)))
    totals = table.totals(picks)
    for n, row in enumerate(picks):
        chosen = {module: options[pick] for module, pick in zip(table.modules, row, strict=True)}
        cost = evaluate(graph, npu, chosen, fuse=False)
        for field in ("energy_pj", "cycles", "weight_bits", "activation_bits", "memory_bits", "bops"):
            assert totals[field][n] == getattr(cost, field), field


# ---- by hand --------------------------------------------------------------------------------------


def residual_block() -> LayerGraph:
    """Three convolutions of 8 x 16 x 16 (2,048 B each); the first one's output is added to the last one's."""
    image = (1, 8, 16, 16)
    stem, a, b, end = (
        Layer(name=n, module=n, dims=dict(K=8, C=8, OY=16, OX=16)) for n in ("stem", "a", "b", "end")
    )
    add = VectorOp(name="add", kind="add", elements_in=2 * 2048, elements_out=2048, fused=True)
    nodes = [Port(name="in", kind="input"), stem, a, b, add, end, Port(name="out", kind="output")]
    pairs = [
        ("in", "stem"),
        ("stem", "a"),
        ("a", "b"),
        ("b", "add"),
        ("stem", "add"),
        ("add", "end"),
        ("end", "out"),
    ]
    return LayerGraph("block", nodes, [(s, t, Tensor(name=s, shape=image)) for s, t in pairs])


def test_a_residual_block():
    """While b runs: the skip, what it reads and what becomes of it, 3 x 2,048 = 6,144 B."""
    cost = evaluate(residual_block(), load_accelerator("edge_npu"))
    assert cost.activation_bits == 6_144 * 8
    assert (dram_bytes(cost, "I"), dram_bytes(cost, "O"), dram_bytes(cost, "vector")) == (2048, 2048, 0)
    by_name = {item.name: item for item in cost.layers}
    assert by_name["b"].traffic_bits["sram", "vector"] == 2048 * 8  # the skip is read where it lies


@pytest.mark.parametrize(
    ("kib", "outside"),
    # the three tensors take 6 KiB alone, tiles more; two fit in 5 KiB: the skip is read twice, and stays
    [(8, 0), (5, 1), (3, 2)],
)
def test_a_residual_block_in_less(kib, outside):
    npu = with_buffer(load_accelerator("edge_npu"), kib * KIB)
    cost = evaluate(residual_block(), npu, fuse=False)
    choices = at_8_bits(residual_block())
    oracle = Oracle(residual_block().annotate(choices), npu, "energy", fuse=False)
    assert cost.energy_pj == pytest.approx(oracle.least(), rel=1e-9)
    places = {tensor.name: tensor.memory for tensor in cost.tensors}
    assert sum(places[name] == "dram" for name in ("stem", "a", "add")) == outside


def unet() -> LayerGraph:
    """8 x 32 x 32 with its half and back, skip and what comes up concatenated in place; then 16 x 32 x 32."""
    down = Layer(name="down", module="down", dims=dict(K=8, C=1, OY=32, OX=32))
    middle = Layer(name="middle", module="middle", dims=dict(K=8, C=8, OY=16, OX=16))
    last = Layer(name="last", module="last", dims=dict(K=16, C=16, OY=32, OX=32))
    size, half = 8 * 32 * 32, 8 * 16 * 16
    pool = VectorOp(name="pool", kind="pool", elements_in=size, elements_out=half, fused=True)
    up = VectorOp(name="up", kind="upsample", elements_in=half, elements_out=size)
    join = VectorOp(
        name="join", kind="concat", elements_in=2 * size, elements_out=2 * size, pieces=("down", "up")
    )  # fmt: skip
    nodes = [Port(name="in", kind="input"), down, pool, middle, up, join, last, Port(name="out", kind="output")]
    whole, small = (1, 8, 32, 32), (1, 8, 16, 16)
    edges = [
        ("in", "down", (1, 1, 32, 32)), ("down", "pool", whole), ("pool", "middle", small), ("middle", "up", small),
        ("down", "join", whole), ("up", "join", whole), ("join", "last", (1, 16, 32, 32)),
        ("last", "out", (1, 16, 32, 32)),
    ]  # fmt: skip
    return LayerGraph("unet", nodes, [(s, t, Tensor(name=s, shape=shape)) for s, t, shape in edges])


def test_a_unet():
    """While the last convolution runs: 16 KiB read, 16 KiB written, 32,768 B; of these 16 KiB lie on chip."""
    cost = evaluate(unet(), load_accelerator("edge_npu"))
    assert cost.activation_bits == 32_768 * 8
    assert (dram_bytes(cost, "I"), dram_bytes(cost, "O"), dram_bytes(cost, "vector")) == (1024, 16 * 1024, 0)
    assert {tensor.name: tensor.memory for tensor in cost.tensors} == {
        "in": "dram", "down": "sram", "pool": "sram", "middle": "sram", "up": "sram", "last": "dram"
    }  # fmt: skip


@pytest.mark.parametrize("kib", [10, 14, 20, 24])
def test_a_unet_in_less(kib):
    npu, choices = with_buffer(load_accelerator("edge_npu"), kib * KIB), at_8_bits(unet())
    for fuse, optimize in itertools.product((True, False), ("energy", "latency")):
        cost = evaluate(unet(), npu, choices, optimize, fuse=fuse)
        oracle = Oracle(unet().annotate(choices), npu, optimize, fuse=fuse)
        assert score(cost, optimize) == pytest.approx(oracle.least(), rel=1e-9)


@pytest.mark.parametrize("chip", ["edge_npu", "tpu_v1"])
def test_a_layer_alone_costs_what_it_did(chip):
    """Whether its chip has a resident memory or not: nothing comes from there, and nothing goes there."""
    accelerator = load_accelerator(chip)
    for layer in network("resnet8").layers[:3]:
        alone, before = evaluate(layer, accelerator), layer_cost(layer, without_residents(accelerator))
        assert (alone.energy_pj, alone.cycles) == (before.energy_pj, before.cycles)
        assert alone.layers[0].traffic_bits == before.traffic_bits
        assert alone.layers[0].resident == ()


# ---- what must hold of any network ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["dscnn", "resnet8", "transformer"])
@pytest.mark.parametrize("chip", ["edge_npu", "tpu_v1"])
@pytest.mark.parametrize("fuse", [True, False])
def test_staying_and_fusing_never_cost_energy(name, chip, fuse):
    """A chip that may keep tensors is no worse in energy than one that may not, and fused no worse than apart."""
    graph, accelerator = network(name), load_accelerator(chip)
    cost = evaluate(graph, accelerator, fuse=fuse)
    assert cost.energy_pj <= evaluate(graph, without_residents(accelerator), fuse=fuse).energy_pj * (1 + 1e-12)
    assert evaluate(graph, accelerator, fuse=True).energy_pj <= cost.energy_pj * (1 + 1e-12)
    assert cost.energy_pj == pytest.approx(sum(cost.traffic_frame()["energy_pj"]), rel=1e-12)
    for item in cost.layers:
        assert min(*item.energy_breakdown.values(), *item.traffic_bits.values()) >= 0.0
        assert 0.0 < item.utilization <= 1.0
