"""A chip of 36 designs that trade energy, latency and area, and what they cost by `evaluate` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hwmodel import evaluate
from hwmodel.chip.area import chip_area
from hwmodel.chip.sweep.space import DesignSpace
from hwmodel.mapper.shared import forget_mappings
from hwmodel.network.graph import LayerGraph
from search.explore.found import ChipExploration, ChipRow
from search.front.pareto import non_dominated
from tests.search.codesign.helpers import CHIP
from tests.search.helpers import make_graph

GRAPH = make_graph()
#: The same with tensors that stay in its buffer.
RESIDENT = CHIP.replace("    size: 1 KiB\n", "    size: 1 KiB\n    resident: [I, O]\n")
#: The same with a cache behind it.
DEEP = CHIP.replace(
    "  - name: dram\n",
    "  - name: l2\n    holds: [W, I, O]\n    size: 8 KiB\n    read_energy: 0.4 pJ/bit\n"
    "    bandwidth: 16 bit/cycle\n    area: 0.4 um^2/bit\n    source: test\n  - name: dram\n",
)
DEEP_RESIDENT = DEEP.replace("    size: 8 KiB\n", "    size: 1 KiB\n    resident: [I, O]\n")
#: The same with a tile per operand and memory.
UNEVEN, UNEVEN_RESIDENT = DEEP + "tiles: uneven\n", RESIDENT + "tiles: uneven\n"
#: Axis X of 3 does not divide every layer; a port may bind or not; a buffer takes energy of its own.
RANGES = {
    "array.X.size": "1..4+1",
    "memories.buffer.size": ["256 B", "1 KiB", "4 KiB"],
    "memories.dram.bandwidth": ["4 bit/cycle", "16 bit/cycle", "64 bit/cycle"],
}


def chip_file(folder: Path, text: str = CHIP) -> Path:
    path = folder / "npu.yaml"
    path.write_text(text)
    return path


def priced_one_by_one(
    space: DesignSpace, graphs: Mapping[str, LayerGraph], optimize: str = "energy"
) -> dict[int, dict[str, tuple[float, float]]]:
    """Number -> network -> energy [pJ] and latency [s], each design as a chip by itself.

    Nothing that was found before is used, and nothing of it is left for an exploration. What an exploration says of
    these spaces is equal to the last bit; where mappings tie, no more than 1e-12 is promised.
    """
    forget_mappings()
    found = {
        number: {name: _cost(graph, space.design(number), optimize) for name, graph in graphs.items()}
        for number in range(space.size)
    }
    forget_mappings()
    return found


def _cost(graph: LayerGraph, design: object, optimize: str) -> tuple[float, float]:
    cost = evaluate(graph, design.accelerator, optimize=optimize)  # type: ignore[attr-defined, arg-type]
    return cost.energy_pj, cost.latency_s


def front_of(points: Mapping[int, Sequence[float]]) -> set[tuple[float, ...]]:
    """The values that no other of the points dominates."""
    matrix = np.array(list(points.values()))
    return {tuple(row) for row in matrix[non_dominated(matrix)].tolist()}


def area_of(space: DesignSpace, number: int) -> float:
    area = chip_area(space.design(number).accelerator).mm2
    assert area is not None
    return area


def values(found: ChipExploration, rows: Sequence[ChipRow], model: str = "") -> set[tuple[float, ...]]:
    return {found.values(row, model) for row in rows}
