"""Many finished trials written into a database of Optuna in one transaction.

Optuna writes one parameter and one attribute at a time, 10 to 60 ms per trial. Here the rows of its tables are
written as Optuna would write them; where the tables are not the ones known here (another version of Optuna), it
writes them itself.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, MetaData, Table, insert, select
from sqlalchemy.exc import InvalidRequestError

#: Table -> the columns that are written.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "trials": ("trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"),
    "trial_params": ("param_id", "trial_id", "param_name", "param_value", "distribution_json"),
    "trial_values": ("trial_value_id", "trial_id", "objective", "value", "value_type"),
    "trial_user_attributes": ("trial_user_attribute_id", "trial_id", "key", "value_json"),
}

Rows = list[dict[str, Any]]


def add_trials(storage: optuna.storages.RDBStorage, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
    """Append finished trials with finite values to a study.

    Args:
        storage: that holds the study.
        study: of it.
        trials: of `optuna.trial.create_trial`, without intermediate values and system attributes.

    Raises:
        Exception: of SQLAlchemy or the database; then none of them is there.
    """
    if not trials:
        return
    tables = _tables(storage.engine)
    if tables is None:
        study.add_trials(trials)
        return
    with storage.engine.begin() as connection:
        _write(connection, tables, study._study_id, trials)


@dataclass(frozen=True)
class TrialRow:
    """What a database holds of one trial.

    Attributes:
        state: by its name.
        values: of the objectives, in their order.
        note: one of its attributes; None where it has none.
        distributions: parameter -> its distribution as JSON.
    """

    state: str
    values: list[float]
    note: Any
    distributions: Mapping[str, str]


def read_trials(storage: optuna.storages.RDBStorage, study: optuna.Study, note: str) -> list[TrialRow] | None:
    """The trials of a study by number; None where the tables are not those known here.

    Args:
        storage: that holds the study.
        study: of it.
        note: the attribute to read.
    """
    tables = _tables(storage.engine)
    if tables is None:
        return None
    trials, attributes = tables["trials"], tables["trial_user_attributes"]
    with storage.engine.connect() as connection:
        own = select(trials.c.trial_id, trials.c.state).where(trials.c.study_id == study._study_id)
        heads = connection.execute(own.order_by(trials.c.number)).all()
        ids = select(trials.c.trial_id).where(trials.c.study_id == study._study_id)
        values: dict[int, dict[int, float]] = {}
        table = tables["trial_values"]
        for trial_id, index, value in connection.execute(
            select(table.c.trial_id, table.c.objective, table.c.value).where(table.c.trial_id.in_(ids))
        ):
            values.setdefault(trial_id, {})[index] = value
        wanted = select(attributes.c.trial_id, attributes.c.value_json).where(
            attributes.c.trial_id.in_(ids), attributes.c.key == note
        )
        notes = {trial_id: json.loads(text) for trial_id, text in connection.execute(wanted)}
        table = tables["trial_params"]
        params: dict[int, dict[str, str]] = {}
        for trial_id, name, text in connection.execute(
            select(table.c.trial_id, table.c.param_name, table.c.distribution_json).where(table.c.trial_id.in_(ids))
        ):
            params.setdefault(trial_id, {})[name] = text
    return [
        TrialRow(
            state=str(getattr(state, "name", state)),
            values=[value for _, value in sorted(values.get(trial_id, {}).items())],
            note=notes.get(trial_id),
            distributions=params.get(trial_id, {}),
        )
        for trial_id, state in heads
    ]


def _tables(engine: sqlalchemy.Engine) -> dict[str, Table] | None:
    """The tables, where they are those known here."""
    metadata = MetaData()
    try:
        metadata.reflect(engine, only=list(_COLUMNS))
    except InvalidRequestError:  # one is missing
        return None
    found = {name: metadata.tables[name] for name in _COLUMNS}
    is_known = all(tuple(found[name].columns.keys()) == columns for name, columns in _COLUMNS.items())
    return found if is_known else None


def _write(
    connection: Connection, tables: Mapping[str, Table], study_id: int, trials: Sequence[FrozenTrial]
) -> None:
    table = tables["trials"]
    present = connection.execute(
        select(sqlalchemy.func.count()).select_from(table).where(table.c.study_id == study_id)
    ).scalar_one()
    now = datetime.datetime.now()
    heads: Rows = [
        {
            "number": present + offset, "study_id": study_id, "state": trial.state.name,
            "datetime_start": trial.datetime_start or now, "datetime_complete": trial.datetime_complete or now,
        }
        for offset, trial in enumerate(trials)
    ]  # fmt: skip
    wanted = insert(table).returning(table.c.trial_id, sort_by_parameter_order=True)
    numbers = [row[0] for row in connection.execute(wanted, heads)]
    params: Rows = []
    values: Rows = []
    notes: Rows = []
    for trial_id, trial in zip(numbers, trials, strict=True):
        for name, value in trial.params.items():
            distribution = trial.distributions[name]
            params.append(
                {
                    "trial_id": trial_id, "param_name": name, "distribution_json": _json_of(distribution),
                    "param_value": distribution.to_internal_repr(value),
                }
            )  # fmt: skip
        for index, number in enumerate(trial.values or ()):
            values.append({"trial_id": trial_id, "objective": index, "value": number, "value_type": "FINITE"})
        for key, note in trial.user_attrs.items():
            notes.append({"trial_id": trial_id, "key": key, "value_json": json.dumps(note)})
    for name, rows in (("trial_params", params), ("trial_values", values), ("trial_user_attributes", notes)):
        if rows:
            connection.execute(insert(tables[name]), rows)


def _json_of(distribution: optuna.distributions.BaseDistribution) -> str:
    return distribution_to_json(distribution)
