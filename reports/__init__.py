"""What people see: tables, figures, the HTML report and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from reports.curves import plot_curves
    from reports.figures import plot_breakdown, plot_layers, plot_pareto, save_figure
    from reports.html import write_report
    from reports.pictures import plot_graph
    from reports.trees import summary

__all__ = [
    "plot_breakdown",
    "plot_curves",
    "plot_graph",
    "plot_layers",
    "plot_pareto",
    "save_figure",
    "summary",
    "write_report",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "curves": ("plot_curves",),
        "figures": ("plot_breakdown", "plot_layers", "plot_pareto", "save_figure"),
        "html": ("write_report",),
        "pictures": ("plot_graph",),
        "trees": ("summary",),
    },
)
