"""Runs beside each other: what each picked, what that costs, how much it dominates, and what may be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodel.errors import ConfigError
from reports.compare.differences import Difference, differences, made_with, specification
from reports.run.folder import Run, read_run
from reports.run.metrics import interval_of, known_costs
from reports.run.volume import Box
from search.finaltest import read_tests
from search.front.costs import Cost
from search.front.objective import OBJECTIVES, Objective, objective_named
from search.front.results import Result, Stage, final_stage
from search.guard.manifest import CONTENT
from search.ledger import read_results

if TYPE_CHECKING:
    import pandas as pd

    from workloads.training.accuracy import Interval


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One run among several.

    Attributes:
        name: of its folder, or its path where two have the same.
        run: as reports read it.
        results: its ledger.
        data: what tells its data apart: name, options, hashes, as far as they are known.
        chip: name and fingerprint of its accelerator; "" without one.
        is_finished: its front was tested; of a run that a script made it is not known, and taken as finished.
    """

    name: str
    run: Run
    results: tuple[Result, ...]
    data: str
    chip: str
    is_finished: bool

    @property
    def scored(self) -> str:
        """`60 PTQ, 12 QAT, 1 failed`."""
        done = [result for result in self.results if result.is_done]
        counts = [(stage.upper(), sum(result.stage == stage for result in done)) for stage in ("ptq", "qat")]
        counts += [("in part", sum(result.stage not in ("ptq", "qat") for result in done))]
        counts += [("failed", len(self.results) - len(done))]
        return ", ".join(f"{count} {name}" for name, count in counts if count) or "none"

    @property
    def accuracy_name(self) -> str:
        """The accuracy that is told apart: `test` where the pick was tested, else `accuracy` (validation)."""
        row = self.run.picked_row
        return "test" if row is not None and math.isfinite(row["test_accuracy"]) else "accuracy"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs beside each other; the first is what the others are compared with.

    Attributes:
        runs: at least two.
        differences: of their specifications.
        limits: sentences on what cannot be compared, and why.
        objectives: of the hypervolume; none where there is none to compare.
        stage: whose results it is over.
    """

    runs: tuple[Compared, ...]
    differences: Sequence[Difference]
    limits: Sequence[str]
    objectives: tuple[Objective, ...]
    stage: Stage

    @cached_property
    def box(self) -> Box | None:
        """Around the results of all runs at the compared stage."""
        chosen = [result for item in self.runs for result in self.chosen(item)]
        return Box.of(chosen, self.objectives) if self.objectives else None

    @cached_property
    def histories(self) -> dict[str, list[float]]:
        """Name of a run -> the share of the box that it dominates after each of its results; none without a box."""
        box = self.box
        return {} if box is None else {item.name: box.history(self.chosen(item)) for item in self.runs}

    @cached_property
    def costs(self) -> list[Cost]:
        """The costs that any of the runs has, objectives first."""
        found = {cost.key: cost for item in self.runs for cost in known_costs(item.run.candidates)}
        return [cost for cost in found.values() if cost.role == "objective"]

    def chosen(self, item: Compared) -> list[Result]:
        """The results of a run at the compared stage that have every objective."""
        keys = [objective.key for objective in self.objectives if objective.key]
        return [
            result
            for result in item.results
            if result.stage == self.stage and result.is_done and all(key in result.costs for key in keys)
        ]

    def volume(self, item: Compared) -> float:
        """The share of the box that the run dominates; nan where nothing is compared."""
        shares = self.histories.get(item.name)
        return math.nan if shares is None else (shares[-1] if shares else 0.0)

    def against_first(self, item: Compared) -> str:
        """The accuracy of its pick beside that of the first run's: `tie`, `+1.20 points`; "" where not known."""
        first = self.runs[0]
        if item is first or first.data != item.data:
            return ""
        name = "test" if first.accuracy_name == item.accuracy_name == "test" else "accuracy"
        one, other = (_accuracy(each, name) for each in (first, item))
        if one is None or other is None:
            return ""
        (before, low), (now, high) = one, other
        return "tie" if low.overlaps(high) else f"{(now - before) * 100:+.2f} points"

    def to_dataframe(self) -> pd.DataFrame:
        """One row per run: counts, the pick with its accuracies, intervals and costs, and the hypervolume."""
        import pandas as pd

        return pd.DataFrame([self._row(item) for item in self.runs])

    def _row(self, item: Compared) -> dict[str, Any]:
        picked, score = item.run.picked_row, item.run.float_accuracy
        names = ("accuracy", "accuracy_low", "accuracy_high", "test_accuracy", "test_low", "test_high", "test_runs")
        done = sum(result.is_done for result in item.results)
        return {
            "run": item.name,
            "folder": str(item.run.folder),
            "finished": item.is_finished,
            "results": done,
            "failed": len(item.results) - done,
            "float_accuracy": None if score is None else score.value,
            "picked": None if picked is None else int(picked["number"]),
            **{name: None if picked is None else picked[name] for name in names},
            "against_first": self.against_first(item),
            **{cost.key: None if picked is None else picked.get(cost.key) for cost in self.costs},
            "hypervolume": self.volume(item),
        }


