"""Traffic of every memory, by operand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.network.names import safe_name
from reports.figures import theme as themes
from reports.figures.bars import bar_height, name_rows
from reports.figures.theme import Theme, legend_below, new_axes, style_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from hwmodel import NetworkCost

_COLOURS = {"W": themes.PURPLE, "I": themes.BLUE, "O": themes.ORANGE, "vector": themes.GREY}


def plot_traffic(cost: NetworkCost, ax: Axes | None = None, *, theme: Theme = themes.LIGHT) -> Axes:
    """Bytes that each memory moves in one inference, by operand; in logarithms, so bars stand side by side.

    Args:
        cost: of `evaluate`.
        ax: draws here; None makes a figure of its own, as tall as the memories need.
        theme: colours.
    """
    from matplotlib.ticker import EngFormatter, NullFormatter

    table = traffic_table(cost)
    operands = list(table.columns)
    ax = ax if ax is not None else new_axes(7.2, bar_height(len(table) * len(operands)), theme)
    height = 0.8 / max(len(operands), 1)
    for number, operand in enumerate(operands):
        rows = [row + (number - (len(operands) - 1) / 2) * height for row in range(len(table))]
        ax.barh(
            rows, table[operand] / 8, height=height * 0.9, label=safe_name(operand),
            color=_COLOURS.get(operand, themes.GREEN),
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlabel("Traffic per inference")
    ax.xaxis.set_major_formatter(EngFormatter(unit="B"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    name_rows(ax, list(table.index))
    style_axes(ax, theme, grid="x")
    legend_below(ax, theme, columns=4)
    return ax


def traffic_table(cost: NetworkCost) -> pd.DataFrame:
    """Traffic [bit] of every memory (rows, innermost first) and operand (columns) over the whole network."""
    frame = cost.traffic_frame()
    frame = frame[frame["traffic_bits"] > 0]
    table = frame.pivot_table(
        index="memory", columns="operand", values="traffic_bits", aggfunc="sum", fill_value=0.0, sort=False
    )
    order = [*(name for name in _COLOURS if name in table), *(name for name in table if name not in _COLOURS)]
    return table[order]
