"""The search benchmark: its tables, its figure of merit, a short run, and what is quoted of it."""

from __future__ import annotations

import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import t as student
from torch import nn

from benchmarks import search
from benchmarks.proof.comparing import compare, mean_interval, settings_of
from benchmarks.proof.contenders import CONTENDERS, EVEN, PREDICTED, Setting, program_optima, run_search
from benchmarks.proof.drawing import draw
from benchmarks.proof.making import make_table
from benchmarks.proof.problems import SEARCHES, SmallSearch, noisy_digits
from benchmarks.proof.tables import FOLDER, Table, read_table
from hwmodel.errors import ConfigError
from search import Space
from workloads import trace
from workloads.training import TrainSettings

ROOT = Path(__file__).parents[2]
TABLES = sorted(path.stem for path in FOLDER.glob("*.npz"))


class Three(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, stride=2), nn.Conv2d(4, 6, 3)
        self.fc = nn.Linear(6, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.second(self.first(x).relu()).relu().mean((2, 3)))


def small_table() -> Table:
    """27 candidates whose accuracies follow a formula: 0.9 less what each narrow layer costs."""
    graph = trace(Three(), torch.zeros(1, 1, 8, 8))
    space = Space.from_graph(graph, w_bits=(2, 4, 8), frozen=None)
    losses = [(0.2, 0.05, 0.0), (0.1, 0.02, 0.0), (0.3, 0.1, 0.0)]
    summed = np.array([sum(choice) for choice in itertools.product(*losses)])
    accuracy = np.rint(1000 * (0.9 - summed)).astype(np.int32)
    facts = {
        "name": "small", "images": 1000, "chance": 0.1, "accelerator": "edge_npu",
        "ptq_seconds": 0.5, "qat_seconds": 10.0,
    }  # fmt: skip
    qat = np.stack([accuracy + 4, accuracy - 4], axis=1)
    return Table(space=space, graph=graph, ptq=accuracy - 50, qat=qat, facts=facts)


@pytest.fixture(scope="module")
def setting() -> Setting:
    return next(settings_of(small_table()))


# ---- tables ---------------------------------------------------------------------------------------


def test_a_table_comes_back_as_it_was_written(tmp_path):
    table = small_table()
    again = read_table(table.write(tmp_path / "t.npz"))
    assert (again.ptq == table.ptq).all()
    assert (again.qat == table.qat).all()
    assert again.space.to_dict() == table.space.to_dict()
    assert again.graph.fingerprint == table.graph.fingerprint
    assert {key: again.facts[key] for key in table.facts} == table.facts
    assert again.truth == pytest.approx(table.ptq / 1000 + 0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ptq": np.zeros(5, np.int32)}, r"`ptq \(27,\) and qat \(27, seeds\)` must hold"),
        ({"qat": np.zeros((27, 0), np.int32)}, "must hold for its space"),
        ({"ptq": np.full(27, 1001, np.int32)}, "ptq must be counts of at most 1000 images"),
        ({"qat": np.full((27, 2), 0.5)}, "qat must be counts"),
        ({"facts": np.array("{}")}, "is no table: KeyError: 'schema'"),
        ({"facts": np.array('{"schema": 0}')}, "schema must be 1, but is 0"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, change, message):
    path = small_table().write(tmp_path / "t.npz")
    with np.load(path) as found:
        arrays = dict(found) | change
    np.savez_compressed(path, **arrays)
    with pytest.raises(ConfigError, match=message):
        read_table(path)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"must be there. Make it: python benchmarks/search.py tables"):
        read_table(tmp_path / "absent.npz")
    (tmp_path / "t.npz").write_bytes(b"no")
    with pytest.raises(ConfigError, match="is no table"):
        read_table(tmp_path / "t.npz")


def test_a_draw_is_one_seed_per_candidate_and_stays():
    table = small_table()
    evaluate = table.seen_by(np.random.default_rng(0))
    first = [evaluate.qat(config, 1).correct for config in table.configs]
    assert first == [evaluate.qat(config, 2).correct for config in table.configs]
    assert all(score in pair for score, pair in zip(first, table.qat.tolist(), strict=True))
    assert 5 < sum(score == pair[0] for score, pair in zip(first, table.qat.tolist(), strict=True)) < 22
    assert [evaluate.ptq(config).correct for config in table.configs] == table.ptq.tolist()
    assert evaluate.calls == {"ptq": 27, "qat": 54}


