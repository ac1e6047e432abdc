"""Accelerators from YAML: units in the values, a source beside the numbers, errors with line and fix."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hwmodel.chip.accelerator import Accelerator
from hwmodel.chip.building import build_chip
from hwmodel.chip.chipfile import ChipFile
from hwmodel.chip.yamlfile import read_document
from hwmodel.errors import AcceleratorError, nearest

FOLDER = Path(__file__).parent.parent / "accelerators"


def list_accelerators() -> list[str]:
    """Names of the accelerators that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


#: Section of a chip file that makes it many chips.
SWEEP = "sweep"


@cache
def _load(path: Path, _modified: float) -> Accelerator:
    document = read_document(path, AcceleratorError)
    if SWEEP in document.data:
        raise AcceleratorError(
            f"{document.at((SWEEP,))} has ranges, so it is many designs, and one is needed here. hwmodel search "
            f"takes them all as its accelerator, hwmodel explore --run RUN --hw {path} prices a run on each, and "
            "load_designs(path) lists them."
        )
    return build_chip(document, document.validated(ChipFile))


def load_accelerator(name: str | Path) -> Accelerator:
    """An accelerator by the name of a preset, or from a YAML file.

    Args:
        name: a name in `list_accelerators()`, or a path that ends in .yaml or .yml.

    Raises:
        AcceleratorError: no preset has the name (the nearest is offered), or the file breaks a rule
            (message: `file:line:column`, the rule, the value, the fix), or has ranges
            (`hwmodel.chip.sweep.load_designs`).
    """
    path = chip_path(name)
    return _load(path, path.stat().st_mtime)


def chip_path(name: str | Path) -> Path:
    """The file of a preset, or the path itself.

    Raises:
        AcceleratorError: no preset has the name (the nearest is offered), or there is no such file.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{name}.yaml"
        if not path.is_file() or path.parent != FOLDER:
            close = nearest(str(name), list_accelerators())
            hint = f"Did you mean {close[0]}? " if close else ""
            raise AcceleratorError(f"No accelerator {str(name)!r}. {hint}hwmodel hw list shows all.")
    elif not path.is_file():
        raise AcceleratorError(f"{path}: no such file. hwmodel hw list shows the accelerators that have a name.")
    return path
