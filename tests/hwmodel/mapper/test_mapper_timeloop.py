"""The mapper against Timeloop's: its best mappings, and the optimum of its constrained search space."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hwmodel import find_mapping
from hwmodel.interop.timeloop import accelerator_of, layer_of
from hwmodel.network.layer import Layer
from tests.hwmodel.chips import chip

FOLDER = os.environ.get("HWMODEL_REFERENCE")


def reference(name):
    return json.loads((Path(FOLDER) / name).read_text()) if FOLDER else {"rows": [], "arch_specs": {}}


BEST = reference("timeloop_mapper_best.json")


@pytest.mark.parametrize("row", BEST["rows"], ids=[row["layer"] for row in BEST["rows"]])
def test_never_worse_than_the_best_known(row):
    layer = layer_of(row["problem"])
    _, cost = find_mapping(layer, accelerator_of(BEST["arch_specs"][row["arch"]]))
    digits = len(str(row["best_pj_per_mac"]).partition(".")[2])  # as many as the file states
    assert round(cost.energy_pj / layer.macs, digits) <= row["best_pj_per_mac"]


#: Timeloop's `eyeriss-256`: the three register files hold one operand each and loop over disjoint dims, so they
#: are one level; a level of zero words between array and buffer splits X from Y, so diagonals are not shared.
EYERISS_256 = """\
name: eyeriss_256
description: row stationary, 16x16 PEs
source: Timeloop v3.0.3, configs/mapper/eyeriss-256
clock: 1 GHz
mac: {w: 16 bit, i: 16 bit, accumulator: 16 bit, energy: 1 pJ, source: as above}
array:
  - {axis: X, size: 16, dims: [OX, K]}
  - {axis: Y, size: 16, dims: [FX, C, K], full: [FX]}
diagonal: false
temporal: {spads: [K, C, FY], glb: [OY, K, B], dram: [C, K, B, OX]}
order: {spads: [FY, C, K], glb: [K, B, OY], dram: [OX, B, K, C]}
memories:
  - {name: psum, level: spads, per: pe, holds: [O], size: 32 B,
     read_energy: 0.976444723618914 pJ/(16 bit), source: as above}
  - {name: weight, level: spads, per: pe, holds: [W], size: 384 B,
     read_energy: 0.9937185929632226 pJ/(16 bit), source: as above}
  - {name: input, level: spads, per: pe, holds: [I], size: 24 B,
     read_energy: 0.9760521356788174 pJ/(16 bit), source: as above}
  - {name: glb, holds: [I, O], size: 128 KiB, read_energy: 7.407035175658495 pJ/(16 bit), source: as above}
  - {name: dram, holds: [W, I, O], size: unbounded, read_energy: 200 pJ/(16 bit), source: as above}
"""


def test_optimum_of_the_row_stationary_space(tmp_path):
    layer = Layer(name="vgg", dims={"K": 256, "C": 256, "OY": 56, "OX": 56, "FY": 3, "FX": 3})
    mapping, cost = find_mapping(layer, chip(tmp_path, EYERISS_256))
    split: dict[str, float] = {}
    for (place, _), energy in cost.energy_breakdown.items():
        split[place] = split.get(place, 0.0) + 1e3 * energy / layer.macs  # [fJ/MAC]
    # Timeloop v3.0.3 over all 178,200 mappings of this space
    expected = {
        "mac": 1000.0, "psum": 2029.17, "weight": 1011.46, "input": 997.11, "glb": 250.82, "dram": 758.0,
    }  # fmt: skip
    assert split == pytest.approx(expected, abs=0.005)
    assert mapping.iterations == 9633792
