"""The pages of the functions and classes of the four rooms, as their packages export them."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType

from docs.generate.tables import summary_of

#: Page -> title and packages, in the order of the rooms.
PAGES = {
    "api-hwmodel": ("hwmodel", ["hwmodel"]),
    "api-workloads": ("workloads", ["workloads", "workloads.models", "workloads.data", "workloads.tracing"]),
    "api-compress": (
        "workloads.compress",
        ["workloads.compress", "workloads.compress.quantizers", "workloads.compress.pruning"],
    ),
    "api-training": ("workloads.training", ["workloads.training", "workloads.sparse", "workloads.rewrite"]),
    "api-export": (
        "workloads.export",
        ["workloads.export", "workloads.integer", "workloads.onnx_import", "workloads.calibrate"],
    ),
    "api-search": ("search", ["search", "search.executors", "search.mirror"]),
    "api-reports": ("reports", ["reports"]),
}


def api_pages() -> dict[str, str]:
    """Name -> text of the pages. A name that several packages export is told once, where it comes first."""
    told: set[int] = set()
    return {page: _page(title, packages, told) for page, (title, packages) in PAGES.items()}


def _page(title: str, packages: list[str], told: set[int]) -> str:
    parts = [f"# {title}\n"]
    for name in packages:
        package = importlib.import_module(name)
        parts += [f"## Package {name}\n", f"{summary_of(package)}\n", *_entries(package, told)]
    return "\n".join(parts)


def _entries(package: ModuleType, told: set[int]) -> list[str]:
    parts = []
    for name in package.__all__:
        thing = getattr(package, name)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            if id(thing) in told:
                continue
            told.add(id(thing))
        kind = "autoclass" if inspect.isclass(thing) else "autofunction" if inspect.isroutine(thing) else "py:data"
        members = "\n   :members:" if kind == "autoclass" else ""
        parts.append(f"```{{eval-rst}}\n.. {kind}:: {package.__name__}.{name}{members}\n```\n")
    return parts
