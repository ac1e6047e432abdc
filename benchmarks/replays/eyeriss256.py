"""Timeloop's `eyeriss-256` problem: an architecture, a constrained map space and its optimum.

The three register files hold one operand each and loop over disjoint dims, so they are one level; a level of zero
words between array and buffer splits X from Y, so that diagonals are not shared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.replays.timeloop import layer_of
from hwmodel import Accelerator, Bits, Layer, LayerCost, load_accelerator


def problem_of(data: Mapping[str, Any]) -> Layer:
    """The layer of `timeloop_eyeriss256.json`, in the words of its architecture."""
    word = data["arch"]["word_bits"]
    return layer_of(data["problem"], Bits(w=word, i=word, o=word, acc=word))


def energy_by_level(layer: Layer, cost: LayerCost) -> dict[str, float]:
    """Energy per MAC in each memory and in the MACs, by the names of `best_fj_per_mac` [fJ]."""
    split: dict[str, float] = {}
    for (place, _), energy in cost.energy_breakdown.items():
        name = "MACs" if place == "mac" else place
        split[name] = split.get(name, 0.0) + 1e3 * energy / layer.macs
    return split


def chip_of(data: Mapping[str, Any]) -> Accelerator:
    """The architecture of `timeloop_eyeriss256.json` with its constraints."""
    mac, word = data["arch"]["mac"], data["arch"]["word_bits"]
    mesh = mac["mesh"]
    lines = []
    for level in data["arch"]["levels_inner_to_outer"]:
        if level["holds"]:
            spad = ", level: spads, per: pe" if level["instances"] > 1 else ""
            size = f"{level['words'] * word} bit" if "words" in level else "unbounded"
            lines.append(
                f"  - {{name: {level['name']}{spad}, holds: [{', '.join(level['holds'])}], size: {size}, "
                f"read_energy: {level['energy_pj_per_word']} pJ/({word} bit), source: the reference file}}"
            )
    text = f"""\
name: eyeriss_256
description: row stationary
source: Timeloop v3.0.3, configs/mapper/eyeriss-256
clock: 1 GHz
mac: {{w: {word} bit, i: {word} bit, accumulator: {word} bit, energy: {mac["energy_pj"]} pJ, source: as above}}
array:
  - {{axis: X, size: {mesh[0]}, dims: [OX, K]}}
  - {{axis: Y, size: {mesh[1]}, dims: [FX, C, K], full: [FX]}}
diagonal: false
temporal: {{spads: [K, C, FY], GlobalBuffer: [OY, K, B], DRAM: [C, K, B, OX]}}
order: {{spads: [FY, C, K], GlobalBuffer: [K, B, OY], DRAM: [OX, B, K, C]}}
memories:
""" + "\n".join(lines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "eyeriss_256.yaml"
        path.write_text(text)
        return load_accelerator(path)
