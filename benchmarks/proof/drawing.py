"""One figure: hypervolume against finetunings, and against seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.proof.contenders import EVEN, PREDICTED
from reports.figures import theme as themes
from reports.figures.theme import LIGHT, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]

#: Contender -> label, colour, line style.
LINES = {
    "front": ("hwmodel", themes.BLUE, "-"),
    PREDICTED: ("integer program, by predicted hypervolume", themes.ORANGE, "--"),
    EVEN: ("integer program, evenly", themes.YELLOW, "--"),
    "tpe": ("TPE", themes.GREEN, "-"),
    "nsga2": ("NSGA-II", themes.VERMILION, "-"),
    "gp": ("Optuna's GP", themes.PURPLE, "-"),
    "random": ("random", themes.GREY, "-"),
}
COST_NAMES = {"avg_w_bits": "average weight bits", "energy": "energy"}
FLOOR = 80.0


def draw(rows: Sequence[Row]) -> Axes:
    """A line of panels per table and cost: against runs on the left, against seconds on the right; the first axes.

    Args:
        rows: of `benchmarks.proof.comparing.compare`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings = list(dict.fromkeys((row["table"], row["objective"]) for row in rows))
    figure = Figure(figsize=(9.6, 1.0 + 2.5 * len(settings)), layout="constrained", facecolor=LIGHT.paper)
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(settings), 2, squeeze=False, sharey=True)
    for line, (table, objective) in zip(panels, settings, strict=True):
        own = [row for row in rows if (row["table"], row["objective"]) == (table, objective)]
        for ax, key, label in zip(line, ("runs", "seconds"), ("finetunings", "processor seconds"), strict=True):
            _panel(ax, own, key)
            ax.set_xlabel(label)
        line[0].set_ylabel("% of exact hypervolume")
        line[0].set_title(f"{table}: accuracy and {COST_NAMES[objective]}", loc="left", fontsize=10)
        for ax in line:
            style_axes(ax, LIGHT)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9, labelcolor=LIGHT.ink
    )
    found: Axes = panels[0][0]
    return found


def _panel(ax: Axes, rows: Sequence[Row], key: str) -> None:
    for name, (label, color, line) in LINES.items():
        own = [row for row in rows if row["contender"] == name]
        if not own:
            continue
        x = [row[key] for row in own]
        ax.plot(x, [100 * row["mean"] for row in own], line, color=color, label=label, linewidth=1.8)
        banded = [row for row in own if row["low"] is not None]
        ax.fill_between(
            [row[key] for row in banded],
            [100 * row["low"] for row in banded],
            [100 * row["high"] for row in banded],
            color=color, alpha=0.18, linewidth=0,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_ylim(FLOOR, 100.5)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
