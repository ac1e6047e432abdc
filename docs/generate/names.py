"""The page of what goes by a name: accelerators, models, data sets, costs, quantizers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from docs.generate.tables import code, summary_of, table
from hwmodel import list_accelerators, load_accelerator
from search import OBJECTIVES
from workloads import data_names, model_names
from workloads.data.registry import _DATA
from workloads.models.registry import _MODELS


def names_page() -> str:
    """The page."""
    chips = [load_accelerator(name) for name in list_accelerators()]
    assert set(data_names()) == set(_DATA) and set(model_names()) == set(_MODELS)
    return "\n".join(
        [
            "# Accelerators, models, data sets and objectives by name\n",
            "## Accelerators\n",
            "`hwmodel hw show NAME` prints one with the source of every number.\n",
            table(("name", "kind", "what it is"), [(code(c.name), c.kind, c.description) for c in chips]),
            "## Models\n",
            "Beside these: `timm:NAME`, `hf:CONFIG`, `FILE.py:function`, `FILE.onnx`.\n",
            _made_by(_MODELS),
            "## Data sets\n",
            "Beside these: `FILE.npz`, a folder of images, `FILE.py:function`.\n",
            _made_by(_DATA),
            "## Objectives\n",
            table(("name", "unit", "what it is"), [(code(o.name), o.unit, o.label) for o in OBJECTIVES.values()]),
        ]
    )


def _made_by(registry: Mapping[str, Callable[..., Any]]) -> str:
    rows = [(code(name), code(_options(make)), summary_of(make)) for name, make in sorted(registry.items())]
    return table(("name", "options and their defaults", "what it is"), rows)


def _options(make: Callable[..., Any]) -> str:
    options = inspect.signature(make).parameters.values()
    return ", ".join(o.name if o.default is o.empty else f"{o.name}={o.default!r}" for o in options)
