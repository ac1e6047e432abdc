"""`FrontSampler` in somebody's own Optuna study, and Optuna's samplers by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hwmodel.errors import ConfigError
from search.propose import SAMPLERS
from search.propose.sampler import FrontSampler, layout_of, optuna_sampler, quiet_optuna

SIZES = {"a": 4, "b": 9, "c": 2}
BITS = (2, 4, 8)
SPACE: dict[str, BaseDistribution] = {name: CategoricalDistribution(BITS) for name in SIZES}


def bits(params: Mapping[str, Any]) -> tuple[float]:
    return (sum(size * params[name] for name, size in SIZES.items()) / sum(SIZES.values()),)


def objective(trial: optuna.Trial) -> tuple[float, float]:
    params = {name: trial.suggest_categorical(name, BITS) for name in SIZES}
    return 0.95 - sum(0.2 / int(width) ** 2 for width in params.values()), bits(params)[0]


def make_study(sampler: FrontSampler, storage: str | None = None) -> optuna.Study:
    with quiet_optuna():
        return optuna.create_study(
            directions=["maximize", "minimize"], sampler=sampler, storage=storage, study_name="own",
            load_if_exists=True,
        )  # fmt: skip


def params_of(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def test_it_works_in_an_own_study_and_never_repeats() -> None:
    study = make_study(FrontSampler(bits, distributions=SPACE))
    study.optimize(objective, n_trials=20)
    rows = [tuple(params[name] for name in SIZES) for params in params_of(study)]
    assert rows[0] == (8, 8, 8), "the most precise first"
    assert len(set(rows)) == 20
    reached = {tuple(trial.values) for trial in study.best_trials}
    with quiet_optuna():
        whole = optuna.create_study(directions=["maximize", "minimize"], sampler=optuna.samplers.GridSampler(
            {name: list(BITS) for name in SIZES}))  # fmt: skip
        whole.optimize(objective, n_trials=27)
    exact = {tuple(trial.values) for trial in whole.best_trials}
    assert len(reached & exact) >= 0.9 * len(exact)


def test_a_study_in_a_database_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'own.db'}"
    whole = make_study(FrontSampler(bits, distributions=SPACE, seed=3))
    whole.optimize(objective, n_trials=14)
    for _ in range(2):
        part = make_study(FrontSampler(bits, distributions=SPACE, seed=3), url)
        part.optimize(objective, n_trials=7)
    assert params_of(part) == params_of(whole)


def test_trials_under_way_are_not_proposed_again() -> None:
    study = make_study(FrontSampler(bits, distributions=SPACE))
    study.optimize(objective, n_trials=7)
    waiting = [study.ask(SPACE) for _ in range(6)]
    rows = [tuple(trial.params.values()) for trial in [*study.trials[:7], *waiting]]
    assert len(set(rows)) == 13
    study.tell(waiting[0], state=optuna.trial.TrialState.FAIL)
    assert tuple(study.ask(SPACE).params.values()) not in rows, "a failed one is not tried again either"


def test_without_a_space_it_learns_it_from_the_first_trial() -> None:
    study = make_study(FrontSampler(bits))
    study.optimize(objective, n_trials=6)
    assert len({tuple(params.values()) for params in params_of(study)}) == 6


def test_measured_rises_and_the_place_of_the_accuracy() -> None:
    def turned(trial: optuna.Trial) -> tuple[float, float]:
        accuracy, cost = objective(trial)
        return cost, accuracy

    rises = {name: [1.0, 0.2, 0.0] for name in SIZES} | {"c": [5.0, 3.0, 0.0]}
    sampler = FrontSampler(bits, distributions=SPACE, rises=rises, accuracy=1)
    with quiet_optuna():
        study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
    study.optimize(turned, n_trials=6)
    assert sum(params["c"] == 8 for params in params_of(study)) >= 4, "narrowing c is said to cost much"
    with pytest.raises(ConfigError, match="rises: 'a' must have 3 values, one per option, but got 2"):
        make_study(FrontSampler(bits, distributions=SPACE, rises={"a": [1.0, 0.0]})).ask(SPACE)


def test_a_parameter_outside_the_space_is_drawn_by_its_trial() -> None:
    def wider(trial: optuna.Trial) -> tuple[float, float]:
        trial.suggest_float("lr", 0.01, 0.1)
        return objective(trial)

    rates = []
    for _ in range(2):
        study = make_study(FrontSampler(bits, distributions=SPACE, seed=1))
        study.optimize(wider, n_trials=5)
        rates.append([params["lr"] for params in params_of(study)])
    assert rates[0] == rates[1] and len(set(rates[0])) == 5


def test_layouts() -> None:
    layout = layout_of({"i": IntDistribution(2, 6, step=2), "f": FloatDistribution(0.0, 0.5, step=0.25)})
    assert layout.params((2, 1)) == {"f": 0.5, "i": 4}, "in the order of the names"
    assert layout.row({"i": 4, "f": 0.5, "other": 1}) == (2, 1)
    assert layout.row({"i": 5, "f": 0.5}) is None and layout.row({"i": 4}) is None
    with pytest.raises(ConfigError, match="x: must have a finite list of values"):
        layout_of({"x": FloatDistribution(0, 1)})
    with pytest.raises(ConfigError, match="costs must be a function"):
        make_study(FrontSampler(distributions=SPACE)).ask(SPACE)


@pytest.mark.parametrize("name", SAMPLERS[1:])
def test_optunas_samplers_by_name(name: str) -> None:
    with quiet_optuna():
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=optuna_sampler(name, 0))
        study.optimize(objective, n_trials=3)
    with pytest.raises(ConfigError, match="sampler"):
        optuna_sampler("frond", 0)
