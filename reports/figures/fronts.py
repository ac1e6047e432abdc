"""The fronts of several runs in one figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hwmodel.errors import ConfigError
from reports.figures import theme as themes
from reports.figures.pareto import error_bars
from reports.figures.progress import plain_label
from reports.figures.theme import Theme, legend_below, new_axes, style_axes
from reports.units import scaled_label
from search.front.costs import Cost

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_MARKERS = "osD^vPX*"
_DASHES = ("-", "--", "-.", ":")


def plot_fronts(
    fronts: Mapping[str, pd.DataFrame], cost: Cost, ax: Axes | None = None, *, theme: Theme = themes.LIGHT
) -> Axes:
    """The front of each run over one cost: validation accuracies with 95 % intervals, picks ringed.

    Args:
        fronts: name of a run -> its candidates (`reports.run.folder.read_candidates`); only those on the front are
            drawn, and runs without the cost are left out.
        cost: on the x axis.
        ax: draws here; None makes a figure of its own.
        theme: colours.

    Raises:
        ConfigError: no run has a front with that cost.
    """
    drawn = {
        name: rows
        for name, frame in fronts.items()
        if cost.key in frame.columns and len(rows := frame[frame["front"] & frame[cost.key].notna()])
    }
    if not drawn:
        raise ConfigError(f"plot_fronts: no run has a front over {cost.name}.")
    largest = max(float(rows[cost.key].max()) for rows in drawn.values())
    unit, factor = cost.shown
    label, scale = scaled_label(cost.axis, unit, largest * factor, factor)
    ax = ax if ax is not None else new_axes(7.2, 4.4, theme)
    for number, (name, rows) in enumerate(drawn.items()):
        _draw_front(ax, rows.sort_values([cost.key, "accuracy"]), cost.key, scale, name, number)
    ax.scatter([], [], s=120, facecolors="none", linewidths=1.6, edgecolors=theme.ink, label="picked")
    ax.set_xlabel(label)
    ax.set_ylabel("Accuracy [%]")
    style_axes(ax, theme)
    legend_below(ax, theme, columns=2)
    return ax


def _draw_front(ax: Axes, rows: pd.DataFrame, key: str, scale: float, name: str, number: int) -> None:
    """One run: points with intervals, and the steps of the best accuracy that each cost can buy."""
    colour = themes.SERIES[number % len(themes.SERIES)]
    corner = rows[rows["accuracy"] >= rows["accuracy"].cummax()]
    ax.step(
        corner[key] * scale, corner["accuracy"] * 100, where="post", color=colour, linewidth=1.3, alpha=0.7,
        linestyle=_DASHES[number % len(_DASHES)],
    )  # fmt: skip
    ax.errorbar(
        rows[key] * scale, rows["accuracy"] * 100, yerr=error_bars(rows, "accuracy", "accuracy"),
        fmt=_MARKERS[number % len(_MARKERS)], color=colour, elinewidth=1.0, capsize=2.5 + number, alpha=0.85,
        markersize=max(8.5 - 1.5 * number, 4), label=plain_label(name),
    )  # fmt: skip
    picked = rows[rows["picked"]]
    ax.scatter(
        picked[key] * scale, picked["accuracy"] * 100, s=150, facecolors="none", linewidths=1.8, edgecolors=colour,
        zorder=5,
    )  # fmt: skip
