"""What must hold of the float model before a search means anything, and what to say where it does not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from hwmodel.errors import ConfigError
from workloads.training.accuracy import Accuracy
from workloads.training.inputs import feed_of


class ChanceLevelError(ConfigError):
    """A float model that has learned nothing."""


def chance_level(split: Any) -> Accuracy:
    """What always answering the most frequent class of a split scores on it."""
    counts: Counter[int] = Counter()
    for _, labels in feed_of(split, torch.device("cpu")).in_order():
        counts.update(labels.flatten().tolist())
    return Accuracy(correct=max(counts.values()), total=counts.total())


def check_learned(accuracy: Accuracy, chance: Accuracy, place: object) -> None:
    """Refuse to compress a model that knows nothing: every configuration would keep its accuracy.

    Args:
        accuracy: of the float model on the validation split.
        chance: `chance_level` of that split.
        place: folder of the run, for the message.

    Raises:
        ChanceLevelError: neither does chance lie below the interval of the accuracy, nor the accuracy above that of
            chance (a handful of images: 9 of 9 where a class has 7).
    """
    if accuracy.interval.low > chance.value or accuracy.value > chance.interval.high:
        return
    raise ChanceLevelError(
        f"{place}: the float model scores {accuracy} on the validation split, no better than always answering "
        f"its most frequent class ({chance.value * 100:.2f} %): there is nothing to keep, any saving looks free. "
        "Train it longer (training: {float: {epochs: ...}}), or check checkpoint, labels and normalisation, then "
        "search under a new name. More validation images show a smaller lead."
    )


def gap_note(validation: Accuracy, test: Accuracy, *, may_be_memory: bool) -> str:
    """What a gap between the splits means, where it is beyond noise (the intervals do not overlap); else "".

    Args:
        validation, test: of the float model.
        may_be_memory: its weights were given, and may have seen the validation images.
    """
    if validation.interval.overlaps(test.interval):
        return ""
    gap = f"The float model scores {validation} on the validation split, but {test} on the test split"
    if validation.value > test.value and may_be_memory:
        return (
            f"{gap}. Its checkpoint has probably been trained on the validation images: then the search saw "
            "memory, not accuracy. Cut the split from the test files, data_options: {validation: test}."
        )
    return f"{gap}: beyond noise, so the splits differ. Compare test accuracies with test accuracies."
