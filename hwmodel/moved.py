"""Module paths that scripts of an earlier release import: the module under its new path, and a warning."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

#: Old path -> new path; the old ones go with the next release.
MOVED = {
    "hwmodel.accelerator": "hwmodel.chip.accelerator",
    "hwmodel.chip.streamed": "hwmodel.chip.timing.streamed",
    "hwmodel.chip.systolic": "hwmodel.chip.timing.systolic",
    "hwmodel.choice": "hwmodel.network.choice",
    "hwmodel.fit": "hwmodel.price.fit",
    "hwmodel.graph": "hwmodel.network.graph",
    "hwmodel.layer": "hwmodel.network.layer",
    "hwmodel.mapping": "hwmodel.nest.mapping",
    "hwmodel.results": "hwmodel.price.results",
    "hwmodel.systolic": "hwmodel.chip.timing.systolic",
    "reports.html": "reports.page.html",
    "search.bench": "search.materials",
}


class _OldPaths:
    """A finder and loader by its methods alone: `importlib.abc` would load a tenth of what `--help` does."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, cast("Loader", self)) if name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = MOVED[spec.name]
        warnings.warn(f"{spec.name} is now {new}", DeprecationWarning, stacklevel=2)
        return ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module(MOVED[module.__name__])


def keep_old_paths() -> None:
    """Let the old paths be imported; nothing is loaded before one is."""
    if not any(isinstance(finder, _OldPaths) for finder in sys.meta_path):
        sys.meta_path.append(_OldPaths())
