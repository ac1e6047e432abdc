"""A lost ledger, written again from `study.db`, which holds every line of it as an attribute of the trial.

The database is read as SQLite, without Optuna. It lags behind the ledger by what was scored within a second.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from search.jsonl import cut_torn_line, parse_line
from search.ledger import LEDGER, Ledger, RunLock, parse_result, way_out

DATABASE = "study.db"
#: Attribute of a trial: its line of the ledger.
LINE = "ledger"
#: How SQLite names what a disk, a right or a lock refuses; anything else is a damaged file.
_REFUSALS = (
    "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_IOERR",
    "SQLITE_PERM", "SQLITE_NOMEM", "SQLITE_AUTH",
)  # fmt: skip


def is_sound(path: Path) -> bool:
    """The file is a database without damage.

    Raises:
        OSError: it cannot be read at all.
    """
    return _query(path, "pragma integrity_check") == [("ok",)]


def check_not_lost(folder: Path) -> None:
    """Refuse a run whose ledger is gone or empty while its database holds results.

    Raises:
        ConfigError: so it is; the message says how to get it back.
    """
    if len(Ledger(folder)) or not _may_hold_results(folder / DATABASE):
        return
    if _lines(folder / DATABASE):
        raise ConfigError(f"{folder}: {LEDGER} is missing, but {DATABASE} holds results. {way_out(folder)}")
    raise ConfigError(
        f"{folder}: {LEDGER} is missing, and {DATABASE} beside it cannot give it back (damaged, or of an earlier "
        "version). Restore one of them, or choose a new name."
    )


def lost_note(folder: Path, num_results: int) -> str:
    """A sentence where the database holds more results than the ledger, whose end was lost; else ""."""
    path = folder / DATABASE
    lost = len(_lines(path)) - num_results if path.exists() else 0
    if lost <= 0:
        return ""
    return f"{folder / LEDGER}: its last {lost} results are lost, but {DATABASE} holds them. They are scored again."


def rebuild_ledger(folder: str | Path) -> int:
    """Write the ledger of a run again from its database; what is there is kept as `ledger.jsonl.broken`.

    A ledger that can be read and holds as much stays.

    Returns:
        The number of results in the ledger.

    Raises:
        ConfigError: the database holds no results, or not all of them.
        RunLockedError: another process writes this run.
    """
    folder = Path(folder)
    path, database = folder / LEDGER, folder / DATABASE
    if not database.exists():
        raise ConfigError(f"{folder}: holds no {DATABASE} to write {LEDGER} from. Choose a new name.")
    with RunLock(folder):
        lines = _lines(database)
        present = _readable(folder)
        if present and present >= len(lines):
            return present
        if not lines:
            raise ConfigError(f"{database}: holds no lines of a ledger, or is damaged. Choose a new name.")
        for number, line in enumerate(lines):
            place, fix = f"{database}, result {number}", "Choose a new name."
            parse_result(parse_line(line, place, fix)[0], number, place, fix)
        if path.exists():
            os.replace(path, path.with_name(f"{LEDGER}.broken"))
        write_atomic(path, "".join(f"{line}\n" for line in lines))
    return len(lines)


def _readable(folder: Path) -> int | None:
    """Results in the ledger; None where it is damaged."""
    try:
        cut_torn_line(folder / LEDGER)
        return len(Ledger(folder))
    except ConfigError:
        return None


def _may_hold_results(path: Path) -> bool:
    """The database has trials, or is too damaged to tell."""
    if not path.exists() or not path.stat().st_size:
        return False
    tables = _query(path, "select count(*) from sqlite_master where name = 'trials'")
    if tables == [(0,)]:
        return False
    return _query(path, "select count(*) from trials") != [(0,)]


def _lines(path: Path) -> list[str]:
    """Lines of the ledger in a database, by number of the result; none where it is damaged."""
    found = _query(path, f"select value_json from trial_user_attributes where key = '{LINE}'") or []
    try:
        lines = [str(json.loads(value)) for (value,) in found]
        return sorted(lines, key=lambda line: int(json.loads(line)["number"]))
    except (ValueError, KeyError, TypeError):
        return []


def _query(path: Path, text: str) -> list[tuple[Any, ...]] | None:
    """Rows of a database; None where it is damaged."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute(text).fetchall()
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(_REFUSALS):
            raise OSError(f"{path}: {error}") from error
        return None
