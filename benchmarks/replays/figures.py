"""The reference figures: where they lie, and how one is read.

They are committed in `tests/reference`, each with its source in the README there. `HWMODEL_REFERENCE` names another
folder to read them from.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

VARIABLE = "HWMODEL_REFERENCE"
COMMITTED = Path(__file__).resolve().parents[2] / "tests" / "reference"


def figures_path(name: str) -> Path:
    """Where a file of figures lies.

    Raises:
        FileNotFoundError: it is not there; a check without its figures has failed.
    """
    folder = Path(os.environ.get(VARIABLE) or COMMITTED)
    path = folder / name
    if not path.is_file():
        fix = f"Point {VARIABLE} to a folder that has it, or unset it." if folder != COMMITTED else "Restore it."
        raise FileNotFoundError(f"{path}: reference figures must be there, but are not. {fix}")
    return path


def figures(name: str) -> Any:
    """The content of a file of figures."""
    return json.loads(figures_path(name).read_text(encoding="utf-8"))
