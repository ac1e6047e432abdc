"""Hits image by image over a part of a split that grows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import quadrant_data, quadrant_net
from workloads.compress import CompressionConfig
from workloads.training import Scorer, TrainSettings, measure_accuracy
from workloads.training.growing import Hits, growing_hits, image_order, num_countable, part_ends


class Sign(nn.Module):
    """Class 1 where the input is above 0, and notes the images it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(x))
        return torch.stack((-x[:, 0], x[:, 0]), dim=1)


def sorted_split(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """By class; a tenth of the labels of each is wrong."""
    y = (torch.arange(count) >= count // 2).long()
    x = (2.0 * y - 1.0)[:, None].clone()
    x[::10] *= -1
    return x, y


def test_parts_double_from_one_batch() -> None:
    assert list(part_ends(5000)) == [500, 1000, 2000, 4000, 5000]
    assert list(part_ends(500)) == [500]
    assert list(part_ends(360)) == [360]


@pytest.mark.parametrize(("most", "stop"), [(1, 500), (501, 1000), (1001, 1900), (10_000, 1900)])
def test_it_ends_with_the_first_part_that_is_enough(most: int, stop: int) -> None:
    asked: list[int] = []

    def is_enough(hits: Hits) -> bool:
        asked.append(len(hits))
        return len(hits) >= most

    model, (x, y) = Sign(), sorted_split(1900)
    hits = growing_hits(model, (x, y), is_enough, "cpu")
    assert len(hits) == sum(model.seen) == stop
    assert asked == [end for end in (500, 1000) if end <= max(stop, 500) and end < 1900][: len(asked)]
    order = image_order(1900)[:stop]
    expected = (x[order, 0] > 0).long() == y[order]
    assert np.array_equal(hits, expected.numpy())
    assert not model.training or model.training == Sign().training
    assert abs(float(y[order[:500]].float().mean()) - 0.5) < 0.1, "the first images are of all classes"


def test_all_of_them_are_the_accuracy() -> None:
    data, model = quadrant_data(), quadrant_net()
    hits = growing_hits(model, data.validation, lambda hits: False, "cpu")
    found = measure_accuracy(model, data.validation)
    assert (int(hits.sum()), len(hits)) == (found.correct, found.total)


def test_what_has_no_classes_image_by_image_has_no_hits() -> None:
    x, y = sorted_split(40)
    assert num_countable((x, y)) == 40
    assert num_countable((x, y.float())) == 0
    assert num_countable((x, y[:, None].repeat(1, 3))) == 0, "a class per token"
    assert num_countable(DataLoader(TensorDataset(x, y), batch_size=8)) == 0
    with pytest.raises(ConfigError, match="one class per image"):
        growing_hits(Sign(), (x, y.float()), lambda hits: True)


def test_the_scorer_counts_images_only_where_accuracy_is_measured() -> None:
    data, config = quadrant_data(), CompressionConfig.from_bits({"conv": 4, "fc": 4}, a_bits=8)
    scorer = Scorer(quadrant_net(), data, TrainSettings(epochs=1), "cpu")
    hits = scorer.ptq_hits(config, lambda hits: False)
    assert len(hits) == scorer.num_images() == len(data.validation.x)
    whole = scorer.ptq(config).accuracy
    assert int(hits.sum()) == getattr(whole, "correct", None)

    def share(outputs: torch.Tensor, targets: torch.Tensor) -> float:
        return float((outputs.argmax(-1) == targets).float().mean())

    assert Scorer(quadrant_net(), data, TrainSettings(epochs=1), "cpu", metric=share).num_images() == 0
