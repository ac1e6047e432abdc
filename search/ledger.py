"""The ledger of a run: every result, one JSON object per line, appended and synced before anyone is told.

The ledger is the truth; Optuna's database is rebuilt from it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from hwmodel.errors import ConfigError, HwModelError
from search.front.results import Result, Stage
from search.jsonl import append_line, count_bare, cut_torn_line, parse_lines
from workloads.compress.config import CompressionConfig, config_key

LEDGER = "ledger.jsonl"
LOCK = ".lock"


class RunLockedError(HwModelError):
    """Another process is writing this run."""


class RunStoppedError(HwModelError):
    """The system refused a read or a write (a full disk, a folder without rights). The run can be resumed."""


@contextlib.contextmanager
def stopping(folder: str | Path) -> Iterator[None]:
    """Within it an OSError ends the run with what is to be done. A reader who left (a closed pipe) is none such.

    Raises:
        RunStoppedError: for an OSError.
    """
    try:
        yield
    except (BrokenPipeError, InterruptedError):
        raise
    except OSError as error:
        raise RunStoppedError(
            f"{error}. What was finished is kept; then: hwmodel resume {shlex.quote(str(folder))}"
        ) from error


class RunLock:
    """Only one process writes a run at a time. Held from `__enter__` to `__exit__`, or until the process dies.

    The system holds the lock on the file NAME (`filelock`: on POSIX and on Windows); NAME.pid beside it says who.

    Raises:
        RunLockedError: (on enter) another process, or another study of this one, holds it.
    """

    def __init__(self, folder: str | Path, name: str = LOCK) -> None:
        self._folder = Path(folder)
        self._lock = FileLock(self._folder / name, timeout=0)
        self._owner = self._folder / f"{name}.pid"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout:
            raise RunLockedError(
                f"{self._folder}: is being written by process {self._owner_text()}. "
                "Wait until it ends or stop it, or choose a new name."
            ) from None
        try:
            self._owner.write_text(str(os.getpid()), encoding="ascii")
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owner.unlink(missing_ok=True)
        self._lock.release()

    def _owner_text(self) -> str:
        try:
            return self._owner.read_text(encoding="ascii").strip() or "unknown"
        except (OSError, ValueError):  # not written yet, or gone
            return "unknown"


class Ledger:
    """Append-only list of results in `FOLDER/ledger.jsonl`.

    Reading needs no lock; `append` is for the process that holds the `RunLock`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / LEDGER
        self._results: list[Result] = []
        self.reload()

    @property
    def results(self) -> tuple[Result, ...]:
        """Every result, by number."""
        return tuple(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    @property
    def note(self) -> str:
        """What cannot be checked, a sentence; "" where every line carries a hash."""
        bare = count_bare(self.path)
        return (
            f"{self.path}: {bare} of {len(self)} lines carry no hash (an earlier version wrote them): "
            "a changed number in them cannot be noticed."
            if bare
            else ""
        )

    def stage(self, stage: Stage) -> tuple[Result, ...]:
        """The results of one stage, by number."""
        return tuple(result for result in self._results if result.stage == stage)

    def reload(self) -> None:
        """Read the file again; another process may have appended to it.

        Raises:
            ConfigError: a line other than a torn last one is not a result.
        """
        self._results = _parse(self.path)

    def append(self, result: Result) -> None:
        """Make one result durable: written and synced when this returns.

        Raises:
            ConfigError: the number of the result is not the next one.
        """
        if result.number != len(self._results):
            raise ConfigError(f"{self.path}: next number is {len(self._results)}, but got {result.number}.")
        append_line(self.path, result.to_dict())
        self._results.append(result)


def read_results(folder: str | Path) -> tuple[Result, ...]:
    """Every result of a run folder, without opening its study.

    Raises:
        ConfigError: the folder holds no ledger, or the ledger is damaged.
    """
    path = Path(folder) / LEDGER
    if not path.exists():
        raise ConfigError(f"{path.parent}: holds no {LEDGER}. Is it the folder of a run?")
    return tuple(_parse(path))


def _parse(path: Path) -> list[Result]:
    return list(_parsed(path, path.read_bytes() if path.exists() else b""))


@lru_cache(maxsize=2)
def _parsed(path: Path, content: bytes) -> tuple[Result, ...]:
    """The results of a file of this content: a study asks more than once."""
    fix = way_out(path.parent)
    return tuple(
        parse_result(item, number, f"{path}:{number + 1}", fix)
        for number, item in enumerate(parse_lines(content, path, fix))
    )


def parse_result(item: Mapping[str, Any], number: int, place: str, fix: str) -> Result:
    """The result that a line holds.

    Raises:
        ConfigError: it is none, not that of this number, or its key is not that of its configuration.
    """
    try:
        result = Result.from_dict(item)
        key = result.key
        if result.config:
            config = CompressionConfig.from_dict(result.config)
            key = key if config_key(result.config) == key else config.key
    except HwModelError as error:
        raise ConfigError(f"{place} is not a result: {error} {fix}") from error
    if result.number != number:
        raise ConfigError(f"{place} must be result {number}, but is result {result.number}. {fix}")
    if result.key != key:
        raise ConfigError(f"{place}: key must be {key}, that of its configuration, but is {result.key}. {fix}")
    return result


def way_out(folder: Path) -> str:
    """What to do about a damaged or missing ledger."""
    return (
        f"hwmodel resume {shlex.quote(str(folder))} --rebuild writes {LEDGER} again from study.db; "
        "or choose a new name."
    )


@contextlib.contextmanager
def writing(folder: str | Path) -> Iterator[Ledger]:
    """The ledger of a run, locked, repaired and up to date.

    Raises:
        RunLockedError: another process writes this run.
    """
    with RunLock(folder):
        cut_torn_line(Path(folder) / LEDGER)
        yield Ledger(folder)
