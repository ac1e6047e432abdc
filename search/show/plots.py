"""Figures of a study: which there are. How they are drawn says the backend of `hwmodel.plots`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.plots import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class StudyPlots:
    """Figures of a study; each returns the axes that it is drawn on, its own where `ax` is None."""

    def plot_front(self, x: str | None = None, y: str = "accuracy", ax: Axes | None = None) -> Axes:
        """Every candidate and the front.

        Args:
            x: a cost, by name (`energy`) or key; None is the first of the objectives.
            y: the accuracy, or another cost.
            ax: draws here.
        """
        return drawn("study_front", self, x, y, ax=ax)

    def plot_history(self, ax: Axes | None = None) -> Axes:
        """Hypervolume over the number of results."""
        return drawn("study_history", self, ax=ax)

    def plot_sensitivity(self, ax: Axes | None = None) -> Axes:
        """How much each single change costs, group by group.

        Raises:
            ConfigError: it is not measured (yet).
        """
        return drawn("study_sensitivity", self, ax=ax)

    def plot_layers(self, ax: Axes | None = None) -> Axes:
        """Weight bits of every layer of the knee of the front, and its share of the energy."""
        return drawn("study_layers", self, ax=ax)
