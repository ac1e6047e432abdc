"""Trials written in bulk are, to Optuna, those that it would have written itself."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from search.mirror import bulk
from search.mirror.bulk import add_trials, read_trials
from search.propose.sampler import quiet_optuna

SPACE = {"a.w_bits": CategoricalDistribution((2, 4, 8)), "b.density": CategoricalDistribution((0.5, 1.0))}


def trials() -> list[optuna.trial.FrozenTrial]:
    done = [
        optuna.trial.create_trial(
            params={"a.w_bits": bits, "b.density": 0.5}, distributions=SPACE, values=[0.1 * bits, 1e-300],
            user_attrs={"number": bits, "ledger": '{"a": "ü"}', "checkpoint": ""},
        )
        for bits in (2, 8, 4)
    ]  # fmt: skip
    failed = optuna.trial.create_trial(
        state=TrialState.FAIL,
        params={"a.w_bits": 2, "b.density": 1.0},
        distributions=SPACE,
        user_attrs={"error": "x"},
    )
    return [*done, failed]


def opened(path: Path) -> tuple[optuna.storages.RDBStorage, optuna.Study]:
    with quiet_optuna():
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        study = optuna.create_study(
            storage=storage, study_name="s", directions=["maximize", "minimize"], load_if_exists=True
        )
    return storage, study


def essence(study: optuna.Study) -> list[tuple[object, ...]]:
    return [(t.number, t.state, t.params, t.values, t.user_attrs, t.distributions) for t in study.get_trials()]


def test_optuna_reads_what_it_would_have_written(tmp_path: Path) -> None:
    _, by_optuna = opened(tmp_path / "optuna.db")
    by_optuna.add_trials(trials())
    storage, in_bulk = opened(tmp_path / "bulk.db")
    add_trials(storage, in_bulk, trials()[:1])
    add_trials(storage, in_bulk, trials()[1:])
    add_trials(storage, in_bulk, [])
    assert essence(in_bulk) == essence(by_optuna)
    assert [t.values for t in in_bulk.best_trials] == [t.values for t in by_optuna.best_trials]
    _, again = opened(tmp_path / "bulk.db")
    assert essence(again) == essence(by_optuna)
    with quiet_optuna():
        again.optimize(lambda trial: (trial.suggest_categorical("a.w_bits", (2, 4, 8)), 1.0), n_trials=1)
    assert again.trials[-1].number == 4


def test_what_is_there_is_read_by_number(tmp_path: Path) -> None:
    storage, study = opened(tmp_path / "own.db")
    with quiet_optuna():
        optuna.create_study(storage=storage, study_name="other").add_trial(optuna.trial.create_trial(value=1.0))
    add_trials(storage, study, trials())
    rows = read_trials(storage, study, "number")
    assert rows is not None
    assert [(row.state, row.values, row.note) for row in rows] == [
        ("COMPLETE", [0.1 * 2, 1e-300], 2), ("COMPLETE", [0.1 * 8, 1e-300], 8), ("COMPLETE", [0.1 * 4, 1e-300], 4),
        ("FAIL", [], None),
    ]  # fmt: skip
    assert all(set(row.distributions) == set(SPACE) for row in rows)


def test_tables_of_another_version_are_left_to_optuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, study = opened(tmp_path / "own.db")
    with storage.engine.begin() as connection:
        connection.execute(sqlalchemy.text("alter table trials add column later INTEGER"))
    assert read_trials(storage, study, "number") is None
    add_trials(storage, study, trials())
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3]
    monkeypatch.setattr(bulk, "_COLUMNS", {"absent": ()})
    assert read_trials(storage, study, "number") is None
