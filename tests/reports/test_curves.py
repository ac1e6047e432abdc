"""Curves of a training: what is drawn is what the history holds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from hwmodel.errors import ConfigError
from reports import plot_curves, save_figure
from reports.figures.theme import new_axes
from workloads.training import Accuracy, EpochRecord, TrainResult


def history(epochs: int, *, validated: bool = True, averaged: bool = False) -> TrainResult:
    records = tuple(
        EpochRecord(
            epoch=n, lr=0.1 / n, loss=2.0 / n, train_accuracy=Accuracy(correct=50 + n, total=100),
            validation=Accuracy(correct=40 + n, total=80) if validated else None,
            ema_validation=Accuracy(correct=41 + n, total=80) if averaged else None, wall_s=0.5,
        )
        for n in range(1, epochs + 1)
    )  # fmt: skip
    return TrainResult(history=records, wall_s=0.5 * epochs, device="cpu")


@pytest.mark.parametrize("averaged", [False, True])
def test_the_lines_are_the_history(averaged: bool) -> None:
    result = history(4, averaged=averaged)
    ax = plot_curves(result)
    lines = {line.get_label(): line for line in ax.lines}
    train = lines["training (augmented batches)"]
    assert list(train.get_xdata()) == [1, 2, 3, 4]
    assert list(train.get_ydata()) == pytest.approx([51, 52, 53, 54])
    assert list(lines["validation"].get_ydata()) == pytest.approx([100 * (40 + n) / 80 for n in range(1, 5)])
    assert ("validation, averaged weights" in lines) == averaged
    (losses,) = [other for other in ax.figure.axes if other is not ax]
    assert list(losses.lines[0].get_ydata()) == pytest.approx([2 / n for n in range(1, 5)])
    assert (ax.get_ylabel(), losses.get_ylabel(), ax.get_xlabel()) == ("Accuracy [%]", "Loss", "Epoch")


def test_any_form_of_history_draws_on_given_axes(tmp_path: Path) -> None:
    result = history(2, validated=False)
    path = result.write_csv(tmp_path / "curves.csv")
    read = pd.read_csv(path)
    pd.testing.assert_frame_equal(read.drop(columns="validation_accuracy"),
                                  result.to_dataframe().drop(columns="validation_accuracy"))  # fmt: skip
    assert path.read_text().splitlines()[0] == "epoch,lr,loss,train_accuracy,validation_accuracy,wall_s"
    for form in (result, result.history, result.to_dataframe(), read):
        ax = new_axes(4, 3)
        assert plot_curves(form, ax) is ax
        assert [line.get_label() for line in ax.lines] == ["training loss (right)", "training (augmented batches)"]
    assert save_figure(tmp_path / "curves.png", ax).read_bytes().startswith(b"\x89PNG")


def test_an_empty_history_has_no_curves() -> None:
    with pytest.raises(ConfigError, match="at least one epoch"):
        plot_curves(history(0))
