"""A float model that knows nothing, and one that remembers its validation images."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from workloads.training.accuracy import Accuracy
from workloads.training.chance import ChanceLevelError, chance_level, check_learned, gap_note


def test_chance_is_the_most_frequent_class() -> None:
    y = torch.tensor([0] * 3 + [1] * 5 + [2] * 2)
    x = torch.zeros(10, 1, 2, 2)
    assert chance_level((x, y)) == Accuracy(correct=5, total=10)
    assert chance_level(DataLoader(TensorDataset(x, y), batch_size=4)) == Accuracy(correct=5, total=10)
    tokens = torch.tensor([[7, 7, 7], [7, 1, 2]])  # a target for every position
    assert chance_level((tokens, tokens)) == Accuracy(correct=4, total=6)


def test_a_model_at_chance_is_refused_and_one_beyond_it_is_not() -> None:
    chance = Accuracy(correct=100, total=1000)
    for correct in (80, 100, 115):  # 115 of 1,000: the score test at 5 % needs 100 + 1.96 * sqrt(90) = 118.6
        with pytest.raises(ChanceLevelError, match=r"runs/a: .* no better than always answering .*\(10\.00 %\)"):
            check_learned(Accuracy(correct=correct, total=1000), chance, "runs/a")
    check_learned(
        Accuracy(correct=9, total=9), Accuracy(correct=7, total=9), "runs/a"
    )  # all that 9 images can show
    for correct in (119, 900):
        check_learned(Accuracy(correct=correct, total=1000), chance, "runs/a")


def test_a_gap_between_the_splits_is_said_where_it_is_beyond_noise() -> None:
    # ResNet-20 as published, validation cut from its training images: 96.8 % of 5,000 and 91.7 % of 10,000
    seen, test = Accuracy(correct=4840, total=5000), Accuracy(correct=9170, total=10000)
    note = gap_note(seen, test, may_be_memory=True)
    assert "96.80 %" in note and "91.70 %" in note and "memory" in note and "validation: test" in note
    assert "memory" not in gap_note(seen, test, may_be_memory=False)
    assert "splits differ" in gap_note(seen, test, may_be_memory=False)
    assert "memory" not in gap_note(test, seen, may_be_memory=True)  # better on the test split
    assert gap_note(Accuracy(correct=356, total=360), Accuracy(correct=350, total=360), may_be_memory=True) == ""
