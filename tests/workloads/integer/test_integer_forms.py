"""Ways to write a forward that an integer network must read."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.workloads.integer.integer_models import quantized, seeded
from tests.workloads.integer.test_integer_network import assert_equals_reference
from workloads import load_model
from workloads.integer import integerize, psum_errors, record_psums


class SharedLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.fc = nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(), nn.Linear(128, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv(x))
        return self.fc(self.act(self.conv(x)).flatten(1))


class InPlaceAddAndMean(nn.Module):
    """The convolution's output is read twice, so its ReLU stands alone; the output is no layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        y += functional.relu(y)
        return torch.relu(self.second(y)).mean((2, 3))


class OneDimension(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(2, 4, 3, padding="same", dilation=2), nn.BatchNorm1d(4)
        self.fc, self.fc_norm, self.head = nn.Linear(256, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.conv(x.flatten(2))))
        return self.head(functional.relu(self.fc_norm(self.fc(x.reshape(x.shape[0], -1)))))


class PaddingModes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect")
        self.second = nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.hardswish(self.second(functional.gelu(self.first(x))))
        return self.fc(functional.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


class Tokens(nn.Module):
    """Linear layers on (N, T, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x.flatten(1, 2))))


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1)
        self.right, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        return self.head(torch.cat((self.left(x), self.right(x)), 1)).mean(dim=[2, 3])


@pytest.mark.parametrize(
    "build",
    [SharedLayer, InPlaceAddAndMean, OneDimension, PaddingModes, Tokens, Branches],
    ids=lambda b: b.__name__,
)
def test_forms(build):
    x = torch.randn(8, 2, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.3
    qmodel = quantized(seeded(build), x, granularity="channel")
    network = integerize(qmodel, x)
    assert_equals_reference(network, x)
    expected = qmodel(x).detach().double()
    assert float((network(x) - expected).abs().max()) <= 0.02 * float(expected.abs().max())
    assert len(record_psums(network, x)) == len(network.layers)
    assert all(error.relative < 1e-5 for error in psum_errors(qmodel, x))


@pytest.mark.parametrize("name", ["mobilenetv2", "dscnn"])
def test_models_of_the_house(name):
    model = load_model(name).eval()
    x = model.example_input(2)[..., :48, :48]
    network = integerize(quantized(model, x), x)
    assert_equals_reference(network, x)
