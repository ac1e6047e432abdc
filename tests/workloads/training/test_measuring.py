"""Losses as values."""

from __future__ import annotations

import math

import pytest
import torch

from hwmodel.errors import ConfigError
from workloads.training import cross_entropy


@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_cross_entropy_of_classes_and_of_tokens(shape):
    # log(e^1 + 3 e^0) - 1 where the favoured class is right, without - 1 where it is not: two of six
    targets = torch.tensor([0, 1, 2, 3, 0, 1])
    favoured = torch.tensor([0, 1, 2, 3, 1, 2])
    outputs = torch.nn.functional.one_hot(favoured, 4).float().reshape(*shape, 4)
    expected = math.log(math.e + 3) - 4 / 6
    assert cross_entropy(outputs, targets.reshape(shape)) == pytest.approx(expected, rel=1e-6)


def test_cross_entropy_of_other_shapes_is_refused():
    with pytest.raises(ConfigError, match="classes need scores"):
        cross_entropy(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64))
