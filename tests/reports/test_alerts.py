"""The deciding sentence and the alerts above it, each from a run that has what it warns of."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hwmodel.chip.yamlfile import dump_yaml, read_yaml
from reports.cli import app
from reports.run.alerts import alerts, num_classes
from reports.run.findings import decision
from reports.run.folder import Run, read_run
from search.ledger import Ledger
from search.spec import SearchSpec
from tests.reports import runs
from tests.reports.conftest import make_graph
from tests.reports.runs import TOTAL, make_results, write_run
from workloads.training.accuracy import wilson_interval

Make = Callable[..., Run]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A run like the hand-written one: other counts by candidate, another float model, other keys of its file."""

    def made(correct: dict[int, int] | None = None, float_correct: int = 192, **spec: Any) -> Run:
        folder = write_run(tmp_path / f"run{len(list(tmp_path.iterdir()))}")
        if correct:
            results = [
                result.to_dict() | {"correct": correct.get(result.number, result.correct)}
                for result in make_results()
            ]
            (folder / "ledger.jsonl").unlink()
            ledger = Ledger(folder)
            for item in results:
                ledger.append(type(make_results()[0]).from_dict(item))
        (folder / "float.json").write_text(json.dumps({"correct": float_correct, "total": TOTAL}))
        path = folder / "config.yaml"
        old = read_yaml(path, SearchSpec).model_dump()
        path.write_text(dump_yaml({**old, **spec}))
        return read_run(folder)

    return made


def test_the_sentence_decides(make: Make) -> None:
    """#4 has 4 of 8 µJ; (432 * 8 + 2304 * 4 + 160 * 8) / 2896 bits; 364 of 400 on test; #5 is what is left."""
    bits = (432 * 8 + 2304 * 4 + 160 * 8) / (432 + 2304 + 160)
    other = (432 * 8 + 2304 * 2 + 160 * 8) / (432 + 2304 + 160)
    tested = wilson_interval(182, TOTAL)
    assert decision(make()) == (
        f"Deploy #4: 4.00 µJ (−50 %), {bits:.3f} bits (−{round((1 - bits / 8) * 100)} %), against uniform 8-bit; "
        f"accuracy 91.00 % on the test split (95 %: {tested}), within noise of float (92.00 %). "
        f"Next best by the same rule (knee): #5, 2.00 µJ, {other:.3f} bits, 85.00 % on validation."
    )


def test_before_its_end_a_run_has_no_decision(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "half", finished=False))
    assert decision(run).startswith("The run goes on; so far its knee is #")
    assert "on the validation split" in decision(run)


def test_an_accuracy_beyond_noise_is_said_so(make: Make) -> None:
    run = make()
    path = run.folder / "test.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    changed = [record if record["key"] == "float" else {**record, "correct": 120} for record in records]
    path.write_text("".join(json.dumps(record) + "\n" for record in changed))
    assert "32.00 points below float (92.00 %): beyond noise." in decision(read_run(run.folder))


def test_a_run_without_trouble_has_no_alerts(make: Make) -> None:
    assert alerts(make()) == []


def test_a_float_model_at_chance(make: Make) -> None:
    """Of ten classes; 30 of 200 has an interval above 10 %, 22 of 200 one that holds it."""
    assert num_classes(make_graph()) == 10
    assert alerts(make(float_correct=30)) == []
    (alert,) = alerts(make(float_correct=22))
    assert alert.startswith("The float model is at chance: 11.00 %") and "10 classes gives 10.00 %" in alert


def test_a_saturated_baseline_is_one_alert(make: Make) -> None:
    """Both members of the front and float at 94 to 96 %: ties, and said once."""
    (alert,) = alerts(make(correct={5: 187}))
    assert alert.startswith(
        "The baseline is saturated: all 2 candidates of the front tie with the float model (96.00 %)"
    )


def test_ties_are_listed(make: Make) -> None:
    """90 % ties with 94 %, and not with a float model of 99 %."""
    (alert,) = alerts(make(correct={5: 180}, float_correct=199))
    assert alert == "In accuracy the pick ties with #5 of the front: their 95 % intervals overlap."


def test_a_pick_that_was_not_finetuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "ROWS", runs.ROWS[:4])
    run = read_run(write_run(tmp_path / "ptq", finished=False))
    assert any("quantized after training only (PTQ), not finetuned" in alert for alert in alerts(run))


def test_limits_that_the_pick_misses(make: Make) -> None:
    """The pick has 4 µJ and 94 %."""
    (alert,) = alerts(make(limits={"energy": "<= 3 uJ", "latency": "<= 1 s", "accuracy": ">= 95 %"}))
    assert alert == (
        "Candidate #4 misses limits of the search: energy <= 3 µJ (it has 4 µJ); "
        "accuracy >= 95.00 % (it has 94.00 %)."
    )


@pytest.mark.usefixtures("plain_figures")
def test_open_opens_the_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "tiny")
    opened: list[str] = []

    class Recorder(webbrowser.BaseBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            opened.append(url)
            return True

    webbrowser.register("recorder", None, Recorder(), preferred=True)
    result = CliRunner().invoke(app, ["report", str(folder), "--open", "--json"])
    assert result.exit_code == 0, result.output
    assert opened == [(folder / "report.html").as_uri()]
    assert json.loads(result.stdout)["picked"] == 4
