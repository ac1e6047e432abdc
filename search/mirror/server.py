"""A copy of the ledger on a database server, for a whole lab to look at (`optuna-dashboard postgresql://...`).

Nothing depends on it: a server that is away, full or slow is told of once and asked again from time to time, and
then catches up with everything that it missed.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from hwmodel.errors import ConfigError
from search.front.objective import Objective
from search.front.results import Result
from search.mirror.studies import MirroredStudies
from search.observer import Observer
from search.propose.sampler import quiet_optuna
from search.space import Space

#: Between two tries to reach a server that is away [s].
RETRY_S = 60.0
#: A server that does not answer for so long is away [s].
_PATIENCE_S = 5
#: Dialect -> the driver that the extras of this package bring.
_DRIVERS = {"postgresql": "postgresql+psycopg"}


@dataclass(frozen=True)
class MirrorTarget:
    """A server, as `postgresql://USER@HOST/DATABASE`; passwords are better kept in PostgreSQL's own `.pgpass`.

    Attributes:
        url: with the driver.
    """

    url: URL

    @classmethod
    def parse(cls, text: str) -> Self:
        """From what a user wrote.

        Raises:
            ConfigError: it is no URL, or its driver is not installed.
        """
        fix = "Write postgresql://USER@HOST/DATABASE."
        try:
            url = make_url(text)
        except ArgumentError:
            raise ConfigError(f"mirror: must be the URL of a database server, but is not. {fix}") from None
        url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
        try:
            create_engine(url).dispose()
        except NoSuchModuleError:
            raise ConfigError(f"mirror: no database is called {url.drivername!r}. {fix}") from None
        except ImportError as error:
            raise ConfigError(
                f"mirror: {url.get_backend_name()} needs a driver ({error}). pip install 'hwmodel[postgresql]'"
            ) from error
        return cls(url)

    def __str__(self) -> str:
        """Without the password."""
        return self.url.render_as_string(hide_password=True)


class ServerMirror:
    """Keeps the studies of a run on a server, as well as it can; no method of it fails.

    Args:
        target: the server.
        folder: of the run; with the name of this machine it says whose the studies there are.
        name: of the study.
        space: the candidates.
        objectives: give directions and metric names.
        observer: is told when the server goes away, and when it is back.
    """

    def __init__(
        self,
        target: MirrorTarget,
        folder: Path,
        name: str,
        space: Space,
        objectives: Sequence[Objective],
        observer: Observer,
    ) -> None:
        self._target = target
        self._of = (name, space, tuple(objectives), f"{platform.node()}:{folder.resolve()}")
        self._observer = observer
        self._results: list[Result] = []
        self._studies: MirroredStudies | None = None
        self._is_behind = False
        self._is_refused = False
        self._tried_at = -float("inf")

    def sync(self, results: Sequence[Result]) -> None:
        """Make the studies there hold exactly these results."""
        self._results = list(results)
        self._try_sync()

    def add(self, result: Result) -> None:
        """Append one result; where the server missed some, all of them, once it answers again."""
        self._results.append(result)
        if self._studies is None or self._is_behind:
            if time.monotonic() - self._tried_at >= RETRY_S:
                self._try_sync()
            return
        try:
            self._studies.add([result])
        except Exception as error:  # a database fails in any way, and the ledger holds everything
            self._gone(error)

    def close(self) -> None:
        """Try once more to catch up, and leave."""
        if self._is_behind:
            self._try_sync()
        self._release()

    def _try_sync(self) -> None:
        if self._is_refused:
            return
        self._tried_at = time.monotonic()
        try:
            with quiet_optuna():
                if self._studies is None:
                    self._studies = MirroredStudies(_storage(self._target.url), *self._of)
                self._studies.sync(self._results)
        except ConfigError as error:  # another run's: no time changes that
            self._is_refused = True
            self._release()
            self._observer.message(f"mirror {self._target}: {error}")
            return
        except Exception as error:  # as above
            self._gone(error)
            return
        if self._is_behind:
            self._is_behind = False
            self._observer.message(f"mirror {self._target}: is back, and holds all {len(self._results)} results.")

    def _gone(self, error: Exception) -> None:
        self._release()
        if not self._is_behind:
            self._observer.message(
                f"mirror {self._target}: is away ({_reason(error)}). The search goes on; "
                "it catches up when it is back."
            )
        self._is_behind = True
        self._tried_at = time.monotonic()

    def _release(self) -> None:
        studies, self._studies = self._studies, None
        if studies is not None:
            try:
                studies.close()
            except Exception:  # a connection that is gone may refuse to be closed
                return


def _reason(error: BaseException) -> str:
    """What the database says, in one line, without what SQLAlchemy and Optuna say around it."""
    while isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _storage(url: URL) -> optuna.storages.RDBStorage:
    """A storage that gives up on a server that does not answer."""
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.get_backend_name() == "postgresql":
        limit_ms = 1000 * _PATIENCE_S
        options["connect_args"] = {
            "connect_timeout": _PATIENCE_S,
            "tcp_user_timeout": limit_ms,
            "options": f"-c statement_timeout={limit_ms} -c lock_timeout={limit_ms}",
        }
    return optuna.storages.RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=options)
