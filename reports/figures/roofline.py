"""The roofline of a chip, and where the layers of a network stand under it.

Williams, Waterman and Patterson, Roofline: an insightful visual performance model, CACM 2009; with MACs for flops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hwmodel.errors import ConfigError
from hwmodel.network.names import safe_name, shortened
from reports import units
from reports.figures import theme as themes
from reports.figures.theme import Theme, legend_below, new_axes, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hwmodel import LayerCost, NetworkCost
    from hwmodel.chip.accelerator import Accelerator

#: Layers that are named: those that take the most time.
NAMED = 6
#: Points nearer than this to a named one [decades] have no name.
APART = 0.12
#: Roofs that are drawn: one for each pair of widths, the commonest first.
MAX_ROOFS = 4


def plot_roofline(
    cost: NetworkCost, accelerator: Accelerator, ax: Axes | None = None, *, theme: Theme = themes.LIGHT
) -> Axes:
    """MACs per second of every layer over its MACs per byte of traffic to the outermost memory, both in logarithms.

    The size of a dot grows with the time of the layer; the vector operations on its output count in time and
    traffic. Roofs: the peak of the array at each pair of widths, and the bandwidth of the outermost memory.

    Args:
        cost: of `evaluate`.
        accelerator: on which it was priced.
        ax: draws here; None makes a figure of its own.
        theme: colours.

    Raises:
        ConfigError: the accelerator has no memory whose traffic is counted, or no layer moves any.
    """
    from matplotlib.ticker import EngFormatter, NullFormatter

    points = [(item, outer_bytes(item, accelerator)) for item in cost.layers]
    points = [(item, moved) for item, moved in points if moved and item.cycles]
    if not points:
        raise ConfigError(f"plot_roofline: {accelerator.name} counts no traffic to an outermost memory.")
    ax = ax if ax is not None else new_axes(7.2, 4.6, theme)
    across = np.array([item.macs / moved for item, moved in points])
    rate = np.array([item.macs / item.cycles * cost.clock_hz for item, _ in points])
    share = np.array([item.cycles for item, _ in points]) / max(cost.cycles, 1)
    _draw_roofs(ax, cost, accelerator, (float(across.min()) / 3, float(across.max()) * 3), theme)
    for bound in dict.fromkeys(item.bound for item, _ in points):
        at = np.array([item.bound == bound for item, _ in points])
        colour = themes.BLUE if bound == "compute" else themes.VERMILION if bound == _outer(accelerator) else None
        ax.scatter(
            across[at], rate[at], s=25 + 400 * share[at], alpha=0.75, linewidths=0.8, edgecolors=theme.paper,
            color=colour or themes.GREEN, label=f"bound by {safe_name(bound)}".replace("$", r"\$"), zorder=3,
        )  # fmt: skip
    _name_points(ax, [item.name for item, _ in points], across, rate, np.argsort(-share), theme)
    for axis in (ax.xaxis, ax.yaxis):
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_major_formatter(EngFormatter())
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(f"MACs per byte of traffic to {safe_name(_outer(accelerator))}".replace("$", r"\$"))
    ax.set_ylabel("MACs per second")
    style_axes(ax, theme)
    legend_below(ax, theme, columns=3)
    return ax


def _name_points(
    ax: Axes,
    names: Sequence[str],
    across: NDArray[np.float64],
    rate: NDArray[np.float64],
    order: NDArray[np.int64],
    theme: Theme,
) -> None:
    """The names of the first points in this order that are not too near to one that is named."""
    named: list[int] = []
    for n in order:
        near = [
            m
            for m in named
            if abs(np.log10(across[n] / across[m])) < APART and abs(np.log10(rate[n] / rate[m])) < APART
        ]
        if near or len(named) == NAMED:
            continue
        named.append(int(n))
        text = ax.annotate(
            shortened(safe_name(names[n]), 24), (across[n], rate[n]), xytext=(7, -11),
            textcoords="offset points", fontsize=8, color=theme.ink,
        )  # fmt: skip
        text.set_parse_math(False)


def peak_macs_per_s(accelerator: Accelerator, w_bits: int, a_bits: int) -> float | None:
    """What the whole array can do at these widths [MAC/s]; None on chips without one."""
    if accelerator.roofline is not None:
        return accelerator.roofline.format_for(max(w_bits, a_bits)).macs_per_s
    if accelerator.kind != "spatial":
        return None
    return accelerator.num_pes * accelerator.precision.macs_per_cycle(w_bits, a_bits) * accelerator.clock_hz


def outer_bytes_per_s(accelerator: Accelerator) -> float | None:
    """What the outermost memory reads and writes in a second [byte/s]; None where it is no limit."""
    if accelerator.roofline is not None:
        return accelerator.roofline.memory_bits_per_s / 8
    if not accelerator.levels:
        return None
    memory = accelerator.levels[-1].memories[0]
    ports = [memory.read_bits_per_cycle] if memory.shared_port else [
        memory.read_bits_per_cycle, memory.write_bits_per_cycle
    ]  # fmt: skip
    known = [port for port in ports if port is not None]
    return sum(known) * accelerator.clock_hz / 8 if len(known) == len(ports) else None


def counts_traffic(cost: NetworkCost, accelerator: Accelerator) -> bool:
    """Some layer moves bytes to or from the outermost memory."""
    return any(outer_bytes(item, accelerator) for item in cost.layers)


def outer_bytes(item: LayerCost, accelerator: Accelerator) -> float:
    """Traffic of a layer to the outermost memory [byte]."""
    outer = {memory.name for memory in accelerator.levels[-1].memories} if accelerator.levels else set()
    return sum(bits for (place, _), bits in item.traffic_bits.items() if place in outer) / 8


def _outer(accelerator: Accelerator) -> str:
    return accelerator.levels[-1].memories[0].name if accelerator.levels else ""


def _draw_roofs(
    ax: Axes, cost: NetworkCost, accelerator: Accelerator, span: tuple[float, float], theme: Theme
) -> None:
    """A flat roof for each pair of widths, and the slope of the memory up to the highest."""
    widths: dict[tuple[int, int], int] = {}
    for item in cost.layers:
        bits = item.layer.bits or accelerator.native_bits
        widths[bits.w, bits.i] = widths.get((bits.w, bits.i), 0) + 1
    common = sorted(widths, key=lambda pair: -widths[pair])[:MAX_ROOFS]
    peaks = {pair: peak for pair in common if (peak := peak_macs_per_s(accelerator, *pair)) is not None}
    line = np.geomspace(*span, 200)
    slope = outer_bytes_per_s(accelerator)
    limit = np.full(200, np.inf) if slope is None else line * slope
    for number, ((w, i), peak) in enumerate(peaks.items()):
        ax.plot(
            line, np.minimum(limit, peak), color=theme.ink, linewidth=1.2, linestyle=(0, (4 + 3 * number, number)),
            label=f"roof at W/A {w}/{i}: {units.count(peak)}MAC/s", zorder=2,
        )  # fmt: skip
    if not peaks and slope is not None:
        ax.plot(line, limit, color=theme.ink, linewidth=1.2, label="bandwidth of the outermost memory", zorder=2)
