"""Random networks: whatever their channels meet, the sliced network is the masked one."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from tests.workloads.pruning.pruning_models import randomized
from workloads.compress.pruning import channel_groups, slice_channels

KINDS = ("conv", "conv", "conv", "add", "cat", "norm", "depthwise", "grouped", "gate", "twice", "softplus")


class RandomNet(nn.Module):
    """Steps that read any earlier value; the last layer reads them all."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        choice = random.Random(seed)
        self.steps: list[tuple[str, int, int]] = []
        self.layers = nn.ModuleList()
        widths = [3]
        for _ in range(choice.randint(4, 10)):
            kind, first = choice.choice(KINDS), choice.randrange(len(widths))
            width = widths[first]
            if kind == "grouped" and width % 2:
                kind = "softplus"
            same = [index for index, other in enumerate(widths) if kind == "cat" or other == width]
            second = choice.choice(same)
            layer, outputs = self._layer(kind, width, choice)
            self.steps.append((kind, first, second))
            self.layers.append(layer)
            widths.append(outputs + widths[second] if kind == "cat" else outputs)
        self.fc = nn.Linear(sum(widths) * 4, 3)

    @staticmethod
    def _layer(kind: str, width: int, choice: random.Random) -> tuple[nn.Module, int]:
        if kind == "conv":
            outputs, size = choice.choice([2, 4, 6]), choice.choice([1, 3])
            return nn.Conv2d(width, outputs, size, padding=size // 2, bias=choice.random() < 0.5), outputs
        if kind == "norm":
            return nn.BatchNorm2d(width), width
        if kind == "depthwise":
            return nn.Conv2d(width, 2 * width, 3, padding=1, groups=width), 2 * width
        if kind == "grouped":
            return nn.Conv2d(width, 4, 3, padding=1, groups=2), 4
        if kind == "gate":
            gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1), nn.Hardsigmoid())
            return gate, width
        return (nn.Conv2d(width, width, 1) if kind == "twice" else nn.Identity()), width

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for (kind, first, second), layer in zip(self.steps, self.layers, strict=True):
            a, b = values[first], values[second]
            if kind == "add":
                values.append(a + b)
            elif kind == "cat":
                values.append(torch.cat([a, b], 1))
            elif kind == "gate":
                values.append(a * layer(a))
            elif kind == "twice":
                values.append(layer(layer(a)))
            elif kind == "softplus":
                values.append(functional.softplus(a))
            else:
                values.append(layer(a))
        pooled = [functional.adaptive_max_pool2d(v, 2) if i % 2 else functional.avg_pool2d(v, 3)
                  for i, v in enumerate(values)]  # fmt: skip
        return self.fc(torch.cat(pooled, 1).flatten(1))


@pytest.mark.filterwarnings("ignore:no channel of this RandomNet can be removed")
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_slicing_is_masking(seed: int) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = randomized(RandomNet(seed), seed)
    x = torch.zeros(2, 3, 6, 6)
    groups = channel_groups(model, x)
    choice = random.Random(seed)
    keep = {g.name: sorted(choice.sample(range(g.size), choice.randint(1, g.size))) for g in groups}
    sliced = slice_channels(model, groups, keep, x)  # compares the outputs in float64
    removed = sum(group.size - len(keep[group.name]) for group in groups)
    sizes = [sum(p.numel() for p in m.parameters()) for m in (model, sliced)]
    assert (sizes[1] < sizes[0]) == (removed > 0)
