"""Memory over time: what the memory where tensors stay holds at every step of a network, and what lies outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwmodel.show.occupancy import Step, occupancy
from reports.figures import theme as themes
from reports.figures.bars import bar_height, name_rows
from reports.figures.theme import Theme, legend_below, new_axes, style_axes
from reports.units import scaled_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hwmodel import NetworkCost
    from hwmodel.chip.accelerator import Accelerator


def plot_memory(
    cost: NetworkCost, accelerator: Accelerator, ax: Axes | None = None, *, theme: Theme = themes.LIGHT
) -> Axes:
    """What lies in the memory where tensors stay, step by step, its size as a line, and what lies outside as dots.

    Args:
        cost: of `evaluate`.
        accelerator: on which it was priced, with such a memory.
        ax: draws here; None makes a figure of its own, as tall as the steps need.
        theme: colours.
    """
    keeper = accelerator.keeper
    assert keeper is not None
    steps = shown_steps(cost, accelerator)
    size = keeper.size_bits or 0.0
    most = max([size, *(step.taken for step in steps), *(step.outside for step in steps)])
    label, scale = scaled_label("Memory", "B", most / 8, 1 / 8)
    ax = ax if ax is not None else new_axes(7.2, bar_height(len(steps)), theme)
    rows, left = range(len(steps)), [0.0] * len(steps)
    for name, colour, values in (
        (f"tensors in {keeper.name}", themes.BLUE, [step.resident for step in steps]),
        (f"weights in {keeper.name}", themes.PURPLE, [step.weights for step in steps]),
        ("tiles of the running layer", theme.soft, [step.tiles for step in steps]),
    ):
        if any(values):
            widths = [value * scale for value in values]
            ax.barh(rows, widths, left=left, height=0.72, color=colour, label=name)
            left = [start + width for start, width in zip(left, widths, strict=True)]
    if any(step.outside for step in steps):
        ax.plot(
            [step.outside * scale or math.nan for step in steps], rows, linestyle="none", marker="o",
            markersize=4.5, markerfacecolor=themes.VERMILION, markeredgecolor=theme.paper, markeredgewidth=0.7,
            label="tensors outside",
        )  # fmt: skip
    if size:
        ax.axvline(size * scale, color=theme.ink, linewidth=1.0, linestyle="--", label=f"size of {keeper.name}")
    ax.set_xlim(0, most * scale * 1.04)
    ax.set_xlabel(label)
    name_rows(ax, [step.node for step in steps])
    style_axes(ax, theme, grid="x")
    legend_below(ax, theme, columns=3)
    return ax


def shown_steps(cost: NetworkCost, accelerator: Accelerator) -> Sequence[Step]:
    """The steps of the layers, and those of other operations that leave a tensor of their own."""
    layers = {item.name for item in cost.layers}
    steps = occupancy(cost, accelerator)
    first = min((n for n, step in enumerate(steps) if step.node in layers), default=0)
    born = {tensor.birth for tensor in cost.tensors}
    return [step for n, step in enumerate(steps) if step.node in layers or (n > first and n in born)]
