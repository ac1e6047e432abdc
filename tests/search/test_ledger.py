"""The ledger: durable, torn lines, locks."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.errors import ConfigError
from search.front.results import Result, results_frame, ties_of
from search.jsonl import append_line, to_line
from search.ledger import Ledger, RunLock, RunLockedError, read_results, writing
from tests.search.helpers import make_result
from workloads.compress.config import CompressionConfig
from workloads.training import Accuracy


def test_results_round_trip(tmp_path: Path) -> None:
    results = [make_result(0, energy_pj=1.5e9), make_result(1, stage="qat")]
    with writing(tmp_path) as ledger:
        for result in results:
            ledger.append(result)
    assert list(read_results(tmp_path)) == results
    assert len((tmp_path / "ledger.jsonl").read_bytes().splitlines()) == 2


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(1, 10_000))
def test_any_torn_tail_loses_at_most_the_torn_result(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("run")
    lines = [to_line(make_result(number).to_dict()) + "\n" for number in range(3)]
    text = "".join(lines)
    kept = text[: cut % (len(text) + 1)]
    path = folder / "ledger.jsonl"
    path.write_text(kept)
    whole = kept.count("\n")
    assert len(read_results(folder)) == whole
    assert path.read_text() == kept  # readers change nothing
    with writing(folder) as ledger:
        ledger.append(make_result(whole))
    assert path.read_text() == "".join(lines[:whole]) + to_line(make_result(whole).to_dict()) + "\n"


@pytest.mark.parametrize(
    "bad", ['{"number": 0}', "{", '{"number": 7, "stage": "ptq", "key": "a"}', '"text"', "[1]"]
)
def test_damage_in_the_middle_is_an_error_with_its_line(tmp_path: Path, bad: str) -> None:
    good = json.dumps(make_result(0).to_dict())
    (tmp_path / "ledger.jsonl").write_text(f"{good}\n{bad}\n")
    with pytest.raises(ConfigError, match=r"ledger\.jsonl:2"):
        read_results(tmp_path)


def test_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no ledger\.jsonl"):
        read_results(tmp_path)
    assert len(Ledger(tmp_path)) == 0


def test_numbers_have_no_gaps(tmp_path: Path) -> None:
    with writing(tmp_path) as ledger, pytest.raises(ConfigError, match="next number is 0"):
        ledger.append(make_result(5))


def test_lock_within_a_process(tmp_path: Path) -> None:
    with RunLock(tmp_path), pytest.raises(RunLockedError, match=r"is being written by process \d+"):
        RunLock(tmp_path).__enter__()
    with RunLock(tmp_path):  # free again
        pass


def test_lock_across_processes_ends_with_the_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from search.ledger import RunLock\n"
        "with RunLock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None and other.stdout.readline() == "held\n"
            with pytest.raises(RunLockedError, match=str(other.pid)):
                RunLock(tmp_path).__enter__()
        finally:
            other.kill()
            other.wait()
    with RunLock(tmp_path):
        pass


def test_a_count_has_an_interval_and_a_bare_fraction_has_none() -> None:
    counted = make_result(correct=80, total=100)
    assert counted.interval == Accuracy(correct=80, total=100).interval
    bare = replace(counted, number=1, correct=0, total=0, score=0.8)
    assert bare.accuracy == counted.accuracy
    assert bare.interval is None
    frame = results_frame([counted, bare])
    assert frame["accuracy_low"].notna().tolist() == frame["accuracy_high"].notna().tolist() == [True, False]


def test_ties_are_results_whose_intervals_overlap() -> None:
    results = [replace(make_result(correct=n, total=100), number=i) for i, n in enumerate((100, 97, 80))]
    bare = replace(results[0], number=3, correct=0, total=0, score=1.0)
    # 100 of 100: 0.963 .. 1; 97: 0.915 .. 0.990; 80: 0.711 .. 0.867
    assert ties_of(results[0], [*results, bare]) == (1,)
    assert ties_of(results[2], [*results, bare]) == ()
    assert ties_of(bare, results) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "fp"}, {"status": "ok"}, {"origin": "moon"}, {"correct": 3, "total": 2}, {"unknown": 1},
        {"checkpoint": "/elsewhere/w.safetensors"}, {"checkpoint": "checkpoints/../../w.safetensors"},
        {"checkpoint": "C:\\w.safetensors"}, {"checkpoint": "ledger.jsonl"},
        {"checkpoint": "checkpoints/float.safetensors"}, {"checkpoint": "checkpoints/0001-ab.safetensors/../x"},
        {"number": -1}, {"number": True}, {"number": 0.0}, {"seed": -1}, {"wall_s": -1.0}, {"wall_s": math.nan},
        {"correct": "900"}, {"score": 1.5}, {"score": -0.1}, {"costs": {"energy_pj": math.inf}},
        {"costs": {"energy_pj": "1"}}, {"costs": []}, {"key": None}, {"error": 3},
    ],
)  # fmt: skip
def test_invalid_results(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Result.from_dict({**make_result().to_dict(), **change})


def test_frame_has_a_column_per_cost() -> None:
    frame = results_frame([make_result(0), make_result(1, energy_pj=2.0)])
    assert frame["energy_pj"].isna().tolist() == [True, False]
    assert frame["accuracy"].tolist() == [0.9, 0.9]


def test_a_key_is_that_of_its_configuration(tmp_path: Path) -> None:
    config = CompressionConfig.from_bits({"fc": 4})
    data = make_result(0).to_dict() | {"config": config.to_dict(), "key": config.key}
    append_line(tmp_path / "ledger.jsonl", data)
    assert [result.key for result in read_results(tmp_path)] == [config.key]
    (tmp_path / "ledger.jsonl").unlink()
    append_line(tmp_path / "ledger.jsonl", data | {"config": CompressionConfig.from_bits({"fc": 8}).to_dict()})
    with pytest.raises(ConfigError, match=r"ledger\.jsonl:1: key must be .*, but is .*--rebuild"):
        read_results(tmp_path)


def test_a_ledger_of_an_earlier_version_says_so(tmp_path: Path) -> None:
    old = make_result(0).to_dict()
    del old["checkpoint_hash"]
    (tmp_path / "ledger.jsonl").write_text(json.dumps(old) + "\n")
    with writing(tmp_path) as ledger:
        ledger.append(make_result(1))
    assert "1 of 2 lines carry no hash" in Ledger(tmp_path).note
    assert Ledger(tmp_path / "new").note == ""
