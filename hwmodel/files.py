"""Files that are whole or absent, and YAML that knows its lines."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from pathlib import Path


def write_atomic(path: str | Path, data: str | bytes, *, durable: bool = True) -> Path:
    """Write to a temporary file in the same folder, fsync, rename: a crash leaves the old file or the new.

    Args:
        path: folders are made as needed.
        data: text is written as UTF-8.
        durable: wait until it is on the disk. Without (for caches: it takes milliseconds per file) the file is as
            whole for every reader, but a crash of the machine may leave an empty one.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    payload = data.encode() if isinstance(data, str) else data
    _sweep(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_mark(os.getpid()))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)
    return path


_swept: set[Path] = set()


def _mark(pid: int | str) -> str:
    """The end of the name of a temporary: whose it is."""
    return f".{re.sub('[^A-Za-z0-9-]', '-', platform.node())}.{pid}.tmp"


def _sweep(folder: Path) -> None:
    """Once per process and folder: remove the temporaries of processes of this machine that were killed."""
    if folder in _swept or os.name != "posix":
        return
    _swept.add(folder)
    for path in folder.glob(f".*{_mark('*')}"):
        owner = path.name.split(".")[-2]
        if owner.isdecimal() and not _runs(int(owner)):
            path.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def sync_folder(folder: str | Path) -> None:
    """Make renames in a folder durable (POSIX; elsewhere nothing to do)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
