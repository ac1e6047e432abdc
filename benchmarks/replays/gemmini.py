"""Gemmini's RTL, layer by layer: a given mapping on given buffers, against the cycles that a simulation of it
took.

Every row is a layer, its mapping as text, and what the RTL took for it (Hong et al., DOSA, MICRO 2023,
simulated with FireSim). The preset `gemmini` prices the same mapping; its buffers have the sizes of the row,
for each of the two tiles in flight. Cases: the names of the rows.

How the rows were run decides what the layer is (gemmini-rocc-tests, `gemmini-data-collection`): P are columns
and Q rows of pixels, a layer of one row of pixels and no window is a matrix product; the input has P * stride
columns, and R // 2 zeros around it on every side, so that an even window makes one row and one column more than
P and Q.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping as MappingType
from dataclasses import replace
from typing import Any, cast

from benchmarks.replays.case import Case
from hwmodel import Accelerator, Dims, Layer, load_accelerator
from hwmodel.chip.accelerator import Memory
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping, tile_bits
from hwmodel.nest.task import Task
from hwmodel.network.layer import DimName
from hwmodel.price.spatial import price

PRESET = "gemmini"
#: Levels of the rows, outermost first; L2 and L1 change their tiles together here.
LEVELS = ("L3", "L2", "L1", "L0")
#: Names of the rows -> ours, in a convolution and in a matrix product.
CONV: dict[str, DimName] = {"N": "B", "K": "K", "C": "C", "P": "OX", "Q": "OY", "R": "FX", "S": "FY"}
PRODUCT: dict[str, DimName] = CONV | {"P": "OY", "Q": "OX"}
#: Dim -> axis of the array.
AXES = {"K": "X", "C": "Y"}


def replay(data: object) -> list[Case]:
    """Cases of a file in the format of `gemmini_rtl_cycles.json`.

    Args:
        data: `cases`, each a `layer` (N C K P Q R S Wstride Hstride), a `mapping`, `accumulator_words_per_column`,
            `scratchpad_bytes` and `rtl_cycles`.

    Raises:
        ValueError: a mapping that is not in the words of these rows.
    """
    chip = load_accelerator(PRESET)
    rows = cast(MappingType[str, Any], data)["cases"]
    return [
        Case(name=str(row["name"]), reference=float(row["rtl_cycles"]), prediction=float(cycles_of(row, chip)))
        for row in rows
    ]


def cycles_of(row: MappingType[str, Any], chip: Accelerator) -> int:
    """What the layer of a row takes under its mapping."""
    layer = layer_of(row)
    return price(Task.of(layer, sized(chip, row)), mapping_of(row, layer)).cycles


def names_of(shape: MappingType[str, int]) -> dict[str, DimName]:
    return PRODUCT if shape["Q"] == shape["R"] == shape["S"] == 1 else CONV


def layer_of(row: MappingType[str, Any]) -> Layer:
    """The layer as it was run."""
    shape = row["layer"]
    names = names_of(shape)
    bounds = {names[name]: int(shape[name]) for name in names}
    if names is PRODUCT:
        return Layer(name=str(row["name"]), dims=Dims.of(bounds))
    strides, pads = (int(shape["Hstride"]), int(shape["Wstride"])), []
    for out, tap, stride in (("OY", "FY", strides[0]), ("OX", "FX", strides[1])):
        size, taps = bounds[out] * stride, bounds[tap]  # type: ignore[index]  # names of dims
        before = taps // 2
        outputs = (size + 2 * before - taps) // stride + 1
        bounds[out] = outputs  # type: ignore[index]
        pads.append((before, max(0, (outputs - 1) * stride + taps - before - size)))
    return Layer(name=str(row["name"]), dims=Dims.of(bounds), stride=strides, padding=(pads[0], pads[1]))


def sized(chip: Accelerator, row: MappingType[str, Any]) -> Accelerator:
    """The chip with the buffers of a row: each holds that much of one tile, and as much of the next.

    A tile that is larger is given its room: the RTL that ran all rows had larger buffers than any of them asks for.
    """
    columns = next(axis.size for axis in chip.axes if axis.name == "X")
    stated = {
        "accumulator": 32 * columns * row["accumulator_words_per_column"],
        "scratchpad": 8 * row["scratchpad_bytes"],
    }
    layer = layer_of(row)
    task, mapping = Task.of(layer, chip), mapping_of(row, layer)

    def with_room(index: int, memory: Memory) -> Memory:
        if memory.name not in stated:
            return memory
        tile = sum(tile_bits(task, mapping, index, operand) for operand in memory.holds)
        return replace(memory, size_bits=float(memory.copies * max(stated[memory.name], tile)))

    levels = (
        replace(level, memories=tuple(with_room(index, memory) for memory in level.memories))
        for index, level in enumerate(chip.levels)
    )
    return replace(chip, levels=tuple(levels))


def mapping_of(row: MappingType[str, Any], layer: Layer) -> Mapping:
    """The mapping of a row; loops outside of the tiles run as often as the layer, as it was run, needs them."""
    names, parts = names_of(row["layer"]), _parts(row["mapping"])
    loops = {
        level: [Loop(names[dim], bound) for dim, bound, spatial in parts[level] if not spatial] for level in LEVELS
    }
    across = [
        Loop(names[dim], bound, AXES[dim]) for level in LEVELS for dim, bound, spatial in parts[level] if spatial
    ]
    tile: dict[DimName, int] = dict.fromkeys(names.values(), 1)
    for loop in (*loops["L2"], *loops["L1"], *loops["L0"], *across):
        tile[loop.dim] *= loop.bound
    needed = {dim: math.ceil(layer.dims[dim] / size) for dim, size in tile.items()}
    named = list(dict.fromkeys(loop.dim for loop in loops["L3"]))
    around = [dim for dim in names.values() if dim not in named and needed[dim] > 1] + named
    return Mapping(
        levels=(
            LevelMapping(name="weight_register", temporal=tuple(loops["L0"]), keeps=("W",)),
            LevelMapping(
                name="on_chip", temporal=(*loops["L2"], *loops["L1"]), spatial=tuple(across), keeps=("O", "W", "I")
            ),
            LevelMapping(
                name="dram", temporal=tuple(Loop(dim, needed[dim]) for dim in around), keeps=("W", "I", "O")
            ),
        )
    )


def _parts(text: str) -> dict[str, list[tuple[str, int, bool]]]:
    """level -> its loops: dim, bound, and whether it runs across the array. Raises ValueError: other words."""
    parts: dict[str, list[tuple[str, int, bool]]] = {}
    for part in text.split(" - "):
        level, *loops = part.split()
        found = [re.fullmatch(r"([NKCPQRS])([1-9][0-9]*)(X?)", loop) for loop in loops]
        if not re.fullmatch(r"L[0-3]\[[WIO]+\]", level) or not all(found):
            raise ValueError(f"gemmini: a level of a mapping must be as `L1[O] C48 P16 C16X`, but is {part!r}")
        parts[level[:2]] = [(m[1], int(m[2]), bool(m[3])) for m in found if m]
    if tuple(parts) != LEVELS:
        raise ValueError(f"gemmini: a mapping must have the levels {', '.join(LEVELS)}, but has {', '.join(parts)}")
    return parts
