"""Arm's Ethos-U NPUs, held against Arm's own estimator, layer by layer and network by network.

Every row is a layer on an NPU: its shape, the block that Arm's compiler took, and the cycles that it charges. The
presets `ethos_u55_32` to `ethos_u65_256` price the same layers. Cases of a run, `NETWORK on NPU: ...`:

- `compute N OP`: the array and its output stage, and the wait for weights, under the row's block, where a layer has
  MACs. Reference: `npu_cycles`.
- `block N OP`: the same under our own block.
- `total`: all operators of the run, our own blocks, weights as large as Arm's encoder made them.
- `total, dense weights`: the same with weights of 8 bit each, as of a network whose weights nobody has seen.

Operators without MACs are vector operations here, priced in the totals (softmax, which rows leave out, is not).
NPUs that no preset describes are left out, with a warning.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from benchmarks.replays.case import Case
from hwmodel import Accelerator, Bits, Layer, load_accelerator
from hwmodel.mapper.blocks import chosen_block
from hwmodel.nest.blocks import block_mapping, blocks_of
from hwmodel.nest.task import Stay, Task
from hwmodel.network.layer import Dims
from hwmodel.network.nodes import VectorOp
from hwmodel.price.blocks import price_blocks
from hwmodel.price.vector import UNKNOWN, VectorWork, unit_cycles, vector_cost

PRESETS = ("ethos_u55_32", "ethos_u55_64", "ethos_u55_128", "ethos_u55_256", "ethos_u65_256")
#: B/cycle of the SRAM and of the memory of the weights, and its latency [cycles]: config_files/Arm/vela.ini.
SYSTEMS = {
    "Ethos_U55_High_End_Embedded": (8, 1.0, 64),
    "Ethos_U55_Deep_Embedded": (8, 0.5, 64),
    "Ethos_U65_Embedded": (16, 1.0, 64),
    "Ethos_U65_Mid_End": (16, 7.5, 500),
    "Ethos_U65_High_End": (16, 3.75, 500),
    "Ethos_U65_Client_Server": (16, 12.0, 500),
}
#: Operators with weights.
MACS = ("Conv2D", "DepthwiseConv2D", "FullyConnected")
#: The kind of vector operations that the presets name no cycles of.
OTHER = "other"
#: Operators without MACs of ours -> the kind of vector operation.
KINDS = {"Add": "add", "Sub": "add", "Mul": "mul", "AvgPool": "pool", "MaxPool": "pool"}


@dataclass(frozen=True)
class Row:
    """One operator of a run: what it is, and what the estimator says of it."""

    shape: Mapping[str, Any]
    figures: Mapping[str, Any]

    @property
    def has_macs(self) -> bool:
        return self.shape["op"] in MACS


def replay(data: object) -> list[Case]:
    """Cases of a file in the format of `ethos_u_vela.json`.

    Args:
        data: `columns` of the rows, and per network its `layers` (op, ifm, ofm, k, s, pad, dil), `i_bits` where
            activations have 16, and `runs`: acc (the NPU), system, memory, `totals` and `rows`.

    Raises:
        ValueError: a run on a system, or in a memory mode, that there is no model of.
    """
    table = cast(Mapping[str, Any], data)
    cases: list[Case] = []
    for name, network in table["networks"].items():
        for run in network["runs"]:
            chip = chip_of(run)
            if chip is None:
                continue
            rows = [Row(network["layers"][figures["layer"]], figures) for figures in _rows(table["columns"], run)]
            cases += _cases(f"{name} on {run['acc']}", run, chip, rows, network.get("i_bits", 8))
    return cases


def _rows(columns: list[str], run: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for values in run["rows"]:
        yield dict(zip(columns, values, strict=True))


def _cases(run_name: str, run: Mapping[str, Any], chip: Accelerator, rows: list[Row], i_bits: int) -> list[Case]:
    cases: list[Case] = []
    total = dense = ahead = 0
    for row in rows:
        if not row.has_macs:
            ahead = vector_cycles(row, chip)
            total, dense = total + ahead, dense + ahead
            continue
        task = Task.of(layer_of(row).with_bits(Bits(w=8, i=i_bits)), chip, Stay(ahead_cycles=ahead))
        blocks = {"compute": tuple(row.figures["ofm_block_hwc"]), "block": chosen_block(task)}
        what = f"{row.figures['layer']} {row.shape['op']}"
        for name, block in blocks.items():
            priced = price_blocks(task, block_mapping(task, block), encoded_bits(row))
            inside = priced.cycles if priced.bound == "compute" else priced.compute_cycles
            cases.append(
                Case(name=f"{run_name}: {name} {what}", reference=row.figures["npu_cycles"], prediction=inside)
            )
        total, ahead = total + priced.cycles, priced.compute_cycles
        dense += price_blocks(task, block_mapping(task, blocks["block"])).cycles
    reference = run["totals"]["cycles_total"]
    return [
        *cases,
        Case(name=f"{run_name}: total", reference=reference, prediction=total),
        Case(name=f"{run_name}: total, dense weights", reference=reference, prediction=dense),
    ]


def layer_of(row: Row) -> Layer:
    """The layer of an operator with weights; a fully connected one has its pixels as a batch."""
    shape = row.shape
    (height, width, filters), channels = shape["ofm"][:3], shape["ifm"][2]
    if shape["op"] == "FullyConnected":
        return Layer(name=shape["op"], kind="linear", dims=Dims(B=height * width, K=filters, C=channels))
    own = {"G": filters} if shape["op"] == "DepthwiseConv2D" else {"K": filters, "C": channels}
    top, left, bottom, right = shape["pad"]
    return Layer(
        name=shape["op"],
        dims=Dims(OY=height, OX=width, FY=shape["k"][0], FX=shape["k"][1], **own),
        stride=tuple(shape["s"]),
        dilation=tuple(shape.get("dil", (1, 1))),
        padding=((top, bottom), (left, right)),
    )


def encoded_bits(row: Row) -> float:
    """The weights as Arm's encoder stores them, without the 10 B of every filter in words of 16 B [bit]."""
    parameters = math.ceil(10 * row.shape["ofm"][2] / 16) * 16
    weights: float = 8.0 * (row.figures["weights_encoded_B"] - parameters)
    return max(0.0, weights)


