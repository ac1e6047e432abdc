"""What people see: tables, figures, the HTML report and the command line."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.figures import plot_breakdown, plot_layers, plot_pareto, save_figure
    from reports.html import write_report
    from reports.tables import cost_table, graph_table

__all__ = [
    "cost_table",
    "graph_table",
    "plot_breakdown",
    "plot_layers",
    "plot_pareto",
    "save_figure",
    "write_report",
]

_HOMES = {
    "cost_table": "reports.tables",
    "graph_table": "reports.tables",
    "plot_breakdown": "reports.figures",
    "plot_layers": "reports.figures",
    "plot_pareto": "reports.figures",
    "save_figure": "reports.figures",
    "write_report": "reports.html",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
