"""LeNet-5 (LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998, fig. 2)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from hwmodel.errors import check_one_of
from workloads.models.image_model import ImageModel

Activation = Literal["tanh", "relu"]
Pool = Literal["average", "max"]
FIRST_CHANNELS = 6


class LeNet5(ImageModel):
    """The 32x32 original with every C3 map connected to every S2 map, plain averages and tanh.

    The paper's C5 is `conv3`, a convolution whose filter covers its whole 5x5 input; F6 is `fc1` and
    the output `fc2`. 61,470 weights without biases and 416,520 MACs per image (10 classes, 1 channel).

    Args:
        in_channels, num_classes: of the data.
        width: output channels of the first convolution; all others follow in proportion, rounded.
        activation: `tanh`, or the `relu` of most later versions.
        pool: `average`, or the `max` of most later versions. Neither changes a weight or a MAC.

    Raises:
        ConfigError: another activation or pool.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        width: int = FIRST_CHANNELS,
        activation: Activation = "tanh",
        pool: Pool = "average",
    ) -> None:
        check_one_of("activation", activation, get_args(Activation))
        check_one_of("pool", pool, get_args(Pool))
        super().__init__((in_channels, 32, 32))
        second, third, fourth = (max(1, round(c * width / FIRST_CHANNELS)) for c in (16, 120, 84))
        pooling = nn.AvgPool2d if pool == "average" else nn.MaxPool2d
        self.activate = torch.tanh if activation == "tanh" else nn.functional.relu
        self.conv1 = nn.Conv2d(in_channels, width, 5)
        self.pool1 = pooling(2)
        self.conv2 = nn.Conv2d(width, second, 5)
        self.pool2 = pooling(2)
        self.conv3 = nn.Conv2d(second, third, 5)
        self.fc1 = nn.Linear(third, fourth)
        self.fc2 = nn.Linear(fourth, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 32, 32) -> (N, num_classes)."""
        x = self.pool1(self.activate(self.conv1(x)))
        x = self.pool2(self.activate(self.conv2(x)))
        x = self.activate(self.conv3(x)).flatten(1)
        x = self.activate(self.fc1(x))
        logits: Tensor = self.fc2(x)
        return logits
