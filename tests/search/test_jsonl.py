"""Lines that are on disk when `append_line` returns."""

from __future__ import annotations

import errno
import json
import os
import stat
from io import FileIO
from pathlib import Path

import pytest

from hwmodel.errors import ConfigError
from search import jsonl
from search.finaltest import TESTS, read_tests
from search.jsonl import append_line, count_bare, cut_torn_line, read_lines, to_line

Event = tuple[str, int]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What `os.fsync` was called on: ("file", its bytes at that moment) or ("folder", 0)."""
    seen: list[Event] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        status = os.fstat(descriptor)
        seen.append(("folder", 0) if stat.S_ISDIR(status.st_mode) else ("file", status.st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    return seen


def test_a_line_is_synced_whole_and_a_new_file_with_its_folder(tmp_path: Path, synced: list[Event]) -> None:
    path = tmp_path / "lines.jsonl"
    items: list[dict[str, object]] = [{"a": 1}, {"b": [1.5, None]}]
    sizes = [len(to_line(item)) + 1 for item in items]
    append_line(path, items[0])
    assert synced == [("file", sizes[0]), ("folder", 0)]
    append_line(path, items[1])
    assert synced[2:] == [("file", sum(sizes))], "the name is on disk already"
    assert read_lines(path) == items


def test_a_torn_line_is_cut_durably(tmp_path: Path, synced: list[Event]) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b"')
    cut_torn_line(path)
    assert synced == [("file", len(b'{"a": 1}\n'))]
    cut_torn_line(path)
    assert len(synced) == 1, "nothing to cut, nothing written"
    cut_torn_line(tmp_path / "absent.jsonl")
    assert path.read_bytes() == b'{"a": 1}\n'


def test_what_json_cannot_hold_is_refused_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_line(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        append_line(path, {"a": float("nan")})
    assert read_lines(path) == [{"a": 1}]


def test_a_line_that_is_no_test_record_is_named(tmp_path: Path) -> None:
    (tmp_path / TESTS).write_text(
        '{"key": "a", "stage": "qat", "run": 0}\n{"key": "a", "stage": "qat", "runx": 0}\n'
    )
    with pytest.raises(ConfigError, match=r"test\.jsonl:2 is not a test record: .*runx"):
        read_tests(tmp_path)


def test_a_test_record_twice_would_count_twice(tmp_path: Path) -> None:
    for _ in range(2):
        append_line(tmp_path / TESTS, {"key": "a", "stage": "qat", "run": 0, "correct": 3, "total": 4})
    with pytest.raises(ConfigError, match=r"test\.jsonl:2 repeats run 0 of 'a'"):
        read_tests(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"correct": 5}, {"correct": True}, {"correct": 1.5}, {"total": "4"}, {"run": -1}, {"seed": -1}, {"key": 1}],
)
def test_a_test_record_out_of_range(tmp_path: Path, change: dict[str, object]) -> None:
    append_line(tmp_path / TESTS, {"key": "a", "stage": "qat", "run": 0, "correct": 3, "total": 4, **change})
    with pytest.raises(ConfigError, match=r"test\.jsonl:1 is not a test record"):
        read_tests(tmp_path)


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1e', "[1]", "[" * 100_000])
def test_lines_that_are_no_objects_of_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "lines.jsonl").write_text(f"{text}\n")
    with pytest.raises(ConfigError, match=r"lines\.jsonl:1 .*\. Mend it\."):
        read_lines(tmp_path / "lines.jsonl", "Mend it.")


def test_a_changed_number_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_line(path, {"correct": 7, "nested": {"a": [1, 2]}})
    append_line(path, {"correct": 8})
    good = path.read_text()
    for old, new in (('"correct": 7', '"correct": 9'), ("[1, 2]", "[2, 1]"), ('"a"', '"b"')):
        path.write_text(good.replace(old, new))
        with pytest.raises(ConfigError, match=r"lines\.jsonl:1: its content must have the hash '[0-9a-f]{16}'"):
            read_lines(path)
    path.write_text(good.replace(f', "hash": "{json.loads(good.splitlines()[1])["hash"]}"', ""))
    with pytest.raises(ConfigError, match=r"lines\.jsonl:2 must carry a hash"):
        read_lines(path)


def test_times_are_no_part_of_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    for seconds in (1.0, 2.0):
        append_line(path, {"correct": 7, "wall_s": seconds})
    first, second = (json.loads(line)["hash"] for line in path.read_text().splitlines())
    assert first == second


def test_lines_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a": 1}\n')
    append_line(path, {"a": 2})
    assert read_lines(path) == [{"a": 1}, {"a": 2}]
    assert count_bare(path) == 1


@pytest.mark.parametrize("failing", ["fsync", "write"])
def test_a_failed_append_takes_its_bytes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """The disk is full after half of the line, or when it is to be synced."""
    path = tmp_path / "lines.jsonl"
    append_line(path, {"a": 1})
    before = path.read_bytes()

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def half_then_full(file: FileIO, data: bytes) -> None:
        file.write(data[: len(data) // 2])
        full()

    with monkeypatch.context() as patch:
        if failing == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr(jsonl, "_write_all", half_then_full)
        with pytest.raises(OSError, match="No space left"):
            append_line(path, {"a": 2})
    assert path.read_bytes() == before
    append_line(path, {"a": 2})
    assert read_lines(path) == [{"a": 1}, {"a": 2}]
