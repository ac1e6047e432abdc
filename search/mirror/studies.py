"""The ledger as Optuna studies of a storage, `NAME-STAGE`: one trial per result of the stage, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import optuna
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from hwmodel.errors import ConfigError
from search.front.objective import Objective
from search.front.results import Result, Stage
from search.jsonl import to_line
from search.mirror.bulk import add_trials, read_trials
from search.propose.asking import distributions, point_of
from search.propose.sampler import quiet_optuna
from search.rebuild import LINE
from search.space import Space

#: Attribute of a study: the run whose copy it is.
RUN = "run"


class MirroredStudies:
    """Writes results into the studies of a storage.

    Args:
        storage: of Optuna.
        name: of the study.
        space: the candidates.
        objectives: give directions and metric names.
        run: whose copies they are, where a storage serves many; "" asks nobody.
    """

    def __init__(
        self,
        storage: optuna.storages.RDBStorage,
        name: str,
        space: Space,
        objectives: Sequence[Objective],
        run: str = "",
    ) -> None:
        self._storage = storage
        self._name = name
        self._space = space
        self._objectives = tuple(objectives)
        self._run = run
        self._distributions = distributions(space)
        self._studies: dict[Stage, optuna.Study] = {}

    def close(self) -> None:
        """Release the storage."""
        self._studies.clear()
        self._storage.remove_session()
        self._storage.engine.dispose()

    def sync(self, results: Sequence[Result]) -> None:
        """Make the studies hold exactly these results.

        Raises:
            ConfigError: a study of that name is of another run.
            Exception: of Optuna, SQLAlchemy or the database.
        """
        for stage in get_args(Stage):
            wanted = [result for result in results if result.stage == stage]
            if wanted or self._study_name(stage) in self._names():
                self._sync_stage(stage, wanted)

    def add(self, results: Sequence[Result]) -> None:
        """Append results that are in the ledger, in its order.

        Raises:
            ConfigError, Exception: as for `sync`.
        """
        for stage in get_args(Stage):
            wanted = [result for result in results if result.stage == stage]
            if wanted:
                with quiet_optuna():
                    add_trials(self._storage, self._study(stage), [self._trial(result) for result in wanted])

    def _sync_stage(self, stage: Stage, wanted: Sequence[Result]) -> None:
        with quiet_optuna():
            study = self._study(stage)
            present = self._present(study, wanted)
            if present is None:
                self._studies.pop(stage)
                optuna.delete_study(study_name=self._study_name(stage), storage=self._storage)
                study, present = self._study(stage), 0
            add_trials(self._storage, study, [self._trial(result) for result in wanted[present:]])

    def _present(self, study: optuna.Study, wanted: Sequence[Result]) -> int | None:
        """How many of the results are there; None where something else is."""
        directions = [direction.name.lower() for direction in study.directions]
        if directions != [objective.direction for objective in self._objectives]:
            return None
        rows = read_trials(self._storage, study, LINE)
        if rows is None:  # tables that are not known
            present = study.get_trials(deepcopy=False)
            return len(present) if self._follows(study, present, wanted) else None
        if len(rows) > len(wanted):
            return None
        expected = {name: distribution_to_json(d) for name, d in self._distributions.items()}
        for row, result in zip(rows, wanted, strict=False):
            values = self._values(result) or []
            if (row.state, row.note, row.values) != (_state(result).name, to_line(result.to_dict()), values):
                return None
            if row.distributions != expected:
                return None
        return len(rows)

    def _follows(self, study: optuna.Study, present: Sequence[FrozenTrial], wanted: Sequence[Result]) -> bool:
        """The trials are those of the first results."""
        if len(present) > len(wanted):
            return False
        return all(
            trial.state == _state(result)
            and trial.user_attrs.get(LINE) == to_line(result.to_dict())
            and (trial.values or None) == self._values(result)
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
            self._claim(study)
            study.set_metric_names([objective.name for objective in self._objectives])
            self._studies[stage] = study
        return self._studies[stage]

    def _claim(self, study: optuna.Study) -> None:
        """The study is ours: of this run, or of nobody and empty.

        Raises:
            ConfigError: it is somebody else's.
        """
        if not self._run or study.user_attrs.get(RUN) == self._run:
            return
        if RUN in study.user_attrs or study.get_trials(deepcopy=False):
            raise ConfigError(
                f"study {study.study_name!r} there is of {study.user_attrs.get(RUN, 'somebody else')}, not of "
                f"{self._run}: it is left alone. Choose another name, or delete it there."
            )
        study.set_user_attr(RUN, self._run)

    def _trial(self, result: Result) -> FrozenTrial:
        notes = {"number": result.number, "key": result.key, "origin": result.origin, **result.costs}
        notes |= {LINE: to_line(result.to_dict())}
        if result.is_done:
            notes |= {"correct": result.correct, "total": result.total, "checkpoint": result.checkpoint}
        else:
            notes |= {"error": result.error}
        return optuna.trial.create_trial(
            state=_state(result),
            params=point_of(self._space, result),
            distributions=self._distributions,
            values=self._values(result),
            user_attrs=notes,
        )

    def _values(self, result: Result) -> list[float] | None:
        return [objective.value(result) for objective in self._objectives] if result.is_done else None


def _state(result: Result) -> TrialState:
    return TrialState.COMPLETE if result.is_done else TrialState.FAIL
