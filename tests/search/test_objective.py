"""Names, directions and values of objectives."""

from __future__ import annotations

import pytest

from hwmodel.errors import ConfigError
from search.front.objective import losses_of, objective_named, resolve_objectives, values_of
from tests.search.helpers import make_result


def test_names_and_cost_keys() -> None:
    assert objective_named("energy") == objective_named("energy_pj")
    assert [objective.direction for objective in resolve_objectives(["accuracy", "latency"])] == [
        "maximize",
        "minimize",
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["accuracy", "enery"], "Did you mean 'energy'"),
        (["energy", "latency"], "must hold accuracy"),
        (["accuracy"], "at least one cost"),
        (["accuracy", "energy", "energy_pj"], "given once"),
        ([], "but got none"),
    ],
)
def test_bad_objectives(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_objectives(names)


def test_losses_flip_what_is_maximised() -> None:
    axes = resolve_objectives(["accuracy", "energy"])
    results = [make_result(correct=910, energy_pj=7.0)]
    assert values_of(results, axes).tolist() == [[0.91, 7.0]]
    assert losses_of(results, axes).tolist() == [[-0.91, 7.0]]


def test_missing_cost() -> None:
    with pytest.raises(ConfigError, match="no 'energy_pj'"):
        objective_named("energy").value(make_result())
