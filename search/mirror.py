"""The Optuna studies of a run: a copy of the ledger in `study.db` that Optuna's own tools open unmodified.

Two studies in one SQLite file, `NAME-ptq` and `NAME-qat`, one trial per result in the order of the ledger.
The copy is brought up to date when a run is opened and after each result, so a crash between
ledger and database loses nothing. Whatever does not follow from the ledger (a trial left running by another
program, a space that has grown) has the study rebuilt; a file that is no database is put aside.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from search.front.objective import Objective
from search.front.results import Result, Stage
from search.jsonl import to_line
from search.propose.proposer import distributions, point_of, quiet_optuna
from search.rebuild import DATABASE, LINE, is_sound
from search.space import Space


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
        self._path = folder / DATABASE
        self._storage = _open(self._path)

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
        """Make the studies hold exactly these results; a copy that cannot be read is put aside and made again.

        Raises:
            OSError: it cannot be written.
        """
        with _as_os_error(self._path):
            try:
                self._sync(results)
            except OSError:
                raise
            except Exception:  # rows that are not Optuna's fail in any way; the ledger holds everything
                self.close()
                _put_aside(self._path)
                self._storage = _open(self._path)
                self._sync(results)

    def _sync(self, results: Sequence[Result]) -> None:
        for stage in ("ptq", "qat"):
            wanted = [result for result in results if result.stage == stage]
            if wanted or self._study_name(stage) in self._names():
                self._sync_stage(stage, wanted)

    def add(self, result: Result) -> None:
        """Append one result that is in the ledger.

        Raises:
            OSError: it cannot be written.
        """
        with quiet_optuna(), _as_os_error(self._path):
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
            study.set_metric_names([objective.name for objective in self._objectives])
            self._studies[stage] = study
        return self._studies[stage]

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


def _open(path: Path) -> optuna.storages.RDBStorage:
    url = URL.create("sqlite", database=str(path.resolve())).render_as_string()
    if path.exists() and not is_sound(path):  # damaged: it is only a copy of the ledger
        _put_aside(path)
    with quiet_optuna(), _as_os_error(path):
        try:
            return optuna.storages.RDBStorage(url)
        except DatabaseError:  # tables that are not Optuna's
            _put_aside(path)
            return optuna.storages.RDBStorage(url)


def _put_aside(path: Path) -> None:
    os.replace(path, path.with_suffix(".db.broken"))


@contextlib.contextmanager
def _as_os_error(path: Path) -> Iterator[None]:
    """Within it what the database cannot write (a full disk, a lock) is an OSError, as for every other file."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = error.__cause__ if isinstance(error, StorageInternalError) else error
        raise OSError(f"{path}: {getattr(reason, 'orig', None) or reason or error}") from error
