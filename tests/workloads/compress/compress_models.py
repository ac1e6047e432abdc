"""Small models, graphs and data for the tests of compression and training."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from hwmodel.network.graph import LayerGraph, Port
from hwmodel.network.graph import Tensor as Edge
from hwmodel.network.layer import Dims, Layer


class TinyNet(nn.Module):
    """conv - bn - relu - depthwise conv - relu - pool - linear, on (N, 1, 8, 8)."""

    def __init__(self, num_classes: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU(), nn.Conv2d(8, 12, 1))
        self.fc = nn.Linear(12, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.block(x))
        return self.fc(x.mean((2, 3)))


TINY_LAYERS = ("conv1", "block.0", "block.2", "fc")


def tiny_net(seed: int = 0) -> TinyNet:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return TinyNet()


def images(count: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def tiny_graph(name: str = "tiny", size: int = 8, batch: int = 1) -> LayerGraph:
    dims = {
        "conv1": Dims(B=batch, K=8, C=1, OY=size, OX=size, FY=3, FX=3),
        "block.0": Dims(B=batch, G=8, OY=size, OX=size, FY=3, FX=3),
        "block.2": Dims(B=batch, K=12, C=8, OY=size, OX=size),
        "fc": Dims(B=batch, K=4, C=12),
    }
    return chain(name, [
        Layer(name=n, module=n, dims=d, kind="linear" if n == "fc" else "conv") for n, d in dims.items()
    ])  # fmt: skip


def chain(name: str, layers: list[Layer]) -> LayerGraph:
    """A graph of layers in a row."""
    nodes = [Port(name="input", kind="input"), *layers, Port(name="output", kind="output")]
    edges = [(a.name, b.name, Edge(name=f"t{index}", shape=(1,))) for index, (a, b) in enumerate(pairwise(nodes))]
    return LayerGraph(name, nodes, edges)


@dataclass(frozen=True)
class Split:
    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Data:
    name: str
    train: Split
    validation: Split
    test: Split


def quadrant_data(num_train: int = 256, num_other: int = 100, noise: float = 0.6) -> Data:
    """Noise images with one brighter quadrant; its number is the class."""

    def split(count: int, seed: int) -> Split:
        generator = torch.Generator().manual_seed(seed)
        x = noise * torch.rand(count, 1, 8, 8, generator=generator)
        y = torch.randint(0, 4, (count,), generator=generator)
        for image, label in zip(x, y.tolist(), strict=True):
            row, column = divmod(label, 2)
            image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 0.5
        return Split(x, y)

    return Data("quadrants", split(num_train, 1), split(num_other, 2), split(num_other, 3))


class QuadrantNet(nn.Module):
    """Learns `quadrant_data` in a few epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.bn(self.conv(x))).flatten(1))


def quadrant_net(seed: int = 0) -> QuadrantNet:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return QuadrantNet()
