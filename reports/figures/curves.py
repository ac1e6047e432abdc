"""How a training went: loss and accuracy by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwmodel.errors import ConfigError
from reports.figures import theme as themes
from reports.figures.theme import Theme, legend_below, new_axes, style_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from workloads.training import EpochRecord, TrainResult

#: Column -> legend, colour, line style.
_ACCURACIES = {
    "train_accuracy": ("training (augmented batches)", themes.SKY, "-"),
    "validation_accuracy": ("validation", themes.BLUE, "-"),
    "ema_validation_accuracy": ("validation, averaged weights", themes.GREEN, "-"),
}


def plot_curves(
    history: TrainResult | Sequence[EpochRecord] | pd.DataFrame,
    ax: Axes | None = None,
    *,
    theme: Theme = themes.LIGHT,
) -> Axes:
    """Accuracies, or the metric of the run, by epoch on the left axis, the loss on a second one on the right.

    Args:
        history: of `finetune`, its records, or the frame (or CSV) of `to_dataframe`.
        ax: draws here; None makes a figure of its own.
        theme: colours.

    Returns:
        The axes of the accuracies (`ax` if given).

    Raises:
        ConfigError: no epoch.
    """
    from matplotlib.ticker import MaxNLocator

    frame = _frame(history)
    if not len(frame):
        raise ConfigError("plot_curves needs at least one epoch, but the history is empty")
    ax = ax if ax is not None else new_axes(7.2, 4.4, theme)
    marker = "o" if len(frame) <= 30 else None
    losses = ax.twinx()
    losses.plot(frame["epoch"], frame["loss"], color=themes.ORANGE, linestyle="--", marker=marker, markersize=3)
    ax.plot([], [], color=themes.ORANGE, linestyle="--", label="training loss (right)")
    for column, (label, color, line) in _ACCURACIES.items():
        if column in frame.columns and frame[column].notna().any():
            ax.plot(
                frame["epoch"], frame[column] * 100, line, color=color, label=label, marker=marker, markersize=3.5
            )
    metrics = [name for name in frame.columns if "validation_" in name and name not in _ACCURACIES]
    for column, color in zip(metrics, (themes.BLUE, themes.GREEN), strict=False):
        label = column.replace("_", " ").removeprefix("ema ") + (", averaged weights" * column.startswith("ema_"))
        ax.plot(frame["epoch"], frame[column], color=color, label=label, marker=marker, markersize=3.5)
    ax.set_xlabel("Epoch")
    ax.set_ylabel(metrics[0].removeprefix("validation_") if metrics else "Accuracy [%]")
    losses.set_ylabel("Loss")
    losses.set_ylim(bottom=0)
    style_axes(ax, theme)
    style_axes(losses, theme, grid="none")
    losses.set_facecolor("none")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(ax, theme, columns=2)
    return ax


def _frame(history: TrainResult | Sequence[EpochRecord] | pd.DataFrame) -> pd.DataFrame:
    from workloads.training import TrainResult

    if isinstance(history, TrainResult):
        return history.to_dataframe()
    if isinstance(history, Sequence):
        return TrainResult(history=tuple(history), wall_s=0.0, device="").to_dataframe()
    return history
