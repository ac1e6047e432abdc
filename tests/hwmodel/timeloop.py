"""Timeloop's words for our types: reads the cases of `timeloop_counts.json` and `timeloop_mapper_best.json`."""

from __future__ import annotations

import re
from typing import Any

from hwmodel.accelerator import Accelerator, Axis, Level, Memory
from hwmodel.layer import DIM_NAMES, Bits, DimName, Dims, Layer, Operand
from hwmodel.mapping import LevelMapping, Loop, Mapping
from hwmodel.precision import Precision

#: Timeloop calls the first filter and output axis R and P; they pair as FY, OY here.
DIM: dict[str, DimName] = {"R": "FY", "S": "FX", "P": "OY", "Q": "OX", "C": "C", "K": "K", "N": "B", "G": "G"}
OPERAND: dict[str, Operand] = {"Weights": "W", "Inputs": "I", "Outputs": "O"}


def layer_of(problem: dict[str, int]) -> Layer:
    return Layer(
        name="case",
        dims=Dims.of({DIM[k]: v for k, v in problem.items() if k in DIM}),
        stride=(problem["Wstride"], problem["Hstride"]),
        dilation=(problem["Wdilation"], problem["Hdilation"]),
        bits=Bits(w=16, i=16, o=16, acc=16),
    )


def accelerator_of(spec: dict[str, Any]) -> Accelerator:
    """Levels keep any operand; energies are per word, written per bit of a 16-bit word."""
    num_macs, columns = spec["arithmetic"]["instances"], spec["arithmetic"]["meshX"]
    levels = []
    for storage in spec["storage"]:
        words = storage.get("entries") or (storage["sizeKB"] * 1024 // 2 if "sizeKB" in storage else None)
        memory = Memory(
            name=storage["name"],
            holds=("W", "I", "O"),
            size_bits=None if words is None else words * 16,
            read_pj_per_bit=storage["vector-access-energy"] / 16,
            write_pj_per_bit=storage["vector-access-energy"] / 16,
        )
        levels.append(
            Level(name=memory.name, memories=(memory,), per_pe=storage["instances"] > 1, temporal_dims=DIM_NAMES)
        )
    dims = tuple(DIM.values())
    return Accelerator(
        name="timeloop",
        kind="spatial",
        description="",
        source="",
        clock_hz=1e9,
        precision=Precision(mode="fixed", w_bits=16, i_bits=16, acc_bits=16, mac_pj=1.0),
        native_bits=Bits(w=16, i=16),
        axes=(Axis(name="X", size=columns, dims=dims), Axis(name="Y", size=num_macs // columns, dims=dims)),
        levels=tuple(levels),
    )


def mapping_of(case: dict[str, Any]) -> Mapping:
    """The case's mapping; Timeloop lists permutations innermost first."""
    names = [storage["name"] for storage in case["arch_spec"]["storage"]]
    temporal: dict[str, tuple[Loop, ...]] = {}
    spatial: dict[str, tuple[Loop, ...]] = {}
    keeps: dict[str, tuple[Operand, ...]] = {}
    for item in case["mapping"]["mapping"]:
        if item["type"] == "datatype":
            keeps[item["target"]] = tuple(OPERAND[name] for name in item["keep"])
            continue
        bounds = {name: int(bound) for name, bound in re.findall(r"([A-Z])(\d+)", item["factors"])}
        split = item.get("split", 0)
        loops = [
            Loop(DIM[name], bounds[name], ("X" if index < split else "Y") if item["type"] == "spatial" else "")
            for index, name in enumerate(item["permutation"])
        ]
        target = spatial if item["type"] == "spatial" else temporal
        target[item["target"]] = tuple(reversed(loops))
    return Mapping(
        levels=tuple(
            LevelMapping(
                name=name, temporal=temporal.get(name, ()), spatial=spatial.get(name, ()), keeps=keeps[name]
            )
            for name in names
        )
    )
