"""The Pareto front: accuracy over one cost. Drawn, like every figure, without pyplot and without a display."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hwmodel.errors import ConfigError, did_you_mean
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


def plot_pareto(source: Any, ax: Axes | None = None, *, x: str = "avg_w_bits", theme: Theme = themes.LIGHT) -> Axes:
    """Accuracy over one cost: every candidate, the front, the picked one, uniform bits, and the float accuracy.

    Where front and uniform candidates were tested, intervals are drawn around those accuracies only.

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
    _focus(ax, done)
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
    """The best accuracy that each cost can buy, as steps, with the 95 % intervals."""
    front = done[done["front"]].sort_values([x, "accuracy"])
    if not len(front):
        return
    best = front["accuracy"].cummax()
    corner = front[front["accuracy"] >= best]
    untested = front[front["test_accuracy"].isna()]
    ax.step(
        corner[x] * scale, corner["accuracy"] * 100, where="post", color=theme.front, linewidth=1.6,
        label="Pareto front, 95 % intervals" if len(untested) else "Pareto front (validation)", zorder=3,
    )  # fmt: skip
    if len(untested):
        ax.errorbar(
            untested[x] * scale, untested["accuracy"] * 100, yerr=error_bars(untested, "accuracy", "accuracy"),
            fmt="none", ecolor=theme.front, elinewidth=1.0, capsize=2.5, alpha=0.8, zorder=3,
        )  # fmt: skip
    picked = front[front["picked"]]
    if len(picked):
        ax.scatter(
            picked[x] * scale, picked["accuracy"] * 100, s=190, facecolors="none", linewidths=2.0,
            edgecolors=themes.VERMILION, label="picked", zorder=6,
        )  # fmt: skip


def error_bars(rows: pd.DataFrame, accuracy: str, name: str) -> list[list[float]]:
    """How far each interval reaches down and up [%]; nothing where there is none."""
    down, up = rows[accuracy] - rows[f"{name}_low"], rows[f"{name}_high"] - rows[accuracy]
    return [(side.clip(lower=0).fillna(0.0) * 100).tolist() for side in (down, up)]


def _draw_tests(ax: Axes, done: pd.DataFrame, x: str, scale: float) -> None:
    """The front on the test split."""
    tested = done[done["test_accuracy"].notna() & done["front"]]
    if len(tested):
        ax.errorbar(
            tested[x] * scale, tested["test_accuracy"] * 100, yerr=error_bars(tested, "test_accuracy", "test"),
            fmt="D", markersize=6, markerfacecolor="none", color=themes.GREEN, elinewidth=1.2, capsize=3, zorder=5,
            label="front on the test split, 95 %",
        )  # fmt: skip


def _draw_uniform(ax: Axes, done: pd.DataFrame, x: str, scale: float) -> None:
    """The same bits everywhere, finetuned: what a search has to beat. On the test split where they were tested."""
    rows = done[(done["origin"] == "uniform") & (done["stage"] == "qat")].sort_values(x)
    if not len(rows):
        return
    is_tested = bool(rows["test_accuracy"].notna().all())
    name, interval = ("test_accuracy", "test") if is_tested else ("accuracy", "accuracy")
    ax.errorbar(
        rows[x] * scale, rows[name] * 100, yerr=error_bars(rows, name, interval), marker="s", linestyle=(0, (1, 2)),
        linewidth=1.2, markersize=6, color=themes.PURPLE, elinewidth=1.2, capsize=3, zorder=5,
        label="uniform bits on the test split, 95 %" if is_tested else "uniform bits, finetuned, 95 %",
    )  # fmt: skip


def _draw_float(ax: Axes, accuracy: float | None, theme: Theme) -> None:
    if accuracy is not None and math.isfinite(accuracy):
        ax.axhline(
            accuracy * 100, color=theme.muted, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1,
            label=f"float, {accuracy * 100:.2f} %",
        )  # fmt: skip


def _focus(ax: Axes, done: pd.DataFrame) -> None:
    """Keep the scale of the front: failures far below it are cut off, and that is said."""
    front = done[done["front"]]
    if not len(front):
        return
    top = min(ax.get_ylim()[1], 100.5)  # an error bar may reach above 100 %, the scale need not
    ax.set_ylim(top=top)
    lowest = float(front["accuracy"].min()) * 100
    floor = lowest - max(1.5 * (top - lowest), 5.0)
    hidden = int((done["accuracy"] * 100 < floor).sum())
    if hidden == 0:
        return
    ax.set_ylim(floor, top)
    plural = "s" if hidden > 1 else ""
    ax.annotate(
        f"{hidden} candidate{plural} below {floor:.0f} % not shown", (1.0, 1.01), xycoords="axes fraction",
        fontsize=8, color=themes.GREY, ha="right",
    )  # fmt: skip
