"""`write_atomic`: what reaches the disk, in which order, and with which mode."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hwmodel.files import write_atomic

Event = tuple[str, str, int]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Calls of `os` that make a file durable: (what, "file" | "folder" | new name, bytes there at that moment)."""
    seen: list[Event] = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "file"
        seen.append(("fsync", kind, 0 if kind == "folder" else status.st_size))
        fsync(descriptor)

    def spy_replace(source: str, target: Path) -> None:
        assert Path(source).parent == Path(target).parent, "a rename is atomic within one file system only"
        seen.append(("replace", Path(target).name, os.stat(source).st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    return seen


def test_content_is_on_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, events: list[Event]
) -> None:
    content = "naïve\n" * 3
    size = len(content.encode())
    assert write_atomic(tmp_path / "file.txt", content) == tmp_path / "file.txt"
    assert events == [("fsync", "file", size), ("replace", "file.txt", size), ("fsync", "folder", 0)]
    assert (tmp_path / "file.txt").read_bytes() == content.encode()


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_mode_is_that_of_any_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = write_atomic(tmp_path / "file.txt", "text")
        assert os.umask(umask) == umask, "the mask of the process is as it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_replaces_or_leaves(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_atomic(path, "one")
    write_atomic(path, b"two")
    assert path.read_text() == "two"
    assert [item.name for item in path.parent.iterdir()] == ["file.txt"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomic(tmp_path / "folder", "x")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["deep", "folder"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = write_atomic(tmp_path / "file.txt", "old")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file.txt"]
