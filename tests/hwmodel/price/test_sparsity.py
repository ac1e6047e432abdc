"""Skipping, N:M and compressed storage against enumeration, formulas and the properties that they obey."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Choice, CostTable, Density, Layer, LayerGraph, evaluate, load_accelerator
from hwmodel.chip.storage import nm_compression, stored_bits
from hwmodel.errors import AcceleratorError
from hwmodel.price.sparsity import expected_maximum
from tests.hwmodel.chips import TINY, chip

SKIPPING = TINY + "skipping: [W, I]\n"
NM = TINY + "nm: ['2:4']\n"


@pytest.mark.parametrize(("tile", "pes", "density"), [(1, 3, 0.3), (3, 2, 0.5), (4, 3, 0.25), (2, 4, 0.9)])
def test_expected_maximum_by_enumeration(tile, pes, density):
    total = 0.0
    for bits in itertools.product((0, 1), repeat=tile * pes):
        ones = sum(bits)
        work = max(sum(bits[p * tile : (p + 1) * tile]) for p in range(pes))
        total += density**ones * (1 - density) ** (len(bits) - ones) * max(1, work)
    assert expected_maximum(tile, density, pes) == pytest.approx(total, abs=1e-8)


def test_hypergeometric_maximum_by_enumeration():
    """One tile of 4 from 10 elements of which 5 are non-zero; for one PE the maximum is the tile's own count."""
    expected = sum(max(1, k) * math.comb(5, k) * math.comb(5, 4 - k) / math.comb(10, 4) for k in range(5))
    assert expected_maximum(4, 0.5, 1, 10) == pytest.approx(expected, abs=1e-8)
    assert expected_maximum(10, 0.5, 1, 10) == 5  # the tile is the tensor: no chance is left


@settings(max_examples=60, deadline=None)
@given(
    tile=st.integers(1, 3000),
    pes=st.integers(1, 500),
    densities=st.tuples(st.floats(1e-3, 1.0), st.floats(1e-3, 1.0)),
    factor=st.sampled_from([0, 1, 2, 50]),
)
def test_the_maximum_grows_with_density_and_pes(tile, pes, densities, factor):
    low, high = sorted(densities)
    less, more = (expected_maximum(tile, d, pes, factor * tile) for d in (low, high))
    assert 1 <= less <= more * (1 + 1e-6) <= tile * (1 + 1e-5)
    assert expected_maximum(tile, low, 1, factor * tile) <= less * (1 + 1e-6)
    assert more >= min(tile, high * tile) * (1 - 1e-6)
    assert expected_maximum(tile, 1.0, pes, factor * tile) == tile


LAYER = st.builds(
    lambda k, c, o, f: Layer(name="x", module="x", dims=dict(K=k, C=c, OY=o, OX=o, FY=f, FX=f)),
    st.integers(1, 16), st.integers(1, 16), st.integers(1, 8), st.sampled_from([1, 3]),
)  # fmt: skip
TARGETS = ["eyeriss", "eyeriss_v2", "edge_npu", "nvdla_large", "skipping", "skipping W", "nm"]


def target(name, folder):
    texts = {"skipping": SKIPPING, "skipping W": TINY + "skipping: [W]\ngating: [I]\n", "nm": NM}
    return chip(folder, texts[name]) if name in texts else load_accelerator(name)


@settings(max_examples=40, deadline=None)
@given(
    layer=LAYER,
    name=st.sampled_from(TARGETS),
    w=st.tuples(st.floats(0.02, 1.0), st.floats(0.02, 1.0)),
    i=st.tuples(st.floats(0.02, 1.0), st.floats(0.02, 1.0)),
    optimize=st.sampled_from(["energy", "latency", "edp"]),
    pattern=st.sampled_from(["unstructured", "2:4"]),
)
def test_what_is_optimised_never_rises_when_density_falls(tmp_path_factory, layer, name, w, i, optimize, pattern):
    accelerator = target(name, tmp_path_factory.mktemp("chip"))
    sparse, dense = (Density(w=f(w), i=f(i), pattern=pattern) for f in (min, max))
    less, more, full = (
        evaluate(replace(layer, density=d), accelerator, optimize=optimize)
        for d in (sparse, dense, Density(pattern=pattern))
    )

    def score(cost):
        return {
            "energy": cost.energy_pj,
            "latency": cost.cycles,
            "edp": cost.energy_pj * cost.cycles,
        }[optimize]

    assert score(less) <= score(more) * (1 + 1e-6) <= score(full) * (1 + 2e-6)
    assert all(0 < cost.utilization <= 1 for cost in (less, more, full))
    assert less.weight_bits <= more.weight_bits * (1 + 1e-9) <= full.weight_bits * (1 + 1e-8)
    plain = evaluate(layer, accelerator, optimize=optimize)
    one = evaluate(replace(layer, density=Density(w=1.0, i=1.0)), accelerator, optimize=optimize)
    assert (plain.energy_pj, plain.cycles, plain.weight_bits) == (one.energy_pj, one.cycles, one.weight_bits)
    assert score(full) <= score(plain) * (1 + 1e-9)


