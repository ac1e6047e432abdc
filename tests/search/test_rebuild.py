"""A ledger that is gone, and what gives it back."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hwmodel.errors import ConfigError
from search.ledger import read_results
from search.mirror.studies import MirroredStudies
from search.observer import Observer
from search.rebuild import rebuild_ledger
from search.space import Space
from search.study import Study
from tests.search.helpers import ToyScorer, make_graph
from tests.search.test_interrupt import QAT, TRIALS, essence, search


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rebuild") / "run"
    search(folder, ToyScorer())
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.mark.parametrize("how", ["gone", "empty", "torn"])
def test_a_lost_ledger_is_refused_and_comes_back_to_the_byte(run: Path, how: str) -> None:
    ledger = run / "ledger.jsonl"
    before = ledger.read_bytes()
    ledger.unlink() if how == "gone" else ledger.write_bytes(b"" if how == "empty" else before[:20])
    with pytest.raises(ConfigError, match=r"ledger\.jsonl is missing, but study\.db holds results\. .*--rebuild"):
        search(run, ToyScorer())
    assert rebuild_ledger(run) == len(before.splitlines())
    assert ledger.read_bytes() == before
    scorer = ToyScorer()
    search(run, scorer)
    assert not scorer.ptq_calls and not scorer.qat_calls


def test_a_damaged_ledger_comes_back_and_is_kept(run: Path) -> None:
    ledger = run / "ledger.jsonl"
    before = ledger.read_bytes()
    damaged = before.replace(b'"total": 1000', b'"total": 2000', 1)
    ledger.write_bytes(damaged)
    with pytest.raises(ConfigError, match=r"ledger\.jsonl:1: its content .* --rebuild"):
        search(run, ToyScorer())
    rebuild_ledger(run)
    assert ledger.read_bytes() == before
    assert (run / "ledger.jsonl.broken").read_bytes() == damaged


def test_a_ledger_that_holds_more_than_the_database_stays(run: Path) -> None:
    """As after a kill between the two: the ledger comes first."""
    before = (run / "ledger.jsonl").read_bytes()
    with closing(sqlite3.connect(run / "study.db")) as database, database:
        database.execute("delete from trial_user_attributes where trial_id = (select max(trial_id) from trials)")
    assert rebuild_ledger(run) == len(before.splitlines())
    assert (run / "ledger.jsonl").read_bytes() == before


def test_a_database_that_lacks_a_result_gives_no_ledger(run: Path) -> None:
    (run / "ledger.jsonl").unlink()
    with closing(sqlite3.connect(run / "study.db")) as database, database:
        database.execute("delete from trial_user_attributes where trial_id = 3")
    with pytest.raises(ConfigError, match=r"must be result 2, but is result 3\. Choose a new name"):
        rebuild_ledger(run)
    assert not (run / "ledger.jsonl").exists()


def test_both_lost(run: Path) -> None:
    (run / "ledger.jsonl").unlink()
    (run / "study.db").write_bytes(b"\x00garbage" * 1000)
    with pytest.raises(ConfigError, match="cannot give it back"):
        search(run, ToyScorer())
    with pytest.raises(ConfigError, match="holds no lines of a ledger, or is damaged"):
        rebuild_ledger(run)
    (run / "study.db").unlink()
    with pytest.raises(ConfigError, match=r"holds no study\.db"):
        rebuild_ledger(run)


def test_a_changed_number_in_the_copy_is_overwritten(run: Path) -> None:
    with closing(sqlite3.connect(run / "study.db")) as database, database:
        database.execute("update trial_values set value = 0.5 where trial_id = 2")
    search(run, ToyScorer())
    with closing(sqlite3.connect(run / "study.db")) as database:
        values = [value for (value,) in database.execute("select value from trial_values where objective = 0")]
    assert sorted(values) == sorted(result.accuracy for result in read_results(run))


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_copy_is_made_again(run: Path, seed: int) -> None:
    path = run / "study.db"
    data, dice = bytearray(path.read_bytes()), random.Random(seed)
    for _ in range(40):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(bytes(data))
    before = (run / "ledger.jsonl").read_bytes()
    search(run, ToyScorer())
    assert (run / "ledger.jsonl").read_bytes() == before
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        assert database.execute("select count(*) from trials").fetchone() == (len(before.splitlines()),)


def test_a_database_that_cannot_be_written_is_an_error_of_the_system(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What SQLite says of a full disk is no traceback of SQLAlchemy; the result is in the ledger."""

    def full(self: MirroredStudies, *_: object) -> None:
        with closing(sqlite3.connect(tmp_path / "small.db")) as small:
            small.execute("pragma max_page_count = 1")
            try:
                small.execute("create table t (x)")
            except sqlite3.OperationalError as error:
                from sqlalchemy.exc import OperationalError

                raise OperationalError("insert", {}, error) from error

    with monkeypatch.context() as patch:
        patch.setattr(MirroredStudies, "_trial", full)
        with pytest.raises(OSError, match=r"study\.db: database or disk is full"):
            search(tmp_path / "run", ToyScorer())
    assert len(read_results(tmp_path / "run")) == 1
    assert essence(search(tmp_path / "run", ToyScorer()).results()) == essence(read_results(finished))


def test_a_lost_end_is_said_and_scored_again(run: Path) -> None:
    before = (run / "ledger.jsonl").read_bytes()
    (run / "ledger.jsonl").write_bytes(before[:-40])
    said: list[str] = []

    class Heard(Observer):
        def message(self, text: str) -> None:
            said.append(text)

    graph = make_graph()
    study = Study.create_or_resume(
        run, graph=graph, space=Space.from_graph(graph), evaluate=ToyScorer(), name="run"
    )
    study.run(trials=TRIALS, qat=QAT, progress=Heard())
    assert len(said) == 1 and "its last 1 results are lost, but study.db holds them" in said[0]
    assert len(read_results(run)) == len(before.splitlines())
