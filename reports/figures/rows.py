"""Rows of a table as lines and as bars, with the intervals that the rows carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hwmodel.errors import ConfigError, check_one_of
from reports.figures import theme as themes
from reports.figures.theme import Theme, legend_below, new_axes, style_axes
from workloads.training import Accuracy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_MARKERS = "osD^vPX*"
_MANY = 40


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of plain values: an accuracy as its share, the ends of its interval, and the images it was counted on.

    Raises:
        ConfigError: a value that is no number, text or accuracy.
    """
    found: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Accuracy):
            interval = value.interval
            found |= {
                key: round(value.value, 6), f"{key}_low": round(interval.low, 4),
                f"{key}_high": round(interval.high, 4), f"{key}_images": value.total,
            }  # fmt: skip
        elif value is None or isinstance(value, (bool, int, float, str)):
            found[key] = value
        else:
            raise ConfigError(f"column {key!r}: must be a number, a text or an accuracy, but is {value!r:.60}.")
    return found


def plot_lines(
    rows: Sequence[Mapping[str, Any]],
    x: str,
    y: str,
    by: str | None = None,
    ax: Axes | None = None,
    *,
    labels: tuple[str, str] | None = None,
    log: str = "",
    percent: bool = False,
    joined: bool = True,
    legend: str = "below",
    names: str | None = None,
    theme: Theme = themes.LIGHT,
) -> Axes:
    """Lines of y over x.

    Args:
        rows: of a table, in the order in which they are joined; a row without x or y (absent, None) is left out.
        x, y: columns; an accuracy is drawn with its interval, as `Y_low` and `Y_high` beside a number are.
        by: column whose values make the lines, in order of appearance; None makes one.
        ax: draws here; None makes a figure of its own. Lines after others take the next colours.
        labels: of the x and y axis; None writes the columns.
        log: axes in logarithms: "", "x", "y" or "xy".
        percent: y is a share, drawn in per cent.
        joined: draw the line; without, points alone.
        names: column that is written beside each point.
        legend: `below` the axes, `inside` (for panels), or `none`.
        theme: colours.

    Returns:
        The axes (`ax` if given).

    Raises:
        ConfigError: no row has both columns, or another `legend` or `log`.
    """
    check_one_of("plot_lines: legend", legend, ("below", "inside", "none"))
    check_one_of("plot_lines: log", log, ("", "x", "y", "xy"))
    ax = ax if ax is not None else new_axes(7.2, 4.4, theme)
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for row in map(flat, rows):
        if row.get(x) is not None and row.get(y) is not None:
            groups.setdefault(row[by] if by else None, []).append(row)
    if not groups:
        raise ConfigError(
            f"plot_lines: no row has {x!r} and {y!r}. Its columns: {', '.join(rows[0]) if rows else 'none'}."
        )
    scale = 100.0 if percent else 1.0
    first = len(ax.get_legend_handles_labels()[0])
    for number, (name, group) in enumerate(groups.items(), start=first):
        heights = [row[y] * scale for row in group]
        across = [row[x] for row in group]
        ax.errorbar(
            across, heights, yerr=_errors(group, y, scale),
            color=themes.SERIES[number % len(themes.SERIES)], label=None if name is None else str(name),
            linestyle="-" if joined else "none", linewidth=1.6, capsize=2.5, elinewidth=1.0, markersize=4.5,
            marker=_MARKERS[number % len(_MARKERS)] if len(group) <= _MANY or not joined else None,
        )  # fmt: skip
        for each, place in zip(group, zip(across, heights, strict=True), strict=True):
            if names is not None and each.get(names) is not None:
                ax.annotate(
                    str(each[names]), place, xytext=(5, 4), textcoords="offset points", fontsize=8,
                    color=theme.muted,
                )  # fmt: skip
    for axis, is_log in ((ax.set_xscale, "x" in log), (ax.set_yscale, "y" in log)):
        if is_log:
            axis("log")
            plain_ticks(ax.xaxis if axis == ax.set_xscale else ax.yaxis)
    _finish(ax, x, y, by, labels, legend, theme)
    return ax


def plot_bars(
    rows: Sequence[Mapping[str, Any]],
    x: str,
    y: str,
    by: str | None = None,
    ax: Axes | None = None,
    *,
    labels: tuple[str, str] | None = None,
    percent: bool = False,
    legend: str = "below",
    theme: Theme = themes.LIGHT,
) -> Axes:
    """Bars of y beside each other for every value of x.

    Args:
        rows: of a table; a row without x or y is left out.
        x: column that names the groups of bars, in order of appearance.
        y: column of their heights, with intervals as of `plot_lines`.
        by: column whose values are the bars of a group, a colour each; None draws one.
        ax, labels, percent, legend, theme: as of `plot_lines`.

    Returns:
        The axes (`ax` if given).

    Raises:
        ConfigError: no row has both columns, or another `legend`.
    """
    check_one_of("plot_bars: legend", legend, ("below", "inside", "none"))
    ax = ax if ax is not None else new_axes(7.2, 4.4, theme)
    drawn = [row for row in map(flat, rows) if row.get(x) is not None and row.get(y) is not None]
    if not drawn:
        raise ConfigError(f"plot_bars: no row has {x!r} and {y!r}.")
    places = {name: index for index, name in enumerate(dict.fromkeys(row[x] for row in drawn))}
    kinds = list(dict.fromkeys(row[by] if by else None for row in drawn))
    width, scale = 0.8 / len(kinds), 100.0 if percent else 1.0
    for number, kind in enumerate(kinds):
        group = [row for row in drawn if by is None or row[by] == kind]
        shift = (number - (len(kinds) - 1) / 2) * width
        ax.bar(
            [places[row[x]] + shift for row in group], [row[y] * scale for row in group], width * 0.92,
            yerr=_errors(group, y, scale), color=themes.SERIES[number % len(themes.SERIES)],
            label=None if kind is None else str(kind), capsize=2.5, error_kw={"elinewidth": 1.0},
        )  # fmt: skip
    ax.set_xticks(list(places.values()), [str(name) for name in places])
    _finish(ax, x, y, by, labels, legend, theme)
    return ax


def _finish(
    ax: Axes, x: str, y: str, by: str | None, labels: tuple[str, str] | None, legend: str, theme: Theme
) -> None:
    """Names of the axes, style, and the legend."""
    ax.set_xlabel(labels[0] if labels else x.replace("_", " "))
    ax.set_ylabel(labels[1] if labels else y.replace("_", " "))
    style_axes(ax, theme)
    if by is not None and legend == "below":
        legend_below(ax, theme, columns=min(4, max(1, len(ax.get_legend_handles_labels()[0]))))
    elif by is not None and legend == "inside":
        ax.legend(fontsize=8, frameon=False, labelcolor=theme.ink)


def plain_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis as plain numbers; those between the decades only where it spans less than two."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axis.set_major_formatter(plain)
    axis.set_minor_formatter(plain if high < 100 * low else NullFormatter())
    axis.set_minor_locator(LogLocator(subs=(2.0, 3.0, 5.0) if high < 100 * low else "auto"))


def _errors(group: Sequence[Mapping[str, Any]], y: str, scale: float) -> list[list[float]] | None:
    """Below and above each point; None where the rows carry no intervals."""
    low, high = f"{y}_low", f"{y}_high"
    if not all(low in row and high in row for row in group):
        return None
    return [
        [max(0.0, row[y] - row[low]) * scale for row in group],
        [max(0.0, row[high] - row[y]) * scale for row in group],
    ]