def compare_runs(*sources: Any) -> Comparison:
    """Runs beside each other.

    Args:
        sources: folders, or `Study` objects; at least two. The first is what the others are compared with.

    Raises:
        ConfigError: fewer than two, one twice, or a folder that is no run.

    Example:
        >>> compare_runs("runs/seed0", "runs/seed1").to_dataframe()
    """
    folders = [Path(source if isinstance(source, (str, Path)) else source.folder) for source in sources]
    if len(folders) < 2:
        raise ConfigError(f"compare: must be two runs at least, but got {len(folders)}.")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ConfigError(f"compare: each run once, but got {', '.join(map(str, folders))}.")
    names = _names(folders)
    runs = tuple(_read(source, name) for source, name in zip(sources, names, strict=True))
    stages = {final_stage(item.results) for item in runs if item.results}
    stage: Stage = "qat" if stages == {"qat"} else "ptq"
    limits, objectives = comparable(runs, stage)
    return Comparison(
        runs=runs, differences=differences(folders), limits=limits, objectives=objectives, stage=stage
    )


def comparable(runs: Sequence[Compared], stage: Stage) -> tuple[list[str], tuple[Objective, ...]]:
    """What cannot be compared, in sentences, and the objectives that can: none without accuracy and one cost.

    Accuracies are compared on the same data, costs on the same chip, average bits of the same network.
    """
    limits = [
        f"{item.name} is not finished: what it shows is what it has so far."
        for item in runs
        if not item.is_finished
    ]
    same_data, same_chip = (len({getattr(item, name) for item in runs}) == 1 for name in ("data", "chip"))
    same_graph = len({item.run.graph.fingerprint for item in runs}) == 1
    if not same_chip:
        chips = ", ".join(f"{item.name} on {item.chip or 'none'}" for item in runs)
        limits.append(f"Costs that need a chip are of different ones ({chips}): they are shown, not compared.")
    if not same_graph:
        limits.append("The networks differ: average bits of one say nothing about those of another.")
    if stage == "ptq" and any(final_stage(item.results) == "qat" for item in runs):
        limits.append(
            "Not every run has finetuned candidates: fronts and hypervolumes are of quantized ones (PTQ)."
        )
    if not same_data:
        said = "Accuracies are on different data or splits: they are shown, not compared, and no hypervolume is."
        return [*limits, said], ()
    objectives = _shared(runs, same_chip=same_chip, same_graph=same_graph)
    return limits if objectives else [*limits, "No cost is left to compare: no hypervolume."], objectives


def _shared(runs: Sequence[Compared], *, same_chip: bool, same_graph: bool) -> tuple[Objective, ...]:
    """The objectives of all runs that may be compared; accuracy and average bits where no other cost is left."""
    names = [name for name in runs[0].run.objectives if all(name in item.run.objectives for item in runs)]
    bits = OBJECTIVES["avg_w_bits"]
    kept = [axis for axis in map(objective_named, names) if same_chip or not axis.needs_accelerator]
    kept = [axis for axis in kept if same_graph or axis != bits]
    if same_graph and not any(axis.key for axis in kept):
        kept.append(bits)
    return tuple(kept) if any(axis.key for axis in kept) else ()


def _read(source: Any, name: str) -> Compared:
    run = read_run(source)
    record = made_with(run.folder)
    spec = specification(run.folder)
    context = record.get("context", {})
    known = spec if spec is not None else context
    parts = [str(known.get(key, "")) for key in ("data", "data_options")]
    parts.append(str(context.get(CONTENT, {}).get("data", "")))
    return Compared(
        name=name,
        run=run,
        results=tuple(read_results(run.folder)),
        data=" ".join([*parts, _images(run)]),
        chip=str(record.get("accelerator", "")) or (run.accelerator.name if run.accelerator else ""),
        is_finished=spec is None or bool(read_tests(run.folder)),
    )


def _images(run: Run) -> str:
    """How many validation images: another split of the same data has another count, or another hash."""
    return "" if run.float_accuracy is None else str(run.float_accuracy.total)


def _accuracy(item: Compared, name: str) -> tuple[float, Interval] | None:
    """An accuracy of the pick with its interval; None where one is not known."""
    row = item.run.picked_row
    if row is None:
        return None
    value, interval = row["test_accuracy" if name == "test" else name], interval_of(row, name)
    return None if interval is None else (float(value), interval)


def _names(folders: Sequence[Path]) -> list[str]:
    """The names of the folders; their paths where two have the same."""
    short = [folder.resolve().name for folder in folders]
    return [str(folder) if short.count(name) > 1 else name for folder, name in zip(folders, short, strict=True)]