@pytest.mark.parametrize("name", TABLES)
def test_the_committed_tables_are_complete(name):
    path = FOLDER / f"{name}.npz"
    table = read_table(path)
    assert path.stat().st_size < 200_000
    assert table.is_complete
    assert table.name == name
    assert table.qat.shape[1] >= 2
    problem = SEARCHES[name]
    graph = trace(problem.network(), torch.zeros(table.facts["input_shape"])[None])
    assert table.graph.fingerprint == graph.fingerprint, "the table is of the network that stands in problems.py"
    assert table.space.to_dict() == problem.space(graph).to_dict()
    assert table.facts["qat_settings"] == problem.qat.to_dict()
    assert {"date", "versions", "machine", "device", "data"} <= set(table.facts)


def test_making_a_table_goes_on_where_it_was(tmp_path):
    """A table with a hole is filled, and the rest is left alone."""
    tiny = SmallSearch(
        name="tiny", network=Three, data=noisy_digits,
        space=lambda graph: Space.from_graph(graph, w_bits=(2, 8), frozen=None),
        float_settings=TrainSettings.from_scratch(epochs=1), qat=TrainSettings(epochs=1, batch_size=50),
        qat_images=50,
    )  # fmt: skip
    table = make_table(tiny, tmp_path, None)
    assert table.is_complete
    expected = table.qat[3, 1]
    table.qat[3, 1], table.qat[0, 0] = -1, 7
    table.write(tmp_path / "tiny.npz")
    again = make_table(tiny, tmp_path, None)
    assert again.qat[0, 0] == 7
    assert abs(int(again.qat[3, 1]) - int(expected)) < 50, "the same seed again, up to rounding"
    with pytest.raises(ConfigError, match="was made with other qat_settings"):
        make_table(SmallSearch(**vars(tiny) | {"qat": TrainSettings(epochs=2)}), tmp_path, None)


# ---- the figure of merit ---------------------------------------------------------------------------


def test_the_share_is_that_of_two_areas(setting):
    """By hand: boxes above the accuracy of guessing, left of the most precise candidate."""

    def area(rows: list[int]) -> float:
        total, best = 0.0, 0.1
        for row in sorted(rows, key=lambda r: (setting.costs[r], -setting.table.truth[r])):
            if setting.table.truth[row] > best and setting.costs[row] < setting.costs[-1]:
                total += (setting.costs[-1] - setting.costs[row]) * (setting.table.truth[row] - best)
                best = setting.table.truth[row]
        return total

    everything = list(range(27))
    assert setting.share(everything) == pytest.approx(1)
    for rows in ([0], [3, 14], [26], [0, 13, 20, 25, 26]):
        assert setting.share(rows) == pytest.approx(area(rows) / area(everything))


def test_costs_are_those_of_the_rows(setting):
    sizes = np.array([36, 216, 60])
    bits = np.array(list(itertools.product((2, 4, 8), repeat=3)))
    assert setting.costs == pytest.approx(bits @ sizes / sizes.sum())


def test_the_interval_is_students():
    low, high = mean_interval([0.9, 0.92, 0.97])
    half = student.ppf(0.975, 2) * np.std([0.9, 0.92, 0.97], ddof=1) / math.sqrt(3)
    assert (low, high) == pytest.approx((0.93 - half, 0.93 + half), abs=1e-5)
    assert mean_interval([0.9]) == (None, None)


# ---- contenders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_every_contender_spends_its_runs(contender, setting, tmp_path):
    course = run_search(setting, contender, 6, 0, tmp_path / "study")
    assert len(course.shares) == 6
    assert course.evaluate.calls["qat"] == 6
    assert all(0 <= share <= 1 for share in course.shares)
    assert course.seconds[-1] - course.seconds[0] > 50, "five runs of ten seconds, which were looked up"
    assert course.seconds == sorted(course.seconds)


def test_all_runs_find_nearly_all(setting, tmp_path):
    """Optuna's front is of measurements, ours of means; with every candidate run both are nearly exact."""
    contender = next(c for c in CONTENDERS if c.name == "random")
    assert run_search(setting, contender, 27, 0, tmp_path / "random").shares[-1] > 0.99
    assert run_search(setting, CONTENDERS[0], 27, 0, tmp_path / "front").shares[-1] > 0.99


def test_the_programs_optima_are_optima(setting, tmp_path):
    """No candidate that costs no more has a smaller summed rise than an optimum of the program."""
    optima = []

    def keep(problem, runs):
        optima.append((problem, program_optima(problem)))
        return optima[0][1][:1]

    run_search(
        setting, CONTENDERS[1].__class__(name="x", sampler="random", runs=1, choose=keep), 1, 0, tmp_path / "s"
    )
    problem, picks = optima[0]
    everything = np.array(list(itertools.product(range(3), repeat=3)))
    costs, rises = problem.costs(everything)[:, 0], problem.prior.totals(everything).sum(axis=1)
    for pick in picks:
        cost, rise = problem.costs(pick[None])[0, 0], problem.prior.totals(pick[None]).sum()
        assert rise <= rises[costs <= cost + 1e-9].min() + 1e-9


