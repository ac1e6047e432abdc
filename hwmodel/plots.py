"""Figures of values: which there are is said here, how they are drawn is not.

A cost and a study stand below the room that draws. As pandas looks up its plotting backend by name and late, so do
they: this is the one place that names a module of a room above, and it is loaded when a figure is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hwmodel.chip.accelerator import Accelerator

#: Draws: a function for each figure, `(value, ..., ax=...)` to the axes.
BACKEND = "reports.figures.backend"


def drawn(figure: str, *values: Any, **options: Any) -> Axes:
    """The axes of a figure, by the backend.

    Args:
        figure: name of its function there.
        values, options: of that function.

    Raises:
        ModuleNotFoundError: matplotlib, or the package that draws, is not installed.
    """
    try:
        axes: Axes = getattr(import_module(BACKEND), figure)(*values, **options)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package not in ("matplotlib", BACKEND.partition(".")[0]):
            raise
        raise ModuleNotFoundError(
            f"figures need {package}, which is not installed: pip install {package}", name=package
        ) from error
    return axes


class CostPlots:
    """Figures of a priced network; each returns the axes that it is drawn on, its own where `ax` is None."""

    def plot_layers(self, ax: Axes | None = None) -> Axes:
        """Weight bits of every layer, and its share of the energy."""
        return drawn("cost_layers", self, ax=ax)

    def plot_breakdown(self, ax: Axes | None = None) -> Axes:
        """Energy of every layer by memory level."""
        return drawn("cost_breakdown", self, ax=ax)

    def plot_traffic(self, ax: Axes | None = None) -> Axes:
        """Traffic of every memory by operand."""
        return drawn("cost_traffic", self, ax=ax)

    def plot_memory(self, accelerator: Accelerator, ax: Axes | None = None) -> Axes:
        """What lies in memory while each layer runs, on the accelerator that priced it.

        Raises:
            ConfigError: it has no memory in which tensors stay.
        """
        return drawn("cost_memory", self, accelerator, ax=ax)

    def plot_roofline(self, accelerator: Accelerator, ax: Axes | None = None) -> Axes:
        """MACs per second of every layer over its MACs per byte of outer traffic, under the roofs of its chip.

        Raises:
            ConfigError: the chip has no memory whose traffic is counted.
        """
        return drawn("cost_roofline", self, accelerator, ax=ax)
