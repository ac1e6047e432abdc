"""Figures: `plot(..., ax=None) -> Axes`, drawn without pyplot and without a display."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodel.files import write_atomic
from hwmodel.network.names import safe_name
from reports import units
from reports.figures import theme as themes
from reports.figures.theme import Theme, legend_below, new_axes, style_axes
from search.front.costs import COSTS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FIGURE_KINDS = ("png", "svg", "pdf")
#: More points than this are drawn as pixels inside a vector file.
MANY_POINTS = 1500


def plot_pareto(source: Any, ax: Axes | None = None, *, x: str = "avg_w_bits", theme: Theme = themes.LIGHT) -> Axes:
    """Accuracy over one cost: every candidate, the front, the picked one, and the float accuracy.

    Args:
        source: a run folder, a `Study`, a sequence of `Result`, or a frame of candidates as
            `reports.run.frames.candidate_frame` gives it.
        ax: draws here; None makes a figure of its own.
        x: a column of costs: a `key` of `search.front.costs.COSTS`.
        theme: colours.

    Returns:
        The axes drawn on (`ax` if given).

    Raises:
        ConfigError: `x` is no cost of these results.
    """
    from reports.run.candidates import candidate_frame

    frame = candidate_frame(source)
    label, scale = _axis(frame, x)
    ax = ax if ax is not None else new_axes(7.2, 4.4, theme)
    done = frame[frame["status"] == "done"]
    _draw_candidates(ax, done, x, scale, theme)
    _draw_front(ax, done, x, scale, theme)
    _draw_tests(ax, done, x, scale)
    _draw_float(ax, frame.attrs.get("float_accuracy"), theme)
    ax.set_xlabel(label)
    ax.set_ylabel("Accuracy [%]")
    style_axes(ax, theme)
    _focus(ax, done)
    legend_below(ax, theme, columns=3)
    return ax


def _axis(frame: pd.DataFrame, x: str) -> tuple[str, float]:
    from hwmodel.errors import ConfigError, did_you_mean

    costs = {cost.key: cost for cost in COSTS if cost.key in frame.columns}
    if x not in costs:
        raise ConfigError(
            f"plot_pareto: x must be among {', '.join(costs)}, but got {x!r}.{did_you_mean(x, costs)}"
        )
    unit, factor = costs[x].shown
    return scaled_label(costs[x].axis, unit, float(frame[x].max()) * factor, factor)


def scaled_label(label: str, unit: str, largest: float, factor: float) -> tuple[str, float]:
    """(label with unit, factor) so that the largest value has at most three digits before its point."""
    scale, prefix = units.prefix_of(largest) if unit != "bit" else (1.0, "")
    return f"{label} [{prefix}{unit}]" if prefix + unit else label, factor / scale


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
    """The best accuracy that each cost can buy, as steps, with the standard error of its corners."""
    front = done[done["front"]].sort_values([x, "accuracy"])
    if not len(front):
        return
    best = front["accuracy"].cummax()
    corner = front[front["accuracy"] >= best]
    ax.step(
        corner[x] * scale, corner["accuracy"] * 100, where="post", color=theme.front, linewidth=1.6,
        label="Pareto front, ± standard error", zorder=3,
    )  # fmt: skip
    ax.errorbar(
        front[x] * scale, front["accuracy"] * 100, yerr=front["standard_error"] * 100, fmt="none",
        ecolor=theme.front, elinewidth=1.0, capsize=2.5, alpha=0.8, zorder=3,
    )  # fmt: skip
    picked = front[front["picked"]]
    if len(picked):
        ax.scatter(
            picked[x] * scale, picked["accuracy"] * 100, s=190, facecolors="none", linewidths=2.0,
            edgecolors=themes.VERMILION, label="picked", zorder=6,
        )  # fmt: skip


def _draw_tests(ax: Axes, done: pd.DataFrame, x: str, scale: float) -> None:
    tested = done[done["test_accuracy"].notna()]
    if len(tested):
        spread = tested["test_sd"].fillna(0.0) * 100
        ax.errorbar(
            tested[x] * scale, tested["test_accuracy"] * 100, yerr=spread, fmt="D", markersize=6,
            markerfacecolor="none", color=themes.GREEN, elinewidth=1.2, capsize=3, zorder=5,
            label="test split, mean ± sd",
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
            place = ax.get_yaxis_transform()  # x in the frame of the axes: a column right of the bars
            ax.text(1.015, row, text, transform=place, va="center", fontsize=8, color=theme.muted)
    ax.set_xlim(0, max(bits, default=1.0) * 1.04)
    ax.set_xlabel("Weight precision [bit]")
    _name_rows(ax, list(frame["layer"]))
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
        ax.barh(range(len(names)), table[level], left=left, height=0.72, color=colour, label=units.place(level))
        left = left + table[level]
    ax.set_xlabel(label)
    _name_rows(ax, names)
    style_axes(ax, theme, grid="x")
    legend_below(ax, theme, columns=min(4, len(levels)))
    return ax


def breakdown_frame(cost: Any) -> pd.DataFrame:
    """Energy per layer and level [pJ] of a `NetworkCost`: columns layer, level, energy_pj."""
    import pandas as pd

    rows: list[dict[str, object]] = []
    for layer in cost.layers:
        per_level: dict[str, float] = {}
        for (level, _), value in layer.energy_breakdown.items():
            per_level[level] = per_level.get(level, 0.0) + value
        rows += [{"layer": layer.name, "level": level, "energy_pj": value} for level, value in per_level.items()]
    return pd.DataFrame(rows, columns=["layer", "level", "energy_pj"])


def bar_height(num_rows: int) -> float:
    """Height [inch] of a figure with one bar per row: grows with the rows up to 30 inches."""
    return min(1.7 + 0.21 * max(num_rows, 1), 30.0)


def _label_step(num_rows: int) -> int:
    """Name every n-th row, so that names do not overlap."""
    return max(1, math.ceil(num_rows / 135))


def _name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Layer names on the y axis, first layer on top, as plain text (a `$` starts no formula)."""
    step = _label_step(len(names))
    ax.set_yticks(range(0, len(names), step), [_shorten(safe_name(name)) for name in names[::step]])
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.set_ylim(len(names) - 0.4, -0.6)


def _shorten(name: str, length: int = 38) -> str:
    """The end of a long dotted name says more than its start."""
    return name if len(name) <= length else "…" + name[-(length - 1) :]


def figure_bytes(ax: Axes, kind: str = "png") -> bytes:
    """The figure of some axes as `png`, `svg` or `pdf`; the same figure gives the same bytes."""
    import warnings

    import matplotlib as mpl

    buffer = io.BytesIO()
    metadata = {{"svg": "Date", "pdf": "CreationDate"}.get(kind, "Software"): None}
    with mpl.rc_context({"svg.hashsalt": "hwmodel", "svg.fonttype": "path"}), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; that is no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        ax.figure.figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
    return buffer.getvalue()


def save_figure(ax: Axes, path: str | Path) -> Path:
    """Write the figure of some axes; the suffix (`.png`, `.svg`, `.pdf`) decides the format.

    Raises:
        ConfigError: another suffix.
    """
    from hwmodel.errors import ConfigError

    kind = Path(path).suffix.removeprefix(".").lower()
    if kind not in FIGURE_KINDS:
        raise ConfigError(f"{path}: figures are written as .png, .svg or .pdf, but got {kind!r}")
    return write_atomic(path, figure_bytes(ax, kind))
