"""The Pareto front: accuracy over one cost. Drawn, like every figure, without pyplot and without a display."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hwmodel.errors import ConfigError, did_you_mean
from hwmodel.network.names import times
from reports.figures import theme as themes
from reports.figures.theme import Theme, legend_below, new_axes, style_axes
from reports.run.folder import read_candidates
from reports.units import scaled_label
from search.front.costs import costs_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: More points than this are drawn as pixels inside a vector file.
MANY_POINTS = 1500
#: The test is drawn right of the validation by this share of the width of the front.
TEST_SHIFT = 0.012


def plot_pareto(source: Any, ax: Axes | None = None, *, x: str = "avg_w_bits", theme: Theme = themes.LIGHT) -> Axes:
    """Accuracy over one cost: every candidate, the front, the picked one, uniform bits, and the float accuracy.

    Members of the front are ringed; the dashed steps are the best in these two axes alone. Test accuracies stand a
    little right of the validation ones. What lies outside the view is counted.

    Args:
        source: a run folder, a `Study`, a sequence of `Result`, or a frame of candidates as
            `reports.run.folder.read_candidates` gives it.
        ax: draws here; None makes a figure of its own.
        x: a column of costs: a `key` of `search.front.costs.COSTS`.
        theme: colours.

    Returns:
        The axes drawn on (`ax` if given).

    Raises:
        ConfigError: `x` is no cost of these results.
    """
    frame = read_candidates(source)
    label, scale = _axis(frame, x)
    ax = ax if ax is not None else new_axes(7.2, 4.4, theme)
    done = frame[frame["status"] == "done"]
    _draw_candidates(ax, done, x, scale, theme)
    _draw_front(ax, done, x, scale, theme)
    _draw_tests(ax, done, x, scale)
    _draw_uniform(ax, done, x, scale)
    _draw_float(ax, frame.attrs.get("float_accuracy"), theme)
    ax.set_xlabel(label)
    ax.set_ylabel("Accuracy [%]")
    style_axes(ax, theme)
    _focus(ax, done, x, scale)
    legend_below(ax, theme, columns=3)
    return ax


def plot_costs(source: Any, ax: Axes | None = None, *, x: str, y: str, theme: Theme = themes.LIGHT) -> Axes:
    """One cost over another: every candidate, those of the front, and the picked one.

    Args:
        source, ax, x, theme: as of `plot_pareto`.
        y: another column of costs.

    Raises:
        ConfigError: `x` or `y` is no cost of these results.
    """
    frame = read_candidates(source)
    (label, scale), (above, factor) = _axis(frame, x), _axis(frame, y)
    ax = ax if ax is not None else new_axes(7.2, 4.4, theme)
    done = frame[frame["status"] == "done"]
    for rows, size, colour, name in (
        (done[~done["front"]], 22, themes.ORANGE, "candidates"),
        (done[done["front"]], 36, theme.front, "Pareto front, of all objectives"),
    ):
        ax.scatter(
            rows[x] * scale, rows[y] * factor, s=size, color=colour, linewidths=0, label=name, alpha=0.7,
            rasterized=len(rows) > MANY_POINTS,
        )  # fmt: skip
    picked = done[done["picked"]]
    ax.scatter(
        picked[x] * scale, picked[y] * factor, s=190, facecolors="none", linewidths=2.0,
        edgecolors=themes.VERMILION, label="picked",
    )  # fmt: skip
    ax.set_xlabel(label)
    ax.set_ylabel(above)
    style_axes(ax, theme)
    legend_below(ax, theme, columns=3)
    return ax


def _axis(frame: pd.DataFrame, x: str) -> tuple[str, float]:
    costs = {cost.key: cost for cost in costs_of(frame.columns)}
    if x not in costs:
        raise ConfigError(
            f"plot_pareto: x must be among {', '.join(costs)}, but got {x!r}.{did_you_mean(x, costs)}"
        )
    unit, factor = costs[x].shown
    return scaled_label(costs[x].axis, unit, float(frame[x].max()) * factor, factor)


def _draw_candidates(ax: Axes, done: pd.DataFrame, x: str, scale: float, theme: Theme) -> None:
    pixels = len(done) > MANY_POINTS
    ptq, qat = done[done["stage"] == "ptq"], done[done["stage"] == "qat"]
    if len(ptq):
        ax.scatter(
            ptq[x] * scale, ptq["accuracy"] * 100, s=22, color=themes.ORANGE, alpha=0.45, linewidths=0,
            label="quantized after training (PTQ)", rasterized=pixels, zorder=2,
        )  # fmt: skip
    if len(qat):
        ax.scatter(
            qat[x] * scale, qat["accuracy"] * 100, s=34, color=theme.qat, linewidths=0,
            label="finetuned quantized (QAT)", rasterized=pixels, zorder=4,
        )  # fmt: skip


def _draw_front(ax: Axes, done: pd.DataFrame, x: str, scale: float, theme: Theme) -> None:
    """Members of the front ringed, with their 95 % intervals, and what is best in these two axes alone, dashed.

    A front over more objectives has members that others dominate in two of them.
    """
    front = done[done["front"]].sort_values([x, "accuracy"])
    if not len(front):
        return
    steps = projection(done[done["stage"].isin(front["stage"])], x)
    ax.step(
        steps[x] * scale, steps["accuracy"] * 100, where="post", color=theme.muted, linewidth=1.2,
        linestyle=(0, (4, 3)), label="best in these two axes (projection)", zorder=3,
    )  # fmt: skip
    ax.errorbar(
        front[x] * scale, front["accuracy"] * 100, yerr=error_bars(front, "accuracy", "accuracy"),
        fmt="o", markersize=9, markerfacecolor="none", color=theme.front, markeredgewidth=1.3, elinewidth=1.0,
        capsize=2.5, zorder=4, label="front, validation, 95 %",
    )  # fmt: skip
    picked = front[front["picked"]]
    if len(picked):
        ax.scatter(
            picked[x] * scale, picked["accuracy"] * 100, s=240, facecolors="none", linewidths=2.0,
            edgecolors=themes.VERMILION, label="picked", zorder=6,
        )  # fmt: skip


def projection(rows: pd.DataFrame, x: str) -> pd.DataFrame:
    """The rows that are more accurate than every cheaper one, cheapest first."""
    ordered = rows.sort_values([x, "accuracy"], ascending=[True, False])
    return ordered[ordered["accuracy"] > ordered["accuracy"].cummax().shift(fill_value=-math.inf)]


def _right_of(done: pd.DataFrame, x: str) -> float:
    """How far right of the validation the test is drawn, in the unit of `x`."""
    front = done.loc[done["front"], x]
    return TEST_SHIFT * float(front.max() - front.min()) if len(front) else 0.0


def error_bars(rows: pd.DataFrame, accuracy: str, name: str) -> list[list[float]]:
    """How far each interval reaches down and up [%]; nothing where there is none."""
    down, up = rows[accuracy] - rows[f"{name}_low"], rows[f"{name}_high"] - rows[accuracy]
    return [(side.clip(lower=0).fillna(0.0) * 100).tolist() for side in (down, up)]


def _draw_tests(ax: Axes, done: pd.DataFrame, x: str, scale: float) -> None:
    """The front on the test split, a little to the right: its intervals and those of validation stand apart."""
    tested = done[done["test_accuracy"].notna() & done["front"]]
    if len(tested):
        ax.errorbar(
            (tested[x] + _right_of(done, x)) * scale, tested["test_accuracy"] * 100,
            yerr=error_bars(tested, "test_accuracy", "test"), fmt="D", markersize=6, markerfacecolor="none",
            color=themes.GREEN, elinewidth=1.2, capsize=3, zorder=5,
            label="front, test (drawn to the right), 95 %",
        )  # fmt: skip


def _draw_uniform(ax: Axes, done: pd.DataFrame, x: str, scale: float) -> None:
    """The same bits everywhere, finetuned: what a search has to beat. On the test split where they were tested."""
    rows = done[(done["origin"] == "uniform") & (done["stage"] == "qat")].sort_values(x)
    if not len(rows):
        return
    is_tested = bool(rows["test_accuracy"].notna().all())
    name, interval = ("test_accuracy", "test") if is_tested else ("accuracy", "accuracy")
    shift = _right_of(done, x) if is_tested else 0.0
    ax.errorbar(
        (rows[x] + shift) * scale, rows[name] * 100, yerr=error_bars(rows, name, interval), marker="s",
        linestyle=(0, (1, 2)), linewidth=1.2, markersize=6, color=themes.PURPLE, elinewidth=1.2, capsize=3,
        zorder=5, label="uniform bits on the test split, 95 %" if is_tested else "uniform bits, finetuned, 95 %",
    )  # fmt: skip


def _draw_float(ax: Axes, accuracy: float | None, theme: Theme) -> None:
    if accuracy is not None and math.isfinite(accuracy):
        ax.axhline(
            accuracy * 100, color=theme.muted, linewidth=1.2, linestyle=(0, (7, 2, 1, 2)), zorder=1,
            label=f"float, {accuracy * 100:.2f} %",
        )  # fmt: skip


def _focus(ax: Axes, done: pd.DataFrame, x: str, scale: float) -> None:
    """Show where the front and uniform bits lie: what is far below or beside them is cut off, and counted."""
    front = done[done["front"]]
    if not len(front):
        return
    top = min(ax.get_ylim()[1], 100.5)  # an error bar may reach above 100 %, the scale need not
    lowest = float(front["accuracy"].min()) * 100
    floor = max(lowest - max(1.5 * (top - lowest), 5.0), ax.get_ylim()[0])
    shown = done.loc[done["front"] | ((done["origin"] == "uniform") & (done["stage"] == "qat")), x] * scale
    room = 0.08 * float(shown.max() - shown.min()) or 0.1 * float(shown.max())
    left, right = (
        max(float(shown.min()) - room, ax.get_xlim()[0]),
        min(float(shown.max()) + room, ax.get_xlim()[1]),
    )
    is_outside = (done["accuracy"] * 100 < floor) | ~(done[x] * scale).between(left, right)
    ax.set_ylim(floor, top)
    ax.set_xlim(left, right)
    if hidden := int(is_outside.sum()):
        ax.annotate(
            f"{times(hidden, 'candidate')} outside this view not shown", (1.0, 1.01), xycoords="axes fraction",
            fontsize=8, color=themes.GREY, ha="right",
        )  # fmt: skip
