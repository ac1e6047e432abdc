"""A chip of six designs that trade energy, latency and area, and what it costs by `evaluate` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hwmodel import evaluate, load_accelerator
from hwmodel.chip.area import chip_area
from hwmodel.chip.sweep.designs import Designs, load_designs
from search.front.results import Result
from search.space import Space
from search.study import Study
from tests.hwmodel.chips import TINY
from tests.search.helpers import ToyScorer, make_graph
from workloads.compress.config import CompressionConfig

GRAPH = make_graph()
SPACE = Space.from_graph(GRAPH, w_bits=(2, 4, 8), a_bits=(8,))
#: Sizes in KiB, each with energies of its own; every part has an area.
CHIP = (
    TINY.replace("size: 64 B", "size: 1 KiB")
    .replace("energy: 0.5 pJ,", "energy: 0.5 pJ, area: 700 um^2,")
    .replace("read_energy: 0.01 pJ/bit", "read_energy: 0.01 pJ/bit\n    area: 2 um^2/bit")
    .replace("read_energy: 0.1 pJ/bit", "read_energy: 0.1 pJ/bit\n    area: 0.5 um^2/bit")
)
SWEEP = """\
sweep:
  - array.X.size: 1..4*2
  - memories.buffer.size: [256 B, 4 KiB]
    memories.buffer.read_energy: [0.06 pJ/bit, 0.2 pJ/bit]
    memories.buffer.write_energy: [0.06 pJ/bit, 0.2 pJ/bit]
"""


def chip_file(folder: Path, sweep: str = SWEEP) -> Path:
    path = folder / "npu.yaml"
    path.write_text(CHIP + sweep)
    return path


def designs_in(folder: Path) -> Designs:
    return load_designs(chip_file(folder))


def open_study(folder: Path, designs: Designs, scorer: Any = None, **options: Any) -> Study:
    chosen = {"objectives": ["accuracy", "energy", "latency"], **options}
    return Study.create_or_resume(
        folder, graph=GRAPH, space=SPACE, evaluate=scorer or ToyScorer(), accelerator=designs, **chosen
    )


def priced_alone(folder: Path, designs: Designs, results: list[Result]) -> dict[tuple[int, int], dict[str, float]]:
    """(result, design) -> energy, latency, area: each design as a file of its own, each configuration evaluated."""
    found = {}
    for design in designs:
        path = folder / f"alone-{design.number}.yaml"
        path.write_text(design.to_yaml())
        chip = load_accelerator(path)
        for result in results:
            cost = evaluate(GRAPH, chip, CompressionConfig.from_dict(result.config))
            found[result.number, design.number] = {
                "energy_pj": cost.energy_pj, "latency_s": cost.latency_s, "memory_bits": cost.memory_bits,
                "area_mm2": chip_area(chip).known_mm2,
            }  # fmt: skip
    return found


def brute_front(losses: dict[tuple[int, int], tuple[float, ...]]) -> set[tuple[int, int]]:
    """The pairs that no other dominates; of equal ones the first."""
    kept = set()
    for pair, own in losses.items():
        others = [(other, losses[other]) for other in losses if other != pair]
        beaten = any(np.less_equal(loss, own).all() and loss != own for _, loss in others)
        again = any(loss == own and other < pair for other, loss in others)
        if not beaten and not again:
            kept.add(pair)
    return kept
