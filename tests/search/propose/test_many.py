"""Costs of many picks equal those of single candidates, and points and picks are two names of the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hwmodel import CostTable, load_accelerator
from hwmodel.errors import ConfigError
from search.propose.many import ManyCosts, layout_of
from search.propose.pricing import Pricer, Table
from search.space import Space
from tests.search.helpers import ToyTable, make_graph
from workloads.compress.config import CompressionConfig

GRAPH = make_graph()
SPACES = {
    "bits": Space.from_graph(GRAPH),
    "all": Space.from_graph(
        GRAPH, w_bits=(2, 4, 8), a_bits=(4, 8), density=(0.25, 0.5, 1.0), frozen={"fc": "float"}
    ),
    "filters": Space.from_graph(GRAPH, density=(0.5, 1.0), pattern="filter", groups={"rest": ["layer*"]}),
}
PLAIN = ("avg_w_bits", "weight_bits", "bops")
ON_CHIP = (*PLAIN, "energy_pj", "latency_s", "cycles", "memory_bits")


def some_rows(space: Space, count: int = 25) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(size, size=count) for size in layout_of(space).sizes], axis=1)


def config_of(space: Space, row: Sequence[int]) -> CompressionConfig:
    return space.config(layout_of(space).params(row))


@pytest.mark.parametrize("name", SPACES)
def test_points_and_picks_translate(name: str) -> None:
    space = SPACES[name]
    layout, rows = layout_of(space), some_rows(space)
    points = [layout.params(row) for row in rows.tolist()]
    assert layout.rows(points).tolist() == rows.tolist()
    for point, row in zip(points, rows.tolist(), strict=True):
        assert set(point) == {parameter.name for parameter in space.parameters}
        config = space.config(point)
        for group, choices, pick in zip(space.groups, space.group_choices, row, strict=True):
            assert {config.layers[module].choice for module in group.modules} == {choices[pick]}
    lacking = dict(list(points[0].items())[1:])
    assert layout.row(lacking) is None
    with pytest.raises(ConfigError, match=r"candidate: .* is not in the space"):
        layout.rows([points[0], lacking])


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("chip", ["", "eyeriss", "edge_npu"])
def test_many_costs_are_those_of_each(name: str, chip: str) -> None:
    space = SPACES[name]
    table: Table | None = None
    if chip:
        table = CostTable.build(GRAPH, load_accelerator(chip), space.choices())
    pricer, keys = Pricer(GRAPH, table), ON_CHIP if chip else PLAIN
    rows = some_rows(space)
    found = ManyCosts(pricer, space, keys)(rows)
    for row, costs in zip(rows.tolist(), found, strict=True):
        expected = pricer.costs(config_of(space, row))
        assert costs == pytest.approx([expected[key] for key in keys], rel=1e-12)


def test_a_table_of_the_users_own_is_asked_one_by_one() -> None:
    pricer, space = Pricer(GRAPH, ToyTable()), SPACES["bits"]
    rows = some_rows(space, 5)
    found = ManyCosts(pricer, space, ("energy_pj", "avg_w_bits"))(rows)
    for row, costs in zip(rows.tolist(), found, strict=True):
        expected = pricer.costs(config_of(space, row))
        assert costs.tolist() == [expected["energy_pj"], expected["avg_w_bits"]]


def test_several_chips_have_keys_of_their_own() -> None:
    space = SPACES["bits"]
    tables = {
        name: CostTable.build(GRAPH, load_accelerator(name), space.choices()) for name in ("eyeriss", "edge_npu")
    }
    pricer = Pricer(GRAPH, tables)
    rows = some_rows(space, 5)
    keys = ("energy_pj", "energy_pj@edge_npu", "latency_s@edge_npu")
    found = ManyCosts(pricer, space, keys)(rows)
    for row, costs in zip(rows.tolist(), found, strict=True):
        config = config_of(space, row)
        both = pricer.costs(config)
        assert costs.tolist() == [both[key] for key in keys]
        alone = Pricer(GRAPH, tables["edge_npu"]).costs(config)
        assert both["energy_pj@edge_npu"] == alone["energy_pj"] != both["energy_pj"]
        assert "avg_w_bits@edge_npu" not in both
    with pytest.raises(
        ConfigError, match=r"needs the accelerator 'edge_npo', but there are eyeriss, edge_npu\. .*edge_npu"
    ):
        ManyCosts(pricer, space, ("energy_pj@edge_npo",))


def test_a_cost_that_needs_a_chip_is_refused_without_one() -> None:
    with pytest.raises(ConfigError, match="costs: 'energy_pj' cannot be priced here"):
        ManyCosts(Pricer(GRAPH, None), SPACES["bits"], ("energy_pj",))
