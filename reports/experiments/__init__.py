"""The field's experiments as short scripts: steps that resume, tables, figures, and what is known of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from reports.experiments.dominance import dominated
    from reports.experiments.experiment import FAST, Experiment
    from reports.experiments.run import run

__all__ = ["FAST", "Experiment", "dominated", "run"]

__getattr__, __dir__ = lazy_exports(
    __name__, {"dominance": ("dominated",), "experiment": ("FAST", "Experiment"), "run": ("run",)}
)
