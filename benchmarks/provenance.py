"""What a stored result says about its making: date, versions, machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reports.experiments.record import today, version_of

RESULTS = Path(__file__).parent / "results"


def provenance(packages: Sequence[str]) -> dict[str, Any]:
    """Date (UTC), versions of Python and of `packages`, and the size of the machine; no names, no paths."""
    return {
        "date": today(),
        "versions": {"python": platform.python_version(), **{name: version_of(name) for name in packages}},
        "machine": {"system": platform.system(), "architecture": platform.machine(), "cpus": os.cpu_count()},
    }


def store(name: str, data: dict[str, Any]) -> Path:
    """Write `results/NAME.json` and return its path."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return path
