"""The Optuna studies of a run: a copy of the ledger in `study.db` that Optuna's own tools open unmodified.

Two studies in one SQLite file, `NAME-ptq` and `NAME-qat`, one trial per result in the order of the ledger.
The copy is brought up to date when a run is opened and after each result, so a crash between
ledger and database loses nothing. Whatever does not follow from the ledger (a trial left running by another
program, a space that has grown) has the study rebuilt; a file that is no database is put aside.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError

from search.front.objective import Objective
from search.front.results import Result, Stage
from search.propose.proposer import distributions, point_of, quiet_optuna
from search.space import Space

DATABASE = "study.db"


class OptunaMirror:
    """Writes results into the Optuna studies of a run folder. Close it, or use it in a `with` block.

    Args:
        folder: of the run.
        name: of the study.
        space: the candidates.
        objectives: give directions and metric names.
    """

    def __init__(self, folder: Path, name: str, space: Space, objectives: Sequence[Objective]) -> None:
        self._name = name
        self._space = space
        self._objectives = tuple(objectives)
        self._distributions = distributions(space)
        self._studies: dict[Stage, optuna.Study] = {}
        self._storage = _open(folder / DATABASE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the database."""
        self._studies.clear()
        self._storage.remove_session()
        self._storage.engine.dispose()

    def sync(self, results: Sequence[Result]) -> None:
        """Make the studies hold exactly these results."""
        for stage in ("ptq", "qat"):
            wanted = [result for result in results if result.stage == stage]
            if wanted or self._study_name(stage) in self._names():
                self._sync_stage(stage, wanted)

    def add(self, result: Result) -> None:
        """Append one result that is in the ledger."""
        with quiet_optuna():
            self._study(result.stage).add_trial(self._trial(result))

    def _sync_stage(self, stage: Stage, wanted: Sequence[Result]) -> None:
        with quiet_optuna():
            study = self._study(stage)
            present = study.get_trials(deepcopy=False)
            if not self._follows(study, present, wanted):
                self._studies.pop(stage)
                optuna.delete_study(study_name=self._study_name(stage), storage=self._storage)
                study, present = self._study(stage), []
            for result in wanted[len(present) :]:
                study.add_trial(self._trial(result))

    def _follows(self, study: optuna.Study, present: Sequence[FrozenTrial], wanted: Sequence[Result]) -> bool:
        """The trials are those of the first results."""
        directions = [direction.name.lower() for direction in study.directions]
        if directions != [objective.direction for objective in self._objectives] or len(present) > len(wanted):
            return False
        return all(
            trial.state == _state(result)
            and trial.user_attrs.get("number") == result.number
            and trial.user_attrs.get("key") == result.key
            and trial.distributions == self._distributions
            for trial, result in zip(present, wanted, strict=False)
        )

    def _names(self) -> list[str]:
        return optuna.get_all_study_names(self._storage)

    def _study_name(self, stage: Stage) -> str:
        return f"{self._name}-{stage}"

    def _study(self, stage: Stage) -> optuna.Study:
        if stage not in self._studies:
            study = optuna.create_study(
                study_name=self._study_name(stage),
                storage=self._storage,
                directions=[objective.direction for objective in self._objectives],
                load_if_exists=self._study_name(stage) in self._names(),
            )
            study.set_metric_names([objective.name for objective in self._objectives])
            self._studies[stage] = study
        return self._studies[stage]

    def _trial(self, result: Result) -> FrozenTrial:
        notes = {"number": result.number, "key": result.key, "origin": result.origin, **result.costs}
        if result.is_done:
            notes |= {"correct": result.correct, "total": result.total, "checkpoint": result.checkpoint}
        else:
            notes |= {"error": result.error}
        return optuna.trial.create_trial(
            state=_state(result),
            params=point_of(self._space, result),
            distributions=self._distributions,
            values=[objective.value(result) for objective in self._objectives] if result.is_done else None,
            user_attrs=notes,
        )


def _state(result: Result) -> TrialState:
    return TrialState.COMPLETE if result.is_done else TrialState.FAIL


def _open(path: Path) -> optuna.storages.RDBStorage:
    url = URL.create("sqlite", database=str(path.resolve())).render_as_string()
    with quiet_optuna():
        try:
            return optuna.storages.RDBStorage(url)
        except DatabaseError:  # not a database, or a damaged one: it is only a copy of the ledger
            os.replace(path, path.with_suffix(".db.broken"))
            return optuna.storages.RDBStorage(url)
