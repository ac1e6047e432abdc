"""Timeloop's words for our types: problems, architectures and mappings as its configuration files state them.

Source: Timeloop v3, https://timeloop.csail.mit.edu; problems in R S P Q C K N, storage innermost first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Mapping_
from collections.abc import Sequence
from typing import Any

from hwmodel.chip.accelerator import Accelerator, Axis, Level, Memory
from hwmodel.chip.precision import Precision
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.network.layer import DIM_NAMES, OPERANDS, Bits, DimName, Dims, Layer, Operand

#: Timeloop calls the first filter and output axis R and P; they pair as FY, OY here.
DIM: dict[str, DimName] = {"R": "FY", "S": "FX", "P": "OY", "Q": "OX", "C": "C", "K": "K", "N": "B", "G": "G"}
OPERAND: dict[str, Operand] = {"Weights": "W", "Inputs": "I", "Outputs": "O"}


def layer_of(problem: Mapping_[str, Any], name: str = "case", word_bits: int = 16) -> Layer:
    """A layer from a Timeloop problem: bounds R S P Q C K N, `Wstride` along P, `Hstride` along Q."""
    stride = problem.get("stride", 1)
    return Layer(
        name=name,
        dims=Dims.of({DIM[k]: v for k, v in problem.items() if k in DIM}),
        stride=(problem.get("Wstride", stride), problem.get("Hstride", stride)),
        dilation=(problem.get("Wdilation", 1), problem.get("Hdilation", 1)),
        bits=Bits(w=word_bits, i=word_bits, o=word_bits, acc=word_bits),
    )


def accelerator_of(spec: Mapping_[str, Any]) -> Accelerator:
    """An accelerator from `arithmetic` and `storage` (innermost first).

    Every level keeps any operand, every level but the last may be bypassed by any, and any dim may be unrolled
    along either side of the mesh. Energies are per word of `word-bits`; a MAC without one costs 1 pJ.
    """
    arithmetic = spec["arithmetic"]
    num_macs, columns, word = arithmetic["instances"], arithmetic["meshX"], arithmetic.get("word-bits", 16)
    storages = spec["storage"]
    levels = tuple(
        Level(
            name=storage["name"],
            memories=(_memory(storage, word, bypassable=storage is not storages[-1]),),
            per_pe=storage["instances"] > 1,
            temporal_dims=DIM_NAMES,
        )
        for storage in storages
    )
    dims = tuple(DIM.values())
    return Accelerator(
        name="timeloop",
        kind="spatial",
        description="an architecture in Timeloop's words",
        source="the file it was read from",
        clock_hz=1e9,
        precision=Precision(
            mode="fixed", w_bits=word, i_bits=word, acc_bits=word, mac_pj=arithmetic.get("energy-per-op", 1.0)
        ),
        native_bits=Bits(w=word, i=word),
        axes=(Axis(name="X", size=columns, dims=dims), Axis(name="Y", size=num_macs // columns, dims=dims)),
        levels=levels,
    )


def _memory(storage: Mapping_[str, Any], word: int, *, bypassable: bool) -> Memory:
    width = storage.get("word-bits", word)
    words = storage.get("entries")
    if words is None and "sizeKB" in storage:
        words = storage["sizeKB"] * 1024 * 8 // width
    energy = storage["vector-access-energy"] / (
        width * storage.get("cluster-size", 1) * storage.get("block-size", 1)
    )
    return Memory(
        name=storage["name"],
        holds=OPERANDS,
        size_bits=None if words is None else words * width,
        read_pj_per_bit=energy,
        write_pj_per_bit=energy,
        bypass=OPERANDS if bypassable else (),
    )


def mapping_of(spec: Mapping_[str, Any], items: Sequence[Mapping_[str, Any]]) -> Mapping:
    """A mapping from the list of its parts, for an architecture; Timeloop lists permutations innermost first."""
    names = [storage["name"] for storage in spec["storage"]]
    temporal: dict[str, tuple[Loop, ...]] = {}
    spatial: dict[str, tuple[Loop, ...]] = {}
    keeps: dict[str, tuple[Operand, ...]] = {}
    for item in items:
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
                name=name,
                temporal=temporal.get(name, ()),
                spatial=spatial.get(name, ()),
                keeps=keeps.get(name, OPERANDS),
            )
            for name in names
        )
    )
