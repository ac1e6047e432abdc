"""What people see: tables, figures, the HTML report and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from reports.figures.bars import plot_breakdown, plot_layers
    from reports.figures.curves import plot_curves
    from reports.figures.files import save_figure
    from reports.figures.pareto import plot_pareto
    from reports.figures.pictures import plot_graph
    from reports.figures.rows import plot_bars, plot_lines
    from reports.page.html import write_report
    from reports.terminal.trees import summary

__all__ = [
    "plot_bars",
    "plot_breakdown",
    "plot_curves",
    "plot_graph",
    "plot_layers",
    "plot_lines",
    "plot_pareto",
    "save_figure",
    "summary",
    "write_report",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "figures.bars": ("plot_breakdown", "plot_layers"),
        "figures.curves": ("plot_curves",),
        "figures.files": ("save_figure",),
        "figures.pareto": ("plot_pareto",),
        "figures.pictures": ("plot_graph",),
        "figures.rows": ("plot_bars", "plot_lines"),
        "page.html": ("write_report",),
        "terminal.trees": ("summary",),
    },
)
