"""The array of a fusion chip: cycles from formulas, and Bit Fusion's own simulator on its own networks."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.replays import bitfusion
from benchmarks.replays.figures import figures
from hwmodel import Bits, Layer, count_accesses, evaluate, find_mapping, load_accelerator
from hwmodel.errors import AcceleratorError
from hwmodel.nest.task import Task
from hwmodel.nest.view import array_view
from tests.hwmodel.chips import TINY, chip

FREE = bitfusion.unlimited(load_accelerator("bitfusion"))


def compute(layer: Layer, accelerator=FREE) -> int:
    return evaluate(layer, accelerator, optimize="latency").layers[0].compute_cycles


@settings(max_examples=40, deadline=None)
@given(
    k=st.integers(1, 100),
    c=st.integers(5, 300),
    o=st.integers(1, 6),
    f=st.sampled_from([1, 3]),
    bits=st.tuples(st.sampled_from([2, 4, 8]), st.sampled_from([2, 4, 8])),
)
def test_narrow_widths_lengthen_the_rows(k, c, o, f, bits):
    """B OY OX FY FX ceil(C / (16 rate)) ceil(K / 32)."""
    layer = Layer(name="x", dims=dict(K=k, C=c, OY=o, OX=o, FY=f, FX=f), bits=Bits(w=bits[0], i=bits[1]))
    rate = (8 // bits[0]) * (8 // bits[1])
    assert compute(layer) == o * o * f * f * math.ceil(c / (16 * rate)) * math.ceil(k / 32)


@settings(max_examples=20, deadline=None)
@given(k=st.integers(1, 100), c=st.integers(1, 4), o=st.integers(1, 6), f=st.integers(2, 11), s=st.integers(1, 4))
def test_images_arrive_unfolded(k, c, o, f, s):
    """B OY OX ceil(C FY FX / 16) ceil(K / 32), and every pixel is sent once per window."""
    layer = Layer(name="x", dims=dict(K=k, C=c, OY=o, OX=o, FY=f, FX=f), stride=s, bits=Bits(w=8, i=8))
    assert compute(layer) == o * o * math.ceil(c * f * f / 16) * math.ceil(k / 32)
    mapping, cost = find_mapping(layer, FREE)
    assert cost.traffic_bits["dram", "I"] >= o * o * c * f * f * 8
    assert cost.traffic_bits["dram", "W"] >= layer.weights * 8
    counts = count_accesses(layer, FREE, mapping)
    assert counts["dram", "I"].reads * 8 == cost.traffic_bits["dram", "I"]


def test_conv1_of_alexnet():
    """K=96, C=3, 11x11 at 8 bits and batch 16: 16 * 55 * 55 * ceil(363 / 16) * ceil(96 / 32) = 3,339,600."""
    layer = Layer(name="x", dims=dict(B=16, K=96, C=3, OY=55, OX=55, FY=11, FX=11), stride=4, bits=Bits(w=8, i=8))
    assert compute(layer) == 16 * 55 * 55 * 23 * 3 == 3_339_600


def test_depthwise_is_not_unfolded():
    layer = Layer(name="x", dims=dict(G=32, OY=4, OX=4, FY=3, FX=3))
    task = Task.of(layer, FREE)
    assert array_view(task).layer is task.layer


def test_a_view_of_a_view_is_the_view():
    layer = Layer(name="x", dims=dict(K=8, C=3, FY=3, FX=3), bits=Bits(w=2, i=4))
    once = array_view(Task.of(layer, FREE))
    assert array_view(once) == once
    assert once.accelerator.num_pes == FREE.num_pes * 8
    assert once.accelerator.precision.macs_per_cycle(2, 4) == 1


def test_plain_chips_are_seen_as_they_are():
    layer, accelerator = Layer(name="x", dims=dict(K=8, C=3, FY=3, FX=3)), load_accelerator("eyeriss")
    task = Task.of(layer, accelerator)
    assert array_view(task) == task


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dims: [K, OX]", "dims: [K, OX], fused: true", "`fused: true` needs `precision: fusion`"),
        ("dims: [K, OX]", "dims: [K, OX], weight_cells: 1", "`size >= 9` must hold"),
        ("clock: 100 MHz", "clock: 100 MHz\nhost_unfolds: -1", "host_unfolds"),
    ],
)
def test_bad_arrays_are_refused(tmp_path, old, new, message):
    with pytest.raises(AcceleratorError, match=message):
        chip(tmp_path, TINY.replace(old, new))


def test_one_fused_axis(tmp_path):
    text = TINY
    text = text.replace("dims: [K, OX]", "dims: [K], fused: true").replace(
        "dims: [C, FY, OY]", "dims: [C], fused: true"
    )
    with pytest.raises(AcceleratorError, match="only one axis"):
        chip(tmp_path, text.replace("energy: 0.5 pJ, source", "precision: fusion, energy: 0.5 pJ, source"))


# ---------------------------------------------------------------- Bit Fusion's simulator


def rows():
    for network, item in figures("bitfusion_cycles.json").items():
        layers = {row["scope"]: bitfusion.layer_of(row) for row in item["layers"]}
        for row in item["results"]:
            layer = layers[row["Layer"].split("/")[0]]
            yield network, row, layer


def padding(row, layer) -> float:
    """Padded over real MACs, from the row's own count of weight reads [bit]."""
    return row["WBUF Read"] / (layer.macs * layer.bits.w)


