"""How a search went, and what it measured first: hypervolume over results, single changes group by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hwmodel.network.names import safe_name, shortened
from reports.figures import theme as themes
from reports.figures.bars import bar_height, name_rows
from reports.figures.theme import Theme, legend_below, new_axes, style_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_DASHES = ("-", "--", "-.", ":")


def plot_history(
    histories: Mapping[str, Sequence[float]], ax: Axes | None = None, *, theme: Theme = themes.LIGHT
) -> Axes:
    """The share of the box that each run dominates over the number of its results (`reports.run.volume.Box`).

    Args:
        histories: name of a run -> share after every result.
        ax: draws here; None makes a figure of its own.
        theme: colours.
    """
    from matplotlib.ticker import MaxNLocator

    ax = ax if ax is not None else new_axes(7.2, 3.8, theme)
    for number, (name, shares) in enumerate(histories.items()):
        colour, dash = themes.SERIES[number % len(themes.SERIES)], _DASHES[number % len(_DASHES)]
        ax.step(
            range(1, len(shares) + 1), [share * 100 for share in shares], where="post", color=colour,
            linestyle=dash, linewidth=1.6, label=plain_label(name), marker="o" if len(shares) == 1 else None,
        )  # fmt: skip
    ax.set_xlabel("Results")
    ax.set_ylabel("Hypervolume [% of the box]")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylim(bottom=0)
    style_axes(ax, theme)
    if len(histories) > 1:
        legend_below(ax, theme, columns=2)
    return ax


def plain_label(name: str) -> str:
    """A name for a legend: short, one line, and no formula."""
    return shortened(safe_name(name), 40).replace("$", r"\$")


def plot_sensitivity(frame: pd.DataFrame, ax: Axes | None = None, *, theme: Theme = themes.LIGHT) -> Axes:
    """How much the logit of the error rises where one group alone changes: a cell per group and combination.

    Args:
        frame: as `search.propose.sensitivity.Sensitivity.to_dataframe` gives it.
        ax: draws here; None makes a figure of its own, as tall as the groups need.
        theme: colours.
    """
    combination = [
        f"W{w} A{a}" + (f" {d:.2g}" if d != 1 else "")
        for w, a, d in zip(frame["w_bits"], frame["a_bits"], frame["density"], strict=True)
    ]
    table = frame.assign(combination=combination).pivot_table(
        index="group", columns="combination", values="rise", sort=False
    )
    ax = ax if ax is not None else new_axes(7.2, bar_height(len(table)), theme)
    image = ax.imshow(table.to_numpy(), aspect="auto", cmap="cividis_r", interpolation="nearest", vmin=0)
    ax.set_xticks(range(table.shape[1]), list(table.columns), rotation=45, ha="right")
    name_rows(ax, list(table.index))
    style_axes(ax, theme, grid="none")
    bar = ax.figure.figure.colorbar(image, ax=ax)
    bar.set_label("Rise of the logit of the error", color=theme.ink)
    bar.ax.tick_params(colors=theme.muted, labelsize=9)
    return ax
