"""One bar per layer: its bits and its share of the energy, or its energy by memory level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import safe_name, shortened
from hwmodel.price.results import LEAKAGE
from reports import units
from reports.figures import theme as themes
from reports.figures.theme import Theme, legend_below, new_axes, style_axes
from reports.units import scaled_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from hwmodel import NetworkCost

#: Letters of a name that fit beside its bar.
NAME_LENGTH = 38


def plot_layers(layers: pd.DataFrame, ax: Axes | None = None, *, theme: Theme = themes.LIGHT) -> Axes:
    """Weight bits of every layer, how dense they are, and the layer's share of the energy.

    Args:
        layers: one row per layer, first layer first: `layer`, `w_bits`, `density` and, if known,
            `energy_pj` (as `NetworkCost.to_dataframe` gives it). Rows without weights are left out.
        ax: draws here; None makes a figure of its own, as tall as the layers need.
        theme: colours.

    Returns:
        The axes of the bits; the share of energy hangs on a twin at the top.
    """
    frame = layers[layers["weights"] > 0] if "weights" in layers.columns else layers
    frame = frame.reset_index(drop=True)
    ax = ax if ax is not None else new_axes(7.2, bar_height(len(frame)), theme)
    rows = frame.index.to_numpy()
    bits = frame["w_bits"].to_numpy(dtype=float)
    density = frame["density"].to_numpy(dtype=float)
    ax.barh(rows, bits, height=0.72, color=theme.soft, label="weight bits")
    ax.barh(rows, bits * density, height=0.72, color=theme.qat, label="weight bits × density")
    if _label_step(len(frame)) == 1:
        for row, (width, kept) in enumerate(zip(bits, density, strict=True)):
            text = f"{width:.0f}" if kept == 1.0 else f"{width:.0f} × {kept:.2g}"
            beside = ax.get_yaxis_transform()  # x in the frame of the axes: a column right of the bars
            ax.text(1.015, row, text, transform=beside, va="center", fontsize=8, color=theme.muted)
    ax.set_xlim(0, max(bits, default=1.0) * 1.04)
    ax.set_xlabel("Weight precision [bit]")
    name_rows(ax, list(frame["layer"]))
    style_axes(ax, theme, grid="x")
    if "energy_pj" in frame.columns and frame["energy_pj"].sum() > 0:
        _draw_share(ax, frame, theme)
    legend_below(ax, theme, columns=3)
    return ax


def _draw_share(ax: Axes, frame: pd.DataFrame, theme: Theme) -> None:
    """Dots on a second x axis at the top: the part of the energy that each layer uses."""
    share = frame["energy_pj"] / frame["energy_pj"].sum() * 100
    twin = ax.twiny()
    twin.plot(
        share.to_numpy(), frame.index.to_numpy(), linestyle="none", marker="o", markersize=5,
        markerfacecolor=themes.VERMILION, markeredgecolor=theme.paper, markeredgewidth=0.8,
    )  # fmt: skip
    twin.set_xlim(0, float(share.max()) * 1.04)
    twin.set_xlabel("Share of the energy [%]")
    style_axes(twin, theme, grid="none")
    for spine in twin.spines.values():
        spine.set_visible(False)
    twin.tick_params(colors=themes.VERMILION)
    twin.xaxis.label.set_color(themes.VERMILION)
    ax.plot([], [], "o", color=themes.VERMILION, label="share of the energy")


def plot_breakdown(cost: Any, ax: Axes | None = None, *, theme: Theme = themes.LIGHT) -> Axes:
    """Energy of every layer, split into multiply-accumulates and the memory levels.

    Args:
        cost: a `NetworkCost`, or a frame with columns `layer`, `level`, `energy_pj`.
        ax: draws here; None makes a figure of its own, as tall as the layers need.
        theme: colours.
    """
    frame = cost if hasattr(cost, "columns") else breakdown_frame(cost)
    names = list(dict.fromkeys(frame["layer"]))
    levels = list(dict.fromkeys(frame["level"]))
    table = frame.pivot_table(index="layer", columns="level", values="energy_pj", aggfunc="sum", fill_value=0.0)
    table = table.reindex(index=names, columns=levels, fill_value=0.0)
    label, scale = scaled_label("Energy per inference", "J", float(table.sum(axis=1).max()) * 1e-12, 1e-12)
    table = table * scale
    ax = ax if ax is not None else new_axes(7.2, bar_height(len(names)), theme)
    left = table.iloc[:, 0] * 0.0
    for index, level in enumerate(levels):
        colour = themes.SERIES[index % len(themes.SERIES)]
        ax.barh(
            range(len(names)), table[level], left=left, height=0.72, color=colour, label=units.level_name(level)
        )
        left = left + table[level]
    ax.set_xlabel(label)
    name_rows(ax, names)
    style_axes(ax, theme, grid="x")
    legend_below(ax, theme, columns=min(4, len(levels)))
    return ax


def breakdown_frame(cost: NetworkCost) -> pd.DataFrame:
    """Energy per layer and level [pJ] of a `NetworkCost`: columns layer, level, energy_pj; leakage is one level."""
    frame = cost.traffic_frame().rename(columns={"memory": "level"})
    frame["level"] = frame["level"].where(frame["operand"] != LEAKAGE, LEAKAGE)
    return frame.groupby(["layer", "level"], sort=False)["energy_pj"].sum().reset_index()


def bar_height(num_rows: int) -> float:
    """Height [inch] of a figure with one bar per row: grows with the rows up to 30 inches."""
    return min(1.7 + 0.21 * max(num_rows, 1), 30.0)


def _label_step(num_rows: int) -> int:
    """Name every n-th row, so that names do not overlap."""
    return max(1, math.ceil(num_rows / 135))


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Layer names on the y axis, first layer on top, as plain text (a `$` starts no formula)."""
    step = _label_step(len(names))
    ax.set_yticks(range(0, len(names), step), [shortened(safe_name(name), NAME_LENGTH) for name in names[::step]])
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.set_ylim(len(names) - 0.4, -0.6)
