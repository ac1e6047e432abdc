"""Every contender on every setting, repeated: shares of the exact hypervolume, with intervals of the mean."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.proof.contenders import Contender, Course, Setting, run_search
from benchmarks.proof.tables import Table
from hwmodel import CostTable, load_accelerator
from search.front.objective import OBJECTIVES

COSTS = ("avg_w_bits", "energy")
#: Finetunings after which a row is written.
BUDGETS = (1, 2, 4, 6, 8, 10, 12, 15, 20, 25, 30, 40, 60, 80, 120, 160, 200)
#: Those at which choices that are not nested are made.
APART = (6, 12, 20, 40)

Row = dict[str, Any]


def settings_of(table: Table) -> Iterator[Setting]:
    """The table with each of the costs."""
    for name in COSTS:
        objective, prices = OBJECTIVES[name], None
        if objective.needs_accelerator:
            prices = CostTable.build(
                table.graph, load_accelerator(str(table.facts["accelerator"])), table.space.choices()
            )
        yield Setting.of(table, objective, prices)


def compare(setting: Setting, contender: Contender, repeats: int) -> list[Row]:
    """One row per budget.

    Args:
        setting: what is searched.
        contender: who searches.
        repeats: searches, each with a draw and a seed of its own, the same for all contenders.
    """
    lengths = [contender.runs] if contender.is_nested else [runs for runs in APART if runs <= contender.runs]
    found: dict[int, list[tuple[float, float, float]]] = {}
    for repeat in range(repeats):
        for runs in lengths:
            course = _search(setting, contender, runs, repeat)
            for budget in [b for b in BUDGETS if b <= len(course.shares)] if contender.is_nested else [runs]:
                at = budget - 1
                found.setdefault(budget, []).append((course.shares[at], course.seconds[at], course.overheads[at]))
    return [_row(setting, contender, budget, np.array(reached)) for budget, reached in sorted(found.items())]


def _search(setting: Setting, contender: Contender, runs: int, repeat: int) -> Course:
    with tempfile.TemporaryDirectory() as folder:
        return run_search(setting, contender, runs, repeat, Path(folder) / "study")


def _row(setting: Setting, contender: Contender, budget: int, reached: np.ndarray) -> Row:
    shares = reached[:, 0]
    low, high = mean_interval(shares)
    return {
        "table": setting.table.name,
        "objective": setting.objective,
        "contender": contender.name,
        "runs": budget,
        "mean": round(float(shares.mean()), 5),
        "low": low,
        "high": high,
        "seconds": round(float(reached[:, 1].mean()), 3),
        "overhead_s": round(float(reached[:, 2].mean()), 3),
        "shares": [round(float(share), 5) for share in shares],
    }


def mean_interval(values: np.ndarray | Sequence[float]) -> tuple[float | None, float | None]:
    """95 % interval of the mean by Student's t; None of a single value.

    Args:
        values: (n,) independent repetitions.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) < 2:
        return None, None
    half = float(stats.t.ppf(0.975, len(numbers) - 1)) * float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
    return round(float(numbers.mean()) - half, 5), round(float(numbers.mean()) + half, 5)
