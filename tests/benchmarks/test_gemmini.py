"""Gemmini's rows: how they become layers and mappings, and how close their cycles are."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from benchmarks.fidelity import replay_file
from benchmarks.gemmini import FITTED, counts_of
from benchmarks.replays.figures import figures, figures_path
from benchmarks.replays.gemmini import cycles_of, layer_of, mapping_of, sized
from hwmodel import load_accelerator
from hwmodel.mapper.commands.tilings import candidates
from hwmodel.nest.rules import check_mapping
from hwmodel.nest.task import Task

FILE = "gemmini_rtl_cycles.json"
GEMMINI = load_accelerator("gemmini")
SHAPE = {"N": 1, "C": 64, "K": 36, "P": 28, "Q": 14, "R": 3, "S": 3, "Wstride": 1, "Hstride": 2}


def row(mapping: str, **shape: int) -> dict:
    return {
        "name": "x",
        "accumulator_words_per_column": 4096,
        "scratchpad_bytes": 2**20,
        "layer": SHAPE | shape,
        "mapping": mapping,
    }


def test_a_convolution_as_it_was_run():
    """P columns, Q rows; zeros around it; strides of either side; 3 x 12 filters."""
    own = row("L3[WIO] Q2 C2 - L2[WI] N1 K12X - L1[O] K3 S3 R3 C2 Q7 C16X - L0[W] P28")
    layer = layer_of(own)
    assert dict(layer.dims) == {"B": 1, "G": 1, "K": 36, "C": 64, "OY": 14, "OX": 28, "FY": 3, "FX": 3}
    assert (layer.stride, layer.padding) == ((2, 1), ((1, 0), (1, 1)))  # 28 rows: 13 * 2 + 3 = 29 with one of zeros
    mapping = mapping_of(own, layer)
    check_mapping(Task.of(layer, sized(GEMMINI, own)), mapping)
    assert [(loop.dim, loop.bound) for loop in mapping.levels[-1].temporal] == [("OY", 2), ("C", 2)]
    inside = mapping.bounds(1)
    assert {dim: inside[dim] for dim in ("K", "C", "OY", "OX", "FY", "FX")} == {
        "K": 36, "C": 32, "OY": 7, "OX": 28, "FY": 3, "FX": 3,
    }  # fmt: skip


def test_an_even_window_makes_one_row_and_column_more():
    own = row("L3[WIO] Q2 - L2[WI] N1 K12X - L1[O] K3 S2 R2 C4 Q7 C16X - L0[W] P28", R=2, S=2, Hstride=1)
    layer = layer_of(own)
    assert (layer.dims.OY, layer.dims.OX) == (15, 29)
    outer = {loop.dim: loop.bound for loop in mapping_of(own, layer).levels[-1].temporal}
    assert outer == {"OX": 2, "OY": 3}  # of 28 columns and 7 rows


def test_one_row_of_pixels_without_a_window_is_a_product():
    own = row("L3[WIO] K3 - L2[WI] N1 K12X - L1[O] C4 P14 C16X - L0[W] P2", Q=1, R=1, S=1)
    layer = layer_of(own)
    assert (layer.dims.OY, layer.dims.OX) == (28, 1)
    check_mapping(Task.of(layer, sized(GEMMINI, own)), mapping_of(own, layer))


@pytest.mark.parametrize(
    "mapping",
    ["L3[WIO] Q2", "L3[WIO] Q2 - L2[WI] N1 - L1[O] Z3 - L0[W] N1", "L3 Q2 - L2[WI] N1 - L1[O] N1 - L0[W] N1"],
)
def test_other_words_are_refused(mapping):
    with pytest.raises(ValueError, match=r"gemmini: a (level of a )?mapping must"):
        mapping_of(row(mapping), layer_of(row(mapping)))


def test_cycles_are_close_to_the_rtls():
    """The goal that the preset was made for: a mean error of a tenth, and the order of the layers."""
    cases = replay_file("gemmini", figures_path(FILE))
    assert statistics.fmean(abs(case.error) for case in cases) <= 0.10
    ranks = [
        np.argsort(np.argsort([getattr(case, side) for case in cases])) for side in ("reference", "prediction")
    ]
    assert np.corrcoef(*ranks)[0, 1] >= 0.99


def test_the_fastest_tiling_beats_what_the_library_took():
    """By our cycles, where the RTL shows that a tiling can: where the given mapping does."""
    rows = figures("gemmini_rtl_cycles.json")["cases"]
    beaten = [own for own in rows if own["rtl_cycles"] < own["rtl_cycles_default_tiling"]][:8]
    for own in beaten:
        best = candidates(Task.of(layer_of(own), GEMMINI)).cycles[0]
        assert best < own["rtl_cycles_default_tiling"], own["name"]


def test_counts_and_the_presets_cycles_are_the_replays():
    """What the fit works on is linear in its cycles; at the preset's, a layer takes its price."""
    own = GEMMINI.timing
    near, far = own.caches
    request, word = own.stores.cycles, own.stores.same_word
    loads = (own.loads.latency, near.load_cycles, far.load_cycles)
    costs = np.array([*loads, request, near.store_cycles, far.store_cycles, word])
    assert len(costs) == len(FITTED)
    for case in figures("gemmini_rtl_cycles.json")["cases"][::9]:
        assert counts_of(case, GEMMINI).cycles(costs) == pytest.approx(cycles_of(case, GEMMINI), abs=1.5)
