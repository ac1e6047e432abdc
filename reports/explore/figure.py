"""Explored chips as a figure: energy over latency, the area as colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.errors import ConfigError
from reports.figures import theme as themes
from reports.figures.theme import Theme, legend_below, new_axes, style_axes
from reports.units import scaled_label
from search.explore.axes import cost_of
from search.explore.found import ChipExploration

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_chips(
    found: ChipExploration, model: str | None = None, ax: Axes | None = None, *, theme: Theme = themes.LIGHT
) -> Axes:
    """Every priced design, and the front; a third axis is the colour of its points.

    Args:
        found: of `search.explore_chips`.
        model: whose front; None is the only one.
        ax: draws here; None makes a figure of its own.
        theme: colours.

    Raises:
        ConfigError: there is one axis alone, no design, or no such front.
    """
    names, front = found.axes.names, found.front(model)
    whose = model if model is not None else next(iter(found.fronts))
    if len(names) < 2 or not front:
        raise ConfigError("plot_chips: needs two axes and a design on the front")
    x, y = ("latency", "energy") if {"latency", "energy"} <= set(names) else names[:2]
    third = next((name for name in names if name not in (x, y)), None)
    ax = ax if ax is not None else new_axes(7.2, 4.4, theme)
    of = {name: n for n, name in enumerate(names)}
    scales, labels = {}, {}
    for name in names:
        cost = cost_of(name)
        unit, factor = cost.shown
        most = max(found.values(row, whose)[of[name]] for row in found.rows)
        labels[name], scales[name] = scaled_label(cost.axis, unit, most * factor, factor)
    points = {name: [found.values(row, whose)[of[name]] * scales[name] for row in found.rows] for name in names}
    best = {name: [found.values(row, whose)[of[name]] * scales[name] for row in front] for name in names}
    ax.scatter(points[x], points[y], s=14, color=theme.soft, linewidths=0, label="priced designs", rasterized=True)
    colours = {"c": best[third], "cmap": "viridis"} if third else {"color": theme.front}
    drawn = ax.scatter(best[x], best[y], s=34, label=f"front, of {', '.join(names)}", zorder=3, **colours)
    if third:
        bar = ax.figure.figure.colorbar(drawn, ax=ax)
        bar.set_label(labels[third], color=theme.ink)
        bar.ax.tick_params(colors=theme.muted, labelsize=9)
        bar.outline.set_visible(False)
    knees = [row for row in front if whose in row.knees]
    for row in knees:
        at = found.values(row, whose)
        ax.scatter(
            [at[of[x]] * scales[x]], [at[of[y]] * scales[y]], s=190, facecolors="none", linewidths=2.0,
            edgecolors=themes.VERMILION, label="knee",
        )  # fmt: skip
    ax.set_xlabel(labels[x])
    ax.set_ylabel(labels[y])
    for axis, values in ((ax.xaxis, points[x]), (ax.yaxis, points[y])):
        if max(values) > 10 * max(min(values), 1e-300):
            (ax.set_xscale if axis is ax.xaxis else ax.set_yscale)("log")
    style_axes(ax, theme)
    legend_below(ax, theme, columns=3)
    return ax
