"""A picture of a network: layers coloured by kind, bars for their share of the MACs, equal blocks drawn once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import safe_name, shortened
from reports import units
from reports.figures import theme as themes
from reports.figures.cells import Point, Spot
from reports.figures.diagram import Item, diagram
from reports.figures.placement import Frame, Placement, place
from reports.figures.theme import Theme, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hwmodel.network.graph import LayerGraph

#: Colour and legend of every kind of node.
KINDS: dict[str, tuple[str, str]] = {
    "conv": (themes.BLUE, "convolution"),
    "depthwise": (themes.SKY, "depthwise convolution"),
    "linear": (themes.ORANGE, "linear"),
    "matmul": (themes.PURPLE, "product of activations"),
    "other": (themes.GREY, "other"),
    "port": (themes.GREY, "input"),
    "uncounted": (themes.VERMILION, "no rule: not counted"),
}
MARGIN, HEADER, FOOTER = 0.15, 0.5, 0.22
#: Letters that fit into a node, beside its share.
LABEL_LENGTH, DETAIL_LENGTH = 20, 32


def plot_graph(graph: LayerGraph, ax: Axes | None = None, *, theme: Theme = themes.LIGHT) -> Axes:
    """Draw a network from top to bottom, in columns where it is deep.

    Equal blocks that follow each other are one frame with `×N`; shares of the MACs are those of all N. Ops without
    MACs are left out, except those that join branches, tables of embeddings, and ops without a rule.

    Args:
        graph: as `trace` gives it.
        ax: draws here, letters scaled to fit; None makes a figure as large as the network needs.
        theme: colours.

    Returns:
        The axes drawn on (`ax` if given).
    """
    placement = place(diagram(graph))
    width = max(placement.width, 3.4) + 2 * MARGIN
    height = placement.height + HEADER + FOOTER + 2 * MARGIN
    if ax is None:
        ax = new_axes(width, height, theme)
        ax.figure.figure.set_layout_engine("none")
        ax.set_position((0, 0, 1, 1))
    box = ax.get_window_extent()
    dpi = ax.figure.figure.dpi
    scale = min(box.width / dpi / width, box.height / dpi / height)
    ax.set_axis_off()
    ax.set_aspect("equal")
    left = -MARGIN - max(0.0, 3.4 - placement.width) / 2
    ax.set_xlim(left, left + width)
    ax.set_ylim(placement.height + FOOTER + MARGIN, -HEADER - MARGIN)
    _draw(ax, placement, theme, scale)
    _header(ax, graph, left + MARGIN, theme, scale)
    _legend(ax, placement, left + MARGIN, theme, scale)
    return ax


def _draw(ax: Axes, placement: Placement, theme: Theme, scale: float) -> None:
    for frame in placement.frames:
        _frame(ax, frame, theme, scale)
    for path in placement.paths:
        _line(ax, path, theme, scale)
        _head(ax, path, theme, scale)
    for path in placement.ways_out:
        _line(ax, path, theme, scale)
    most = max((item.share for item, _ in placement.nodes), default=0.0)
    for item, spot in placement.nodes:
        if item.kind == "join":
            _join(ax, item, spot, theme, scale)
        else:
            _node(ax, item, spot, most, theme, scale)
    for x, y, letter, is_source in placement.tags:
        colour = theme.muted if is_source else theme.paper
        style = {
            "boxstyle": "circle,pad=0.15",
            "facecolor": colour,
            "edgecolor": theme.muted,
            "linewidth": 0.6 * scale,
        }
        _text(
            ax, x, y, letter, 5, theme.paper if is_source else theme.muted, scale, ha="center", bbox=style, zorder=6
        )


def _text(ax: Axes, x: float, y: float, text: str, size: float, colour: str, scale: float, **options: Any) -> None:
    """Plain text (a `$` starts no formula), its size in points at full scale."""
    options = {"va": "center", "zorder": 5, **options}
    ax.text(x, y, text, fontsize=size * scale, color=colour, parse_math=False, **options)


def _rounded(ax: Axes, left: float, top: float, width: float, height: float, **style: Any) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = "round,pad=0,rounding_size=0.05"
    ax.add_patch(FancyBboxPatch((left, top), width, height, boxstyle=shape, mutation_aspect=1, **style))


def _frame(ax: Axes, frame: Frame, theme: Theme, scale: float) -> None:
    width, height = frame.right - frame.left, frame.bottom - frame.top
    _rounded(
        ax, frame.left, frame.top, width, height, facecolor=theme.grid, edgecolor=theme.muted, alpha=0.55,
        linewidth=0.7 * scale, zorder=1,
    )  # fmt: skip
    title = shortened(frame.title, int(width / 0.062))
    _text(ax, frame.left + 0.07, frame.top + 0.1, title, 7, theme.ink, scale, fontweight="bold")


def _line(ax: Axes, path: Sequence[Point], theme: Theme, scale: float) -> None:
    xs, ys = [x for x, _ in path], [y for _, y in path]
    ax.plot(xs, ys, color=theme.muted, linewidth=0.9 * scale, solid_joinstyle="round", zorder=2)


def _head(ax: Axes, path: Sequence[Point], theme: Theme, scale: float) -> None:
    (x0, y0), (x1, y1) = path[-2:]
    marker = "v" if abs(y1 - y0) > abs(x1 - x0) else "<"
    dx, dy = (0.0, -0.02) if marker == "v" else (0.02, 0.0)
    ax.plot([x1 + dx], [y1 + dy], marker=marker, markersize=3.2 * scale, color=theme.muted, zorder=3)


def _node(ax: Axes, item: Item, spot: Spot, most: float, theme: Theme, scale: float) -> None:
    from matplotlib.patches import Rectangle

    colour = KINDS[item.kind][0]
    left = spot.x - spot.width / 2
    _rounded(
        ax, left, spot.top, spot.width, spot.height, facecolor=theme.paper, edgecolor=colour,
        linewidth=1.1 * scale, zorder=4,
    )  # fmt: skip
    _text(ax, left + 0.06, spot.top + 0.1, shortened(item.label, LABEL_LENGTH), 6.6, theme.ink, scale)
    _text(ax, left + 0.06, spot.top + 0.225, shortened(item.detail, DETAIL_LENGTH), 5.6, theme.muted, scale)
    if item.share:
        share = units.percent(item.share, 1) if item.share >= 0.0005 else "< 0.1 %"
        _text(ax, spot.right - 0.06, spot.top + 0.1, share, 5.6, theme.muted, scale, ha="right")
        width = (spot.width - 0.12) * item.share / most
        ax.add_patch(
            Rectangle((left + 0.06, spot.bottom - 0.065), width, 0.035, color=colour, zorder=5, linewidth=0)
        )


def _join(ax: Axes, item: Item, spot: Spot, theme: Theme, scale: float) -> None:
    from matplotlib.patches import Circle

    circle = Circle(
        (spot.x, spot.y),
        spot.width / 2,
        facecolor=theme.paper,
        edgecolor=theme.ink,
        linewidth=0.9 * scale,
        zorder=4,
    )
    ax.add_patch(circle)
    _text(ax, spot.x, spot.y, item.label, 7, theme.ink, scale, ha="center")


def _header(ax: Axes, graph: LayerGraph, left: float, theme: Theme, scale: float) -> None:
    bound = " (LOWER BOUND)" if graph.is_lower_bound else ""
    weights = sum(graph.weights.values())
    totals = f"{len(graph.layers)} layers · {units.count(weights)} weights · {units.count(graph.macs)} MACs{bound}"
    _text(ax, left, -HEADER + 0.02, shortened(safe_name(graph.name), 60), 9, theme.ink, scale, fontweight="bold")
    _text(ax, left, -HEADER + 0.19, totals, 7, theme.muted, scale)


def _legend(ax: Axes, placement: Placement, left: float, theme: Theme, scale: float) -> None:
    present = dict.fromkeys(item.kind for item, _ in placement.nodes if item.kind in KINDS and item.kind != "port")
    x, y = left, placement.height + FOOTER
    for kind in present:
        colour, label = KINDS[kind]
        ax.plot([x + 0.04], [y], marker="s", markersize=5 * scale, color=colour)
        _text(ax, x + 0.13, y, label, 6, theme.muted, scale)
        x += 0.3 + 0.052 * len(label)
    _text(ax, x, y, "bar: share of the MACs", 6, theme.muted, scale)
