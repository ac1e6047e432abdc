"""What a shell offers at TAB: models, accelerators, data sets and runs by name, and the files that may stand there.

Nothing heavy is loaded, and no file is opened: a completion takes as long as `hwmodel --help`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hwmodel import list_accelerators
from reports.jobs.arguments import OBJECTIVES
from workloads.names import DATA, MODELS

#: A folder with one of these is a run.
RUN_FILES = ("study.json", "ledger.jsonl")


def models(incomplete: str) -> list[str]:
    """Models by name, files of ONNX and of Python."""
    return [*_starting(MODELS, incomplete), *files(incomplete, (".onnx", ".py"))]


def layers(incomplete: str) -> list[str]:
    """Models by name, as `MODEL:` before a layer; the layers of one are known only when it is traced."""
    return [*_starting((f"{name}:" for name in MODELS), incomplete), *files(incomplete, (".onnx", ".py"))]


def accelerators(incomplete: str) -> list[str]:
    """Accelerators by name, and YAML files."""
    return [*_starting(list_accelerators(), incomplete), *files(incomplete, (".yaml", ".yml"))]


def data(incomplete: str) -> list[str]:
    """Data sets by name, .npz and Python files, and folders."""
    return [*_starting(DATA, incomplete), *files(incomplete, (".npz", ".py"))]


def runs(incomplete: str) -> list[str]:
    """Folders of runs, and the folders in which there may be some."""
    return list(_beside(incomplete, lambda path: path.is_dir(), whole=is_run))


def configurations(incomplete: str) -> list[str]:
    """Folders of runs, and YAML files."""
    return [*runs(incomplete), *(path for path in files(incomplete, (".yaml", ".yml")) if not path.endswith("/"))]


def objectives(incomplete: str) -> list[str]:
    """What mappings minimise, and accelerators are compared by."""
    return _starting(OBJECTIVES, incomplete)


def files(incomplete: str, kinds: tuple[str, ...]) -> list[str]:
    """Files with these suffixes, and folders, that begin so; hidden ones only where a dot is typed."""
    return list(_beside(incomplete, lambda path: path.is_dir() or path.suffix in kinds, whole=lambda _: False))


def is_run(path: Path) -> bool:
    """The folder is that of a run."""
    return any((path / name).exists() for name in RUN_FILES)


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _beside(incomplete: str, wanted: Callable[[Path], bool], whole: Callable[[Path], bool]) -> Iterator[str]:
    """The wanted entries of the folder that is typed so far; a folder that is not `whole` ends with a slash."""
    folder, slash, start = incomplete.rpartition("/")
    try:
        entries = sorted(Path(folder or slash or ".").iterdir())
    except OSError:
        return
    for path in entries:
        if path.name.startswith(start) and path.name.startswith(".") <= start.startswith(".") and wanted(path):
            ends = "/" if path.is_dir() and not whole(path) else ""
            yield f"{folder}{slash}{path.name}{ends}"