def test_two_of_four_halves_the_cycles_and_stores_indices(tmp_path):
    """16 x 16 x 8 x 8 MACs on 2 x 2 PEs; of W, N / M of the values and 2 bits each are stored."""
    accelerator = chip(tmp_path, NM)
    layer = Layer(name="x", module="x", dims=dict(K=16, C=16, OY=8, OX=8))
    dense, sparse = (
        evaluate(Choice(w_bits=8, a_bits=8, density=d, pattern=p).annotate(layer), accelerator, optimize="latency")
        for d, p in ((1.0, "unstructured"), (0.5, "2:4"))
    )
    assert sparse.weight_bits == layer.weights * 0.5 * (8 + 2) == dense.weight_bits * 5 / 8
    assert sparse.layers[0].energy_breakdown["mac", ""] == dense.layers[0].energy_breakdown["mac", ""] / 2
    assert sparse.cycles < dense.cycles
    assert sparse.effectual_macs == dense.macs / 2
    other = evaluate(Choice(w_bits=8, a_bits=8, density=0.25, pattern="1:4").annotate(layer), accelerator)
    assert other.weight_bits == sparse.weight_bits  # two slots, one of them a zero
    assert nm_compression(2, 2, 4) == 1.0  # indices as long as the values: stored dense


def test_skipping_is_slower_than_ideal_and_faster_than_dense():
    layer = Layer(name="x", module="x", dims=dict(K=64, C=64, OY=14, OX=14, FY=3, FX=3))
    accelerator = load_accelerator("eyeriss_v2")
    dense = evaluate(layer, accelerator)
    sparse = evaluate(replace(layer, density=Density(w=0.4, i=0.5)), accelerator)
    assert dense.cycles * 0.4 * 0.5 < sparse.cycles < dense.cycles
    assert sparse.layers[0].energy_breakdown["mac", ""] == pytest.approx(
        dense.layers[0].energy_breakdown["mac", ""] * 0.4 * 0.5
    )


@pytest.mark.parametrize("name", TARGETS)
def test_the_table_equals_evaluate(name, tmp_path):
    accelerator = target(name, tmp_path)
    layers = [Layer(name=n, module=n, dims=dict(K=8, C=8, OY=6, OX=6, FY=f, FX=f)) for n, f in (("a", 3), ("b", 1))]
    graph = LayerGraph("two", layers, []).with_activation_density({"a": 0.7, "b": 0.4})
    choices = [
        Choice(w_bits=w, a_bits=8, density=d, pattern=p)
        for w in (4, 8)
        for d, p in ((1.0, "unstructured"), (0.3, "unstructured"), (0.5, "2:4"), (0.5, "filter"))
    ]
    table = CostTable.build(graph, accelerator, choices)
    for picked in itertools.product(choices, repeat=2):
        assignment = dict(zip(("a", "b"), picked, strict=True))
        totals, cost = table.price(assignment), evaluate(graph, accelerator, assignment)
        assert (totals.energy_pj, totals.cycles, totals.weight_bits) == (
            cost.energy_pj,
            cost.cycles,
            cost.weight_bits,
        )


def test_formats_are_those_of_the_memory():
    """100 values of 16 bit at density 0.25: 25 pairs and few fillers, three pairs of 21 bit in a 64-bit word."""
    size, name = stored_bits(100, 16, 0.25, ("packed_run_length",))
    fillers = 0.75**32 / (1 - 0.75**32)
    assert (size, name) == (pytest.approx(25 * (1 + fillers) * 64 / 3), "packed_run_length")
    assert stored_bits(100, 16, 0.95, ("packed_run_length",)) == (1600.0, "dense")
    assert stored_bits(100, 8, 0.25, ("csc",))[0] == pytest.approx(25 * 12 * (1 + 0.75**16 / (1 - 0.75**16)))


def test_bad_sparsity_keys_are_refused(tmp_path):
    with pytest.raises(AcceleratorError, match=r"must be a pattern N:M in quotes"):
        chip(tmp_path, TINY + "nm: [filter]\n")
    with pytest.raises(AcceleratorError, match="write W, I or both"):
        chip(tmp_path, TINY + "skipping: [O]\n")
