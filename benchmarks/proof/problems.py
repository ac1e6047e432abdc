"""Searches small enough to answer completely: a network, its data, its space, and how a candidate is finetuned.

`digits` needs nothing: the weight widths {1, 2, 4, 8} of five narrow layers on scikit-learn's 8x8 digits, 1,024
candidates. `cifar10` needs the data (`HWMODEL_DATA`, or a path): weight and activation widths of four groups of a
residual network on CIFAR-10 averaged to 16x16 pixels, 1,536 candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwmodel.network.graph import LayerGraph
from search import Space
from search.groups import Group
from workloads import load_data, trace
from workloads.data.dataset import Dataset, make_dataset
from workloads.training import TrainSettings

#: Of 1,797 digits so many train, so many are measured on: counts of 360 would hide the differences that matter.
DIGITS_TRAIN, DIGITS_VALIDATION = 600, 1000
#: Deviation of the noise added to the digits, in units of their own: without it one bit is nearly enough.
DIGITS_NOISE = 0.6
CIFAR_VALIDATION = 2000
#: CIFAR-10 is averaged over so many pixels each way.
POOL = 2


class Plain(nn.Module):
    """Five layers: four convolutions of 4 to 12 channels and a linear one."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 4, 6, 8, 12)
        self.convs = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 3, stride=1 + i % 2, padding=1, bias=False) for i in range(4)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.fc = nn.Linear(widths[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = functional.relu(norm(conv(x)))
        return self.fc(x.mean((2, 3)))


class Residual(nn.Module):
    """A strided stem of 8 channels, a residual convolution, a strided one to 12, a residual one, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _unit(3, 8, stride=2)
        self.block1 = _unit(8, 8)
        self.down = _unit(8, 12, stride=2)
        self.block2 = _unit(12, 12)
        self.fc = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        x = functional.relu(x + self.block1(x))
        x = functional.relu(self.down(x))
        x = functional.relu(x + self.block2(x))
        return self.fc(x.mean((2, 3)))


def _unit(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


@dataclass(frozen=True, kw_only=True)
class SmallSearch:
    """One search that is answered completely.

    Attributes:
        name: of its table.
        network: makes the float model; its weights are drawn from torch's generator.
        data: reads the data; the argument is a path for those that need one.
        space: of a traced graph.
        float_settings, qat: how the float model is trained, and how a candidate is finetuned.
        qat_images: of the training split, its first, a candidate is finetuned on.
        accelerator: prices energy.
        chance: accuracy of guessing.
    """

    name: str
    network: Callable[[], nn.Module]
    data: Callable[[Path | None], Dataset]
    space: Callable[[LayerGraph], Space]
    float_settings: TrainSettings
    qat: TrainSettings
    qat_images: int
    accelerator: str = "edge_npu"
    chance: float = 0.1

    def finetuning_data(self, data: Dataset) -> Dataset:
        """What a candidate sees."""
        return replace(data, train=data.train.take(self.qat_images))

    def graph(self, data: Dataset) -> LayerGraph:
        """Of the network, for one image."""
        return trace(self.network(), data.example())


def noisy_digits(_: Path | None = None) -> Dataset:
    """The digits under fixed noise, 600 to train, 1,000 to measure on."""
    whole = load_data("digits")
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([split.x for split in (whole.train, whole.validation, whole.test)])
    y = torch.cat([split.y for split in (whole.train, whole.validation, whole.test)])
    x = x + DIGITS_NOISE * torch.randn(x.shape, generator=generator)
    ends = (DIGITS_TRAIN, DIGITS_TRAIN + DIGITS_VALIDATION, len(x))
    cuts = [slice(0, ends[0]), slice(ends[0], ends[1]), slice(ends[1], ends[2])]
    parts = [(x[cut], y[cut]) for cut in cuts]
    return make_dataset("noisy digits", (parts[0], parts[1], parts[2]), 10, "scikit-learn digits and noise")


def small_cifar10(path: Path | None = None) -> Dataset:
    """CIFAR-10 averaged to 16x16 pixels, 2,000 to measure on."""
    whole = load_data("cifar10", **({} if path is None else {"path": path}))
    train, validation, test = (
        replace(split, x=functional.avg_pool2d(split.x, POOL))
        for split in (whole.train, whole.validation.take(CIFAR_VALIDATION), whole.test)
    )
    return replace(whole, name="small cifar10", train=train, validation=validation, test=test)


def weight_space(graph: LayerGraph) -> Space:
    """{1, 2, 4, 8} weight bits of every layer, 8 bits of activations."""
    return Space.from_graph(graph, w_bits=(1, 2, 4, 8), a_bits=(8,), frozen=None)


def weight_and_activation_space(graph: LayerGraph) -> Space:
    """{1, 2, 4, 8} x {2, 8} in three groups, {2, 4, 8} weight bits in the stem, 8 in the last layer."""
    groups = {name: [f"{name}.*"] for name in ("stem", "block1", "down", "block2")}
    space = Space.from_graph(graph, w_bits=(1, 2, 4, 8), a_bits=(2, 8), groups=groups, frozen={"fc": 8})
    stem = Group(name="stem", modules=space.groups[0].modules, w_bits=(2, 4, 8), a_bits=(8,), density=(1.0,))
    return replace(space, groups=(stem, *space.groups[1:]))


SEARCHES: dict[str, SmallSearch] = {
    search.name: search
    for search in (
        SmallSearch(
            name="digits",
            network=Plain,
            data=noisy_digits,
            space=weight_space,
            float_settings=TrainSettings.from_scratch(epochs=60, shift=0, label_smoothing=0.0),
            qat=TrainSettings(epochs=4, lr=0.005, batch_size=50, optimizer="adam"),
            qat_images=600,
        ),
        SmallSearch(
            name="cifar10",
            network=Residual,
            data=small_cifar10,
            space=weight_and_activation_space,
            float_settings=TrainSettings.from_scratch(epochs=40, shift=1, flip=True, label_smoothing=0.0),
            qat=TrainSettings(epochs=4, lr=0.005, batch_size=50, optimizer="adam"),
            qat_images=600,
        ),
    )
}
