"""The Optuna studies of a run: a copy of the ledger in `study.db` that Optuna's own tools open unmodified.

The copy is brought up to date when a run is opened and after each result (of those scored within one second, after
the last), so a crash between ledger and database loses nothing. Whatever does not follow from the ledger (a trial
left running by another program, a space that has grown) has the study rebuilt; a file that is no database is put
aside.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from search.front.objective import Objective
from search.front.results import Result
from search.guard.interrupts import interrupts_deferred
from search.mirror.server import ServerMirror
from search.mirror.studies import MirroredStudies
from search.propose.sampler import quiet_optuna
from search.rebuild import DATABASE, is_sound
from search.space import Space

#: The database lags behind the ledger by so long at most [s].
LAG_S = 1.0


class OptunaMirror:
    """Writes results into the Optuna studies of a run folder. Close it, or use it in a `with` block.

    Args:
        folder: of the run.
        name: of the study.
        space: the candidates.
        objectives: give directions and metric names.
        server: is kept up to date too, and closed with it; None is no server.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        space: Space,
        objectives: Sequence[Objective],
        server: ServerMirror | None = None,
    ) -> None:
        self._of = (name, space, objectives)
        self._path = folder / DATABASE
        self._server = server
        self._studies = MirroredStudies(_open(self._path), *self._of)
        self._waiting: list[Result] = []
        self._written_at = -LAG_S

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None or issubclass(kind, KeyboardInterrupt):
                self.flush()
        finally:
            self.close()

    def close(self) -> None:
        """Release the database."""
        self._studies.close()
        if self._server is not None:
            self._server.close()

    def sync(self, results: Sequence[Result]) -> None:
        """Make the studies hold exactly these results; a copy that cannot be read is put aside and made again.

        Raises:
            OSError: it cannot be written.
        """
        with _as_os_error(self._path):
            try:
                self._studies.sync(results)
            except OSError:
                raise
            except Exception:  # rows that are not Optuna's fail in any way; the ledger holds everything
                self._studies.close()
                _put_aside(self._path)
                self._studies = MirroredStudies(_open(self._path), *self._of)
                self._studies.sync(results)
        if self._server is not None:
            self._server.sync(results)

    def add(self, result: Result) -> None:
        """Append one result that is in the ledger, at once or within a second.

        Raises:
            OSError: it cannot be written.
        """
        self._waiting.append(result)
        if time.monotonic() - self._written_at >= LAG_S:
            self.flush()
        if self._server is not None:
            self._server.add(result)

    def flush(self) -> None:
        """Write what is not in the database yet; an interruption waits for it, or would leave the database locked.

        Raises:
            OSError: it cannot be written.
        """
        if self._waiting:
            with interrupts_deferred(), _as_os_error(self._path):
                self._studies.add(self._waiting)
                self._waiting = []
        self._written_at = time.monotonic()


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
