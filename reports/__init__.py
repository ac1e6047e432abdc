"""What people see: tables, figures, the HTML report and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from reports.compare.runs import compare_runs
    from reports.compare.sheet import write_comparison
    from reports.figures.bars import plot_breakdown, plot_layers
    from reports.figures.curves import plot_curves
    from reports.figures.files import save_figure
    from reports.figures.occupancy import plot_memory
    from reports.figures.pareto import plot_pareto
    from reports.figures.pictures import plot_graph
    from reports.figures.roofline import plot_roofline
    from reports.figures.rows import plot_bars, plot_lines
    from reports.figures.traffic import plot_traffic
    from reports.page.html import write_report
    from reports.terminal.trees import summary

__all__ = [
    "compare_runs",
    "plot_bars",
    "plot_breakdown",
    "plot_curves",
    "plot_graph",
    "plot_layers",
    "plot_lines",
    "plot_memory",
    "plot_pareto",
    "plot_roofline",
    "plot_traffic",
    "save_figure",
    "summary",
    "write_comparison",
    "write_report",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "compare.runs": ("compare_runs",),
        "compare.sheet": ("write_comparison",),
        "figures.bars": ("plot_breakdown", "plot_layers"),
        "figures.curves": ("plot_curves",),
        "figures.files": ("save_figure",),
        "figures.pareto": ("plot_pareto",),
        "figures.occupancy": ("plot_memory",),
        "figures.pictures": ("plot_graph",),
        "figures.roofline": ("plot_roofline",),
        "figures.rows": ("plot_bars", "plot_lines"),
        "figures.traffic": ("plot_traffic",),
        "page.html": ("write_report",),
        "terminal.trees": ("summary",),
    },
)
