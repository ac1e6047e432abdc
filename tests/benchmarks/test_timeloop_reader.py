"""Widths of an architecture in Timeloop's words: what a word holds, fits and costs."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from benchmarks.replays import timeloop_best, timeloop_counts
from benchmarks.replays.figures import figures
from benchmarks.replays.timeloop import accelerator_of, case_of, widths_of
from hwmodel import Bits, count_accesses
from hwmodel.errors import AcceleratorError, MappingError
from hwmodel.nest.task import Task
from hwmodel.price.spatial import price

CASES = figures("timeloop_counts.json")
BEST = figures("timeloop_mapper_best.json")


def with_words(case: dict[str, Any], bits: int) -> dict[str, Any]:
    """The case with as many words of another width everywhere."""
    case = copy.deepcopy(case)
    spec = case["arch_spec"]
    for storage in spec["storage"]:
        if "sizeKB" in storage:  # words stay, so KiB change
            storage["sizeKB"] = storage["sizeKB"] * bits / storage["word-bits"]
        storage["word-bits"] = bits
    spec["arithmetic"]["word-bits"] = bits
    return case


#: 4-bit weights, 8-bit inputs and outputs, 20-bit sums, one register file for each: 32 products of 2 channels' 4x4.
MIXED: dict[str, Any] = {
    "arch_spec": {
        "arithmetic": {"name": "MACs", "instances": 1, "meshX": 1, "word-bits": 8, "energy": 0.5},
        "storage": [
            {"name": "Sums", "instances": 1, "entries": 16, "word-bits": 20, "vector-access-energy": 2.0},
            {"name": "Filters", "instances": 1, "entries": 2, "word-bits": 4, "vector-access-energy": 3.0},
            {"name": "Images", "instances": 1, "sizeKB": 0.03125, "word-bits": 8, "vector-access-energy": 5.0},
            {"name": "DRAM", "instances": 1, "technology": "DRAM", "word-bits": 8, "vector-access-energy": 100.0},
        ],
    },
    "problem": {"R": 1, "S": 1, "P": 4, "Q": 4, "C": 2, "K": 3, "N": 1},
    "mapping": {
        "mapping": [
            {"target": "Sums", "type": "datatype", "keep": ["Outputs"]},
            {"target": "Filters", "type": "datatype", "keep": ["Weights"]},
            {"target": "Images", "type": "datatype", "keep": ["Inputs"]},
            {"target": "DRAM", "type": "datatype", "keep": ["Weights", "Inputs", "Outputs"]},
            {"target": "Sums", "type": "temporal", "factors": "P4 Q4", "permutation": "QP"},
            {"target": "Filters", "type": "temporal", "factors": "C2", "permutation": "C"},
            {"target": "Images", "type": "temporal", "factors": "", "permutation": ""},
            {"target": "DRAM", "type": "temporal", "factors": "K3", "permutation": "K"},
        ]
    },
}


@pytest.mark.parametrize("bits", [1, 8, 12, 32])
@pytest.mark.parametrize("case", CASES, ids=[case["layer"] for case in CASES])
def test_words_of_any_width_are_counted_alike(case, bits):
    """As many words as in the file: what fits and what moves is the same in words, so b / 16 of it in bits."""
    other = with_words(case, bits)
    layer, accelerator, mapping = case_of(other)
    assert layer.bits == Bits(w=bits, i=bits, o=bits, acc=bits)
    assert accelerator.resolve_bits(layer.bits, layer.reduction) == (bits,) * 4
    assert [c.error for c in timeloop_counts.replay([other]) if c.error] == []
    sixteen_layer, sixteen, _ = case_of(case)
    for ours, theirs in zip(accelerator.memories().values(), sixteen.memories().values(), strict=True):
        assert (ours.size_bits or 0) * 16 == (theirs.size_bits or 0) * bits
        assert ours.read_pj_per_bit * bits == pytest.approx(theirs.read_pj_per_bit * 16)
    narrow, wide = price(Task.of(layer, accelerator), mapping), price(Task.of(sixteen_layer, sixteen), mapping)
    assert narrow.energy_pj == pytest.approx(wide.energy_pj)
    for key, moved in wide.traffic.items():
        assert narrow.traffic[key].bits * 16 == pytest.approx(moved.bits * bits)
        assert narrow.tile_bits[key] * 16 == wide.tile_bits[key] * bits


def test_a_register_file_holds_as_many_words_as_it_has_entries():
    """64 entries are full with 64 inputs of 8 bit, and one entry less is too few."""
    case = with_words(CASES[0], 8)
    layer, accelerator, mapping = case_of(case)
    assert accelerator.memories()["RegFile"].size_bits == 64 * 8
    assert count_accesses(layer, accelerator, mapping)["RegFile", "I"].tile == 64
    case["arch_spec"]["storage"][0]["entries"] = 63
    with pytest.raises(MappingError, match="RegFile"):
        count_accesses(*case_of(case))


def test_kibibytes_hold_twice_as_many_words_of_half_the_width():
    spec = copy.deepcopy(CASES[0]["arch_spec"])
    for part in (spec["arithmetic"], *spec["storage"]):
        part["word-bits"] = 8
    assert accelerator_of(spec, widths_of(spec)).memories()["GlobalBuffer"].size_bits == 108 * 1024 * 8


def test_every_operand_has_its_own_width():
    """W 6 words, I 32, O 48 from and to DRAM, and inputs once for each of the three filters."""
    layer, accelerator, mapping = case_of(MIXED)
    assert layer.bits == Bits(w=4, i=8, o=8, acc=20)
    assert accelerator.resolve_bits(None, layer.reduction) == (4, 8, 8, 20)  # of a layer without widths
    assert accelerator.resolve_bits(Bits(w=4, i=4), layer.reduction).acc == 20
    memories = accelerator.memories()
    assert [memories[name].size_bits for name in ("Sums", "Filters", "Images")] == [16 * 20, 2 * 4, 32 * 8]
    cost = price(Task.of(layer, accelerator), mapping)
    counts = count_accesses(layer, accelerator, mapping)
    assert counts["DRAM", "W"].reads == 3 * 2
    assert counts["DRAM", "I"].reads == 2 * 16
    assert counts["DRAM", "O"].updates == 3 * 16
    for operand, words, width in (("W", 3 * 2, 4), ("I", 2 * 16, 8), ("O", 3 * 16, 8)):
        assert cost.traffic[f"DRAM_{operand}", operand].bits == words * width
        assert cost.energy_pj[f"DRAM_{operand}", operand] == pytest.approx(words * 100.0)
    tiles = {"Sums": ("O", 16 * 20), "Filters": ("W", 2 * 4), "Images": ("I", 2 * 16 * 8)}
    for name, (operand, held) in tiles.items():
        assert cost.tile_bits[name, operand] == held
    assert cost.energy_pj["mac", ""] == pytest.approx(3 * 2 * 16 * 0.5)


def test_sums_that_do_not_fit_their_words_are_refused():
    """16 sums of 20 bit fill 16 entries; one entry less does not hold them."""
    case = copy.deepcopy(MIXED)
    count_accesses(*case_of(case))
    case["arch_spec"]["storage"][0]["entries"] = 15
    with pytest.raises(MappingError, match="Sums"):
        count_accesses(*case_of(case))


@pytest.mark.parametrize("part", ["MACs", "RegFile", "GlobalBuffer", "DRAM"])
def test_words_without_a_width_are_an_error(part):
    case = copy.deepcopy(CASES[0])
    spec = case["arch_spec"]
    (found,) = (p for p in (spec["arithmetic"], *spec["storage"]) if p["name"] == part)
    del found["word-bits"]
    with pytest.raises(AcceleratorError, match=f"{part!r} must state its `word-bits`"):
        timeloop_counts.replay([case])
    with pytest.raises(AcceleratorError, match=f"{part!r} must state its `word-bits`"):
        timeloop_best.replay({"arch_specs": {"a": spec}, "rows": [{**BEST["rows"][0], "arch": "a"}]})


def test_an_operand_of_two_widths_is_an_error():
    case = copy.deepcopy(CASES[0])
    case["arch_spec"]["storage"][0]["word-bits"] = 32  # holds inputs alone, which then have 16 bit outside
    case["arch_spec"]["arithmetic"]["word-bits"] = 32
    with pytest.raises(
        AcceleratorError, match=r"Inputs must have words of one width .* RegFile 32 bit, GlobalBuffer 16"
    ):
        case_of(case)
    spec = copy.deepcopy(CASES[0]["arch_spec"])
    spec["storage"][1]["word-bits"] = 8
    with pytest.raises(AcceleratorError, match="Weights must have words of one width"):
        widths_of(spec)  # without a mapping any level may keep any operand


def test_operands_wider_than_the_mac_are_an_error():
    case = with_words(CASES[0], 16)
    case["arch_spec"]["arithmetic"]["word-bits"] = 8
    with pytest.raises(AcceleratorError, match="8 < 16"):
        case_of(case)


def test_a_bounded_outermost_level_holds_words_of_one_width():
    case = copy.deepcopy(MIXED)
    case["arch_spec"]["storage"][-1]["entries"] = 4096
    with pytest.raises(AcceleratorError, match="'DRAM' must be unbounded"):
        case_of(case)


def test_the_best_mapping_does_not_depend_on_the_width_of_a_word():
    """Capacities and energies are per word, so the best energy is the same at 8 bit."""
    row = BEST["rows"][0]
    spec = with_words({"arch_spec": BEST["arch_specs"][row["arch"]]}, 8)["arch_spec"]
    (case,) = timeloop_best.replay({"arch_specs": {row["arch"]: spec}, "rows": [row]})
    assert case.prediction == pytest.approx(row["best_pj_per_mac"], rel=1e-5)
    assert widths_of(spec) == Bits(w=8, i=8, o=8, acc=8)