def test_a_short_comparison(setting):
    rows = compare(setting, next(c for c in CONTENDERS if c.name == PREDICTED), 2)
    assert [row["runs"] for row in rows] == [1, 2, 4, 6, 8, 10, 12, 15, 20, 25]
    assert all(len(row["shares"]) == 2 and row["low"] <= row["mean"] <= row["high"] for row in rows)
    ax = draw([*rows, *compare(setting, CONTENDERS[0], 1)])
    assert [line.get_label() for line in ax.lines] == ["hwmodel", "integer program, by predicted hypervolume"]


def test_the_command_compares(monkeypatch, tmp_path, capsys):
    small_table().write(tmp_path / "small.npz")
    monkeypatch.setattr(search, "FOLDER", tmp_path)
    assert search.main(["--repeats", "1", "--contenders", "front", "random"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[:3]] == [
        ["small", "avg_w_bits", "front", "12"], ["small", "avg_w_bits", "front", "20"],
        ["small", "avg_w_bits", "random", "12"],
    ]  # fmt: skip


def test_an_unfinished_table_is_not_compared(monkeypatch, tmp_path, capsys):
    table = small_table()
    table.qat[3, 1] = -1
    table.write(tmp_path / "small.npz")
    monkeypatch.setattr(search, "FOLDER", tmp_path)
    with pytest.raises(SystemExit):
        search.main(["--repeats", "1"])
    assert "`tables` must be complete, but small is not" in capsys.readouterr().err


# ---- what is quoted ------------------------------------------------------------------------------


def stored_rows():
    return json.loads((ROOT / "benchmarks" / "results" / "search.json").read_text())["rows"]


def test_the_tables_of_the_page_are_the_stored_ones():
    page = (ROOT / "docs" / "explain" / "proposing.md").read_text()
    names = {
        "**hwmodel**": "front", "integer program, by predicted hypervolume": PREDICTED,
        "integer program, evenly": EVEN,
        "TPE": "tpe", "NSGA-II": "nsga2", "Optuna's GP": "gp", "random": "random",
    }  # fmt: skip
    means = {(r["table"], r["objective"], r["contender"], r["runs"]): 100 * r["mean"] for r in stored_rows()}
    seen = 0
    table_of = r"^\| (digits|CIFAR-10), ([^|]*) \| 12 \| 20 \| 40 \| 80 \| 200 \|\n\|[-|]+\n((?:\|.*\n)+)"
    for head in re.finditer(table_of, page, re.MULTILINE):
        table, cost = head[1].replace("CIFAR-10", "cifar10"), "energy" if "energy" in head[2] else "avg_w_bits"
        for line in head[3].splitlines():
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            for runs, cell in zip((12, 20, 40, 80, 200), cells, strict=True):
                found = means.get((table, cost, names[name], runs))
                assert cell == ("-" if found is None else f"{found:.2f}"), (table, cost, name, runs)
                seen += found is not None
    assert seen == 4 * (4 * 3 + 3 * 5), "four that spend 40 runs, three that spend 200"


def test_the_finding_of_the_readme_is_the_stored_one():
    def span(contender, runs):
        found = [100 * r["mean"] for r in stored_rows() if (r["contender"], r["runs"]) == (contender, runs)]
        return min(found), max(found)

    readme = " ".join((ROOT / "README.md").read_text().split())
    ours, tpe, nsga = span("front", 12), span("tpe", 12), span("nsga2", 200)
    assert f"has {ours[0]:.1f} to {ours[1]:.1f} % of the exact hypervolume" in readme
    assert f"TPE's {tpe[0]:.0f} to {tpe[1]:.0f} %" in readme
    assert f"NSGA-II's after 200 finetunings {nsga[0]:.1f} to {nsga[1]:.1f} %" in readme


def test_the_results_hold_together():
    """Means and intervals are those of the shares; every contender has its repetitions of every setting."""
    for row in stored_rows():
        assert len(row["shares"]) >= (4 if row["contender"] == "gp" else 10)
        assert row["mean"] == pytest.approx(np.mean(row["shares"]), abs=2e-5)
        assert (row["low"], row["high"]) == pytest.approx(mean_interval(row["shares"]), abs=2e-5)
    assert {row["contender"] for row in stored_rows()} == {contender.name for contender in CONTENDERS}


def test_the_results_are_of_the_committed_tables():
    stored = json.loads((ROOT / "benchmarks" / "results" / "search.json").read_text())
    for name, facts in stored["tables"].items():
        assert facts == dict(read_table(FOLDER / f"{name}.npz").facts)
