"""Files that are whole or absent, and YAML that knows its lines."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_TEMPORARY = ".tmp-"


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
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}{_TEMPORARY}")
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


def temporaries(folder: Path) -> list[Path]:
    """What `write_atomic` left in a folder when its process was killed, or is writing now."""
    return sorted(folder.glob(f".*{_TEMPORARY}*"))


def sync_folder(folder: str | Path) -> None:
    """Make renames in a folder durable (POSIX; elsewhere nothing to do)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
