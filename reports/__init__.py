"""What people see: tables, figures, the HTML report and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

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

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "figures": ("plot_breakdown", "plot_layers", "plot_pareto", "save_figure"),
        "html": ("write_report",),
        "tables": ("cost_table", "graph_table"),
    },
)