def test_compute_cycles_of_every_layer():
    """Equal where the reference did not pad its tiles, and never more."""
    for network, row, layer in rows():
        busy = row["Cycles"] - row["Memory wait cycles"]
        ours = compute(layer, bitfusion.unlimited(bitfusion.accelerator_of(row)))
        assert ours <= busy, (network, layer.name)
        if padding(row, layer) == 1.0:
            assert ours == busy, (network, layer.name)


def test_padded_layers_with_the_same_padding():
    """The reference tiles OY = OX, C and the blocks of K by powers of two; bounds are rounded up to whole tiles."""
    seen = 0
    for network, row, layer in rows():
        accelerator = bitfusion.unlimited(bitfusion.accelerator_of(row))
        if padding(row, layer) == 1.0:
            continue
        seen += 1
        busy = row["Cycles"] - row["Memory wait cycles"]
        imposed = padded_layers(layer, accelerator.axes[1].size, padding(row, layer))
        assert busy in {compute(item, accelerator) for item in imposed}, (network, layer.name)
    assert seen


def padded_layers(layer: Layer, columns: int, ratio: float) -> list[Layer]:
    """The layer with bounds rounded up to tiles of the reference's family, at the ratio that it reports."""

    def rounded(bound: int, unit: int) -> set[int]:
        tiles = {min(unit << n, bound) for n in range(bound.bit_length())}
        return {math.ceil(bound / tile) * tile for tile in tiles}

    d = layer.dims
    choices = itertools.product(rounded(d.OY, 1), rounded(d.C, 1), rounded(d.K, columns))
    found = [replace(layer, dims=replace(d, OY=o, OX=o, C=c, K=k)) for o, c, k in choices]
    return [item for item in found if item.macs == round(layer.macs * ratio)]


def test_network_totals():
    """With waits: never above by more than 2 %; what is below by more than 10 % is traffic, padding and edges.

    The reference writes every output at 32 bits and reads it before its first sum; we write finished ones at their
    width. It fills its half buffers before it starts and drains the last one: at most W/2 + I/2 + 2 O/2 per layer.
    """
    totals: dict[tuple[str, str], list[float]] = {}
    for network, row, layer in rows():
        accelerator = bitfusion.accelerator_of(row)
        cost = evaluate(layer, accelerator, optimize="latency").layers[0]
        total = totals.setdefault((network, bitfusion.array_name(row)), [0, 0, 0, 0, 0])
        moved = sum(bits for (place, _), bits in cost.traffic_bits.items() if place == "dram")
        busy = row["Cycles"] - row["Memory wait cycles"]
        total[0] += cost.cycles
        total[1] += row["Cycles"]
        total[2] += (row["DRAM Read"] + row["DRAM Write"] - moved) / row["Bandwidth (bits/cycle)"]
        total[3] += busy - compute(layer, bitfusion.unlimited(accelerator))
        sizes = {name: memory.size_bits or 0 for name, memory in accelerator.memories().items()}
        total[4] += (sizes["wbuf"] / 2 + sizes["ibuf"] / 2 + sizes["obuf"]) / row["Bandwidth (bits/cycle)"]
    for place, (ours, reference, extra_traffic, padded, edges) in totals.items():
        assert ours <= 1.02 * reference, place
        if ours < 0.9 * reference:
            assert reference - ours <= extra_traffic + padded + edges, place