def vector_cycles(row: Row, chip: Accelerator) -> int:
    """Cycles of an operator without MACs, as a pass of its own; others than `KINDS` at the pace of the output
    stage, with a warning.
    """
    shape, kind = row.shape, KINDS.get(row.shape["op"], OTHER)
    if kind == OTHER:
        warnings.warn(f"vela: {shape['op']} is priced as outputs of the output stage alone", stacklevel=2)
    made = math.prod(shape["ofm"][:3])
    read = math.prod(shape["ifm"][:3]) + math.prod(shape.get("ifm2", (0,))[:3])
    taps = math.prod(shape["k"]) if kind == "pool" else 1
    op = VectorOp(name=shape["op"], kind=kind, elements_in=read, elements_out=made, ops_per_element=taps)
    height, width, channels = shape["ofm"][:3]
    work = VectorWork(
        owner=0, step=0, reads=((UNKNOWN, read),), writes=((UNKNOWN, made),), operations=made * taps,
        cycles=unit_cycles(op, (1, channels, height, width), chip), waits=True,
    )  # fmt: skip
    return vector_cost(work, (), (), chip.native_bits.i, chip).cycles


def chip_of(run: Mapping[str, Any]) -> Accelerator | None:
    """The preset of a run, with the memories of its system; None, with a warning, of an NPU that none describes.

    Raises:
        ValueError: an unknown system, or weights in none of its memories.
    """
    name, system = run["acc"].replace("-", "_"), run["system"]
    if name not in PRESETS:
        warnings.warn(f"vela: {run['acc']} is left out: no preset describes it", stacklevel=2)
        return None
    if system not in SYSTEMS:
        raise ValueError(f"vela: system {system!r} must be one of {', '.join(SYSTEMS)}")
    if run["memory"] not in ("Shared_Sram", "Sram_Only"):
        raise ValueError(f"vela: memory must be Shared_Sram or Sram_Only, but is {run['memory']!r}")
    chip, (sram, weights, latency) = load_accelerator(name), SYSTEMS[system]
    other = (OTHER, blocks_of(chip).output)
    if run["memory"] == "Sram_Only":
        weights, latency = sram, 32
    outer, vector = chip.levels[-1], replace(chip.vector, cycles=(*chip.vector.cycles, other))
    ports = {"I": (8.0 * sram, 32), "W": (8.0 * weights, latency)}
    memories = []
    for memory in outer.memories:
        rate, wait = ports["W" if "W" in memory.holds else "I"]
        memories.append(replace(memory, read_bits_per_cycle=rate, write_bits_per_cycle=rate, latency_cycles=wait))
    return replace(chip, levels=(*chip.levels[:-1], replace(outer, memories=tuple(memories))), vector=vector)
