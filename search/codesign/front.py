"""The front of configurations and designs: what was finetuned once is priced on every design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hwmodel.chip.sweep.designs import Design
from search.designs.table import DesignTable, Options
from search.front.objective import ACCURACY, Accuracies, Objective, first_cost
from search.front.pareto import Losses, non_dominated
from search.front.results import Result, interval_columns
from search.propose.posterior import NO_BELIEFS, Belief, believed_front, means_of
from search.propose.pricing import Pricer
from workloads.compress.config import CompressionConfig

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class OnDesign:
    """A scored configuration on one design.

    Attributes:
        result: as in the ledger, with the costs of this design.
        design: that it runs on.
        believed: accuracy that counts for the front: the posterior mean where there is one.
    """

    result: Result
    design: Design
    believed: float

    def row(self) -> dict[str, Any]:
        """As tables show it: candidate, design and its values, costs, accuracy with its 95 % interval."""
        result = self.result
        return {
            "number": result.number, "stage": result.stage, "design": self.design.number, **self.design.values,
            **result.costs, "accuracy": result.accuracy, **interval_columns("accuracy", result.interval),
            "believed": self.believed, "key": result.key,
        }  # fmt: skip


def design_front(
    table: DesignTable,
    results: Sequence[Result],
    objectives: Sequence[Objective],
    beliefs: Mapping[int, Belief] = NO_BELIEFS,
) -> tuple[OnDesign, ...]:
    """The pairs of a result and a design that no other dominates, cheapest first.

    Of pairs that are equal in every objective the first result on its first design stays.

    Args:
        table: of the designs; its limits hold for every pair, its objectives are the costs of `objectives`.
        results: of one stage; failed ones are left out.
        objectives: accuracy among them.
        beliefs: number of a result -> what is believed of its accuracy; without one it counts as measured.
    """
    done, options = _options(table, results)
    accuracies = means_of(beliefs)
    losses = [_losses(result, found, objectives, accuracies) for result, found in zip(done, options, strict=True)]
    matrix = np.concatenate([np.zeros((0, len(objectives))), *losses])
    if not len(matrix):
        return ()
    _, first = np.unique(matrix, axis=0, return_index=True)
    kept = set(first.tolist()) & set(np.flatnonzero(non_dominated(matrix)).tolist())
    rows = [(n, at) for n, found in enumerate(options) for at in range(len(found.designs))]
    pairs = [_pair(table, done[n], options[n], at, accuracies) for n, at in (rows[row] for row in sorted(kept))]
    cost = first_cost(objectives)
    return tuple(sorted(pairs, key=lambda p: (cost.value(p.result), p.result.number, p.design.number)))


def every_pair(
    table: DesignTable, results: Sequence[Result], beliefs: Mapping[int, Belief] = NO_BELIEFS
) -> tuple[OnDesign, ...]:
    """Every result that is done on every design, limits or not."""
    done = [result for result in results if result.is_done]
    accuracies = means_of(beliefs)
    costs = table.costs([choices_of(result) for result in done])
    return tuple(
        OnDesign(
            result=replace(result, costs={key: float(column[row, design.number]) for key, column in costs.items()}),
            design=design,
            believed=ACCURACY.value(result, accuracies),
        )
        for row, result in enumerate(done)
        for design in table.designs
    )


def worthwhile(
    table: DesignTable, results: Sequence[Result], beliefs: Mapping[int, Belief] = NO_BELIEFS
) -> tuple[OnDesign, ...]:
    """Every result on every design that no other design beats for it (`DesignTable.options`)."""
    done, options = _options(table, results)
    accuracies = means_of(beliefs)
    return tuple(
        _pair(table, result, found, at, accuracies)
        for result, found in zip(done, options, strict=True)
        for at in range(len(found.designs))
    )


def configurations(front: Sequence[OnDesign], results: Sequence[Result]) -> tuple[Result, ...]:
    """The results of a front, each once, as the ledger holds them."""
    known = {result.number: result for result in results}
    return tuple(known[number] for number in dict.fromkeys(pair.result.number for pair in front))


def front_of_study(
    pricer: Pricer | None,
    results: Sequence[Result],
    objectives: Sequence[Objective],
    beliefs: Mapping[int, Belief],
) -> tuple[Result, ...]:
    """The results that are on the front: with some design, where the chip has several (`design_front`)."""
    table = None if pricer is None else pricer.designs
    if table is None:
        return believed_front(results, objectives, beliefs)
    return configurations(design_front(table, results, objectives, beliefs), results)


def design_frame(pairs: Sequence[OnDesign], front: Sequence[OnDesign]) -> pd.DataFrame:
    """One row per pair; `front` marks those of the front."""
    import pandas as pd

    best = {(pair.result.number, pair.design.number) for pair in front}
    return pd.DataFrame(
        [{**pair.row(), "front": (pair.result.number, pair.design.number) in best} for pair in pairs]
    )


def _options(table: DesignTable, results: Sequence[Result]) -> tuple[list[Result], list[Options]]:
    """The results that are done, and the designs that are worth something for each."""
    done = [result for result in results if result.is_done]
    return done, table.options([choices_of(result) for result in done])


def _pair(table: DesignTable, result: Result, options: Options, at: int, accuracies: Accuracies) -> OnDesign:
    costs = {key: float(column[at]) for key, column in options.costs.items()}
    design = table.designs[int(options.designs[at])]
    return OnDesign(result=replace(result, costs=costs), design=design, believed=ACCURACY.value(result, accuracies))


def _losses(result: Result, options: Options, objectives: Sequence[Objective], accuracies: Accuracies) -> Losses:
    """Of one result on its designs, less is better. Shape (m, num_objectives)."""
    accuracy = np.full(len(options.designs), -ACCURACY.value(result, accuracies))
    return np.stack([options.costs[axis.key] if axis.key else accuracy for axis in objectives], axis=1)


def choices_of(result: Result) -> dict[str, Any]:
    """The choice of every module, as a table takes it."""
    config = CompressionConfig.from_dict(result.config)
    return {module: choice.choice for module, choice in config.layers.items()}
