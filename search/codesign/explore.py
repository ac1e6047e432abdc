"""A finished run on the designs of any chip file: what was trained once is priced on each; nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel.chip.area import areas_not_known
from hwmodel.chip.sweep.designs import Designs, load_designs
from hwmodel.errors import ConfigError
from hwmodel.network.choice import Choice
from hwmodel.network.graph import LayerGraph
from search.codesign.front import OnDesign, choices_of, design_frame, design_front, every_pair
from search.designs.chips import check_priced
from search.designs.table import DesignTable
from search.front.objective import ACCURACY, Objective, has_energies, resolve_objectives
from search.front.results import Result, final_stage
from search.guard.manifest import read_manifest
from search.ledger import read_results
from search.propose.posterior import NO_BELIEFS, read_beliefs

if TYPE_CHECKING:
    import pandas as pd

GRAPH = "graph.json"


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """Configurations on designs.

    Attributes:
        run: folder of the run that the accuracies come from.
        designs: of the chip file.
        objectives: of the front, accuracy among them.
        num_configurations: that were finished at the highest fidelity of the run.
        pairs: all of them on every design, by number and design.
        front: those of the pairs that no other dominates, cheapest first.
        notes: what a reader must know first.
    """

    run: Path
    designs: Designs
    objectives: tuple[Objective, ...]
    num_configurations: int
    pairs: tuple[OnDesign, ...]
    front: tuple[OnDesign, ...]
    notes: tuple[str, ...]

    def to_dataframe(self, *, every: bool = False) -> pd.DataFrame:
        """One row per pair of the front, cheapest first; `every`: per pair of all, the front marked."""
        return design_frame(self.pairs if every else self.front, self.front)


def explore_run(
    run: str | Path,
    hw: str | Path | Designs,
    *,
    objectives: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Exploration:
    """Price every finished configuration of a run on every design.

    Accuracies are those of the run's highest fidelity, believed ones where its sampler has them. The run may have
    been made for another accelerator or for none; its limits are not asked.

    Args:
        run: folder of a run with results.
        hw: a chip file, with ranges or without, the name of a preset, or designs.
        objectives: of the front; None is accuracy, energy where the chip has energies, latency, and the area of the
            chip where it is known and differs.
        progress: called with (designs done, designs in all).

    Raises:
        ConfigError: the folder holds no finished configuration or no graph, or an objective is unknown or not known
            here.
        AcceleratorError: as `load_designs`.
        MappingError: a layer fits a design at no mapping.
    """
    folder = Path(run)
    designs = hw if isinstance(hw, Designs) else load_designs(hw)
    axes = resolve_objectives(_usual_objectives(designs) if objectives is None else objectives)
    check_priced(axes, designs, has_table=False)
    known = read_results(folder)
    stage = final_stage(known)
    done = [result for result in known if result.is_done and result.stage == stage]
    if not done:
        raise ConfigError(f"{folder}: holds no finished candidate. hwmodel resume {folder} goes on with it.")
    manifest = read_manifest(folder) or {}
    own = resolve_objectives(manifest.get("objectives", ("accuracy", "avg_w_bits")))
    beliefs = read_beliefs(folder, known, own) if manifest else NO_BELIEFS
    table = DesignTable.build(
        _graph(folder),
        designs,
        _choices(done),
        objectives=[axis.key for axis in axes if axis.key],
        fuse=manifest.get("fuse", True),
        progress=progress,
    )
    return Exploration(
        run=folder,
        designs=designs,
        objectives=axes,
        num_configurations=len(done),
        pairs=every_pair(table, done, beliefs),
        front=design_front(table, done, axes, beliefs),
        notes=(*designs.notes, *_area_notes(designs)),
    )


def _usual_objectives(designs: Designs) -> list[str]:
    names = [ACCURACY.name, "latency"]
    if has_energies(designs[0].accelerator):
        names.insert(1, "energy")
    if designs.has_area and len({design.area_mm2 for design in designs}) > 1:
        names.append("area")
    return names


def _area_notes(designs: Designs) -> tuple[str, ...]:
    unknown = designs.area_unknown
    if len(designs) == 1 or not unknown:
        return ()
    return (areas_not_known(unknown),)


def _choices(results: Sequence[Result]) -> dict[str, list[Choice]]:
    """Every choice of every module that some result has."""
    found: dict[str, dict[Choice, None]] = {}
    for result in results:
        for module, choice in choices_of(result).items():
            found.setdefault(module, {})[choice] = None
    return {module: list(choices) for module, choices in found.items()}


def _graph(folder: Path) -> LayerGraph:
    path = folder / GRAPH
    if not path.exists():
        raise ConfigError(f"{folder}: holds no {GRAPH}. Is it the folder of hwmodel search?")
    return LayerGraph.from_json(path.read_text(encoding="utf-8"))
