"""Colours and axes of the figures: safe for colour-blind readers, light and dark.

Hues: Okabe and Ito, Color Universal Design, 2008 (https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#8A8F98"

#: In the order in which series take them.
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, GREY)


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours of the parts of a figure that are not data."""

    ink: str
    muted: str
    grid: str
    paper: str
    front: str
    qat: str
    soft: str


LIGHT = Theme(ink="#1B1F24", muted="#59636E", grid="#E3E7EB", paper="#FFFFFF", front=BLUE, qat=BLUE, soft="#BBD8EA")
DARK = Theme(ink="#E6EAEF", muted="#9AA4AF", grid="#2E353D", paper="#161B21", front=SKY, qat=SKY, soft="#2A4A5E")


def new_axes(width: float, height: float, theme: Theme = LIGHT) -> Axes:
    """Axes on a figure of their own [inch], outside pyplot's global list of figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor=theme.paper)
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def new_panels(count: int, width: float, height: float, theme: Theme = LIGHT) -> list[Axes]:
    """Axes side by side on a figure of their own [inch], at most three in a row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-count // 3)
    figure = Figure(figsize=(width, height), layout="constrained", facecolor=theme.paper)
    FigureCanvasAgg(figure)
    return [figure.add_subplot(rows, -(-count // rows), index + 1) for index in range(count)]


def style_axes(ax: Axes, theme: Theme, grid: str = "both") -> None:
    """Thin frame, light grid behind the data, readable text."""
    ax.set_facecolor(theme.paper)
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.grid)
    if grid == "none":
        ax.grid(visible=False)
    else:
        ax.grid(visible=True, axis="x" if grid == "x" else "both", color=theme.grid, linewidth=0.8)
    ax.tick_params(which="both", colors=theme.muted, labelsize=9, length=0)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set_color(theme.ink)
        label.set_fontsize(10)
    ax.title.set_color(theme.ink)


#: Of an entry of a legend at 9 points: its mark and gaps, and one letter of its label.
_HANDLE_INCHES, _CHARACTER_INCHES = 0.65, 0.075


def legend_below(ax: Axes, theme: Theme, columns: int) -> None:
    """A legend under the axes, where it covers no data; nothing if there is nothing to explain.

    Args:
        ax, theme: where, and its colours.
        columns: at most; fewer where long labels would make the legend wider than the figure.
    """
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        entry = _HANDLE_INCHES + _CHARACTER_INCHES * max(map(len, labels))
        columns = max(1, min(columns, int(ax.figure.figure.get_figwidth() / entry)))
        ax.legend(
            handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.0), borderaxespad=4.0,
            fontsize=9, frameon=False, labelcolor=theme.ink, ncols=columns,
        )  # fmt: skip
