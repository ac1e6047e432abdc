"""Fidelities of finetuning: many short runs, of which the most promising are run in full.

    rungs: [0.25]     of width w: 4 w candidates are proposed and finetuned for a quarter of the epochs; then the w
                      of largest expected gain, of all that wait, are finetuned in full, from the float model

The next batch is a function of the ledger alone. Results fall into *brackets*: short runs, shortest first, then the
full runs that were promoted from them. What a bracket does follows from the results before it and, rung by rung,
from the shorter runs in it; so one that was interrupted is finished as it was begun.

Source: Jamieson and Talwalkar, AISTATS 2016 (successive halving: each rung costs as much as the next); Klein et
al., AISTATS 2017 (low fidelities as observations of a model).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from search.front.results import LESS, PROMOTED, Result, Stage
from search.groups import AxisValue
from search.propose.accuracy_model import Observations
from search.propose.assembling import StudyProblem
from search.propose.fidelity import Link, misleads, rank_correlation
from search.propose.problem import Picks, logit_error
from search.propose.sampler import counting_variance
from search.rungs.fidelities import FULL, Fidelities, RungReport
from search.seeds import derive_seed
from search.space import Point


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What to finetune next.

    Attributes:
        share: of the epochs of a full run.
        known: so many finetunings were known when it was chosen.
        points: the candidates.
    """

    share: float
    known: int
    points: tuple[dict[str, AxisValue], ...]


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A finetuning at any fidelity."""

    row: tuple[int, ...]
    stage: Stage
    share: float
    y: float
    variance: float
    is_done: bool
    is_promoted: bool
    is_stopped: bool


class RungPlan:
    """Decides what is finetuned next, and for how long.

    Args:
        problem: of the study.
        fidelities: with one rung at least.
        width: full runs per bracket.
        seed: of all draws.
    """

    def __init__(self, problem: StudyProblem, fidelities: Fidelities, width: int, seed: int) -> None:
        self._problem, self._shares = problem, fidelities.rungs
        self._kinds: list[tuple[float, Stage]] = [(share, stage) for share in self._shares for stage in LESS]
        self._width, self._seed = width, seed
        self._proposer = problem.proposer("qat")

    def next(self, results: Sequence[tuple[Point, Result]]) -> Batch | None:
        """The rest of the open bracket, or the first of a new one; None: no rung is left, or the space has no more.

        Args:
            results: all finetunings at any fidelity, in the order of the ledger.
        """
        entries = self._entries(results)
        brackets = self._brackets(entries)
        for held in [len(entries)] if not brackets else [brackets[-1], len(entries)]:
            known, opened = entries[:held], entries[held:]
            rungs = self._alive(known)
            if not rungs:
                return None
            batch = self._continued(known, opened, rungs)
            if batch is not None:
                return batch
        return None

    def reports(self, results: Sequence[tuple[Point, Result]]) -> tuple[RungReport, ...]:
        """What each rung was worth so far."""
        entries = self._entries(results)
        alive, found = self._alive(entries), []
        for share, stage in self._kinds:
            low, full = _pairs(entries, share, stage)
            link, correlation = Link.fitted(low, full), rank_correlation(low, full)
            runs = sum(_level(e) == share and e.stage == stage and e.is_done for e in entries)
            if runs:
                found.append(
                    RungReport(
                        stage=stage,
                        share=share,
                        runs=runs,
                        pairs=len(low),
                        correlation=None if math.isnan(correlation) else correlation,
                        is_dropped=share not in alive,
                        **asdict(link),
                    )
                )
        return tuple(found)

    # ---- the ledger ----------------------------------------------------------------------------

    def _entries(self, results: Sequence[tuple[Point, Result]]) -> list[_Entry]:
        if not results:
            return []
        accuracy = np.array([result.accuracy for _, result in results])
        total = np.array([float(result.total) for _, result in results])
        rows = self._problem.layout.rows([point for point, _ in results]).tolist()
        return [
            _Entry(
                row=tuple(row),
                stage=result.stage,
                share=result.share,
                y=float(y),
                variance=float(variance),
                is_done=result.is_done,
                is_promoted=result.origin == PROMOTED,
                is_stopped=result.is_stopped,
            )
            for row, y, variance, (_, result) in zip(
                rows, logit_error(accuracy, total), counting_variance(accuracy, total), results, strict=True
            )
        ]

    def _brackets(self, entries: Sequence[_Entry]) -> list[int]:
        """Where each begins: with a run shorter than the one before, or after `width` promotions."""
        starts: list[int] = []
        level, promoted = math.inf, 0
        for index, entry in enumerate(entries):
            own = _level(entry)
            if own == FULL and not entry.is_promoted:  # by hand, or of no rung
                continue
            if own < level or promoted == self._width:
                starts.append(index)
                promoted = 0
            level = own
            promoted += entry.is_promoted
        return starts

    def _alive(self, entries: Sequence[_Entry]) -> tuple[float, ...]:
        """The rungs that have not misled by the end of any bracket."""
        ends = [*self._brackets(entries)[1:], len(entries)]
        wrong = {
            share
            for share, stage in self._kinds
            if any(misleads(*_pairs(entries[:end], share, stage)) for end in ends)
        }
        return tuple(share for share in self._shares if share not in wrong)

    # ---- one bracket ---------------------------------------------------------------------------

    def _continued(self, known: Sequence[_Entry], opened: Sequence[_Entry], rungs: Sequence[float]) -> Batch | None:
        """What is left of a bracket, at its shortest rung that is not finished."""
        for share in (*rungs, FULL):
            before = [*known, *(entry for entry in opened if _level(entry) < share)]
            count = max(self._width, round(self._width / share))
            is_first = share == rungs[0]
            wanted = self._new(before, count) if is_first else self._promoted(before, rungs, share, count)
            there = {entry.row for entry in opened if _level(entry) == share}
            left = [row for row in wanted if row not in there]
            if left:
                return Batch(
                    share=share, known=len(before), points=tuple(self._problem.layout.params(row) for row in left)
                )
        return None

    def _new(self, known: Sequence[_Entry], count: int) -> list[tuple[int, ...]]:
        taken = {np.array(entry.row, dtype=np.int64).tobytes() for entry in known}
        seed = derive_seed(self._seed, "rung", len(known))
        return self._proposer.propose(self._seen(known), taken, count, seed)

    def _promoted(
        self, known: Sequence[_Entry], rungs: Sequence[float], share: float, count: int
    ) -> list[tuple[int, ...]]:
        """Of those that wait at the rung below, what is expected to add most to the front of full runs."""
        below = max(rung for rung in rungs if rung < share)
        beyond = {entry.row for entry in known if _level(entry) >= share}
        rows = [entry.row for entry in known if _level(entry) == below and entry.is_done]
        waiting = [row for row in dict.fromkeys(rows) if row not in beyond]
        reached = [entry.row for entry in known if entry.share == FULL and entry.is_done]
        return self._proposer.promote(
            self._seen(known), self._picks(dict.fromkeys(reached)), self._picks(waiting), count
        )

    def _seen(self, entries: Sequence[_Entry]) -> Observations:
        """Every candidate once, at its highest fidelity; what is not full, as the line to full runs has it."""
        best: dict[tuple[int, ...], _Entry] = {}
        for entry in entries:
            is_usable = entry.is_done and not entry.is_stopped
            if is_usable and (entry.row not in best or entry.share >= best[entry.row].share):
                best[entry.row] = entry
        links = {kind: Link.fitted(*_pairs(entries, *kind)) for kind in self._kinds}
        links[FULL, "qat"] = Link(residual=0.0)
        kept = list(best.values())
        return Observations(
            picks=self._picks([entry.row for entry in kept]),
            y=np.array([links[entry.share, entry.stage].expected(entry.y) for entry in kept]),
            variance=np.array([links[entry.share, entry.stage].variance(entry.variance) for entry in kept]),
        )

    def _picks(self, rows: Any) -> Picks:
        found = list(rows)
        return np.array(found, dtype=np.int64).reshape(len(found), len(self._problem.space.groups))


def _level(entry: _Entry) -> float:
    """The fidelity that a run was begun at."""
    return FULL if entry.is_stopped else entry.share


def _pairs(entries: Sequence[_Entry], share: float, stage: Stage) -> tuple[list[float], list[float]]:
    """Logits of the candidates that were run at a rung and then in full."""
    full = {e.row: e.y for e in entries if e.share == FULL and e.is_promoted and e.is_done}
    low = {e.row: e.y for e in entries if _level(e) == share and e.stage == stage and e.is_done}
    rows = [row for row in low if row in full]
    return [low[row] for row in rows], [full[row] for row in rows]
