"""Lines that are on disk when `append_line` returns."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from hwmodel.errors import ConfigError
from search.finaltest import TESTS, read_tests
from search.jsonl import append_line, cut_torn_line, read_lines

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
    items = [{"a": 1}, {"b": [1.5, None]}]
    sizes = [len(json.dumps(item)) + 1 for item in items]
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
