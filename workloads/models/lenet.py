"""LeNet-5 (LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998, fig. 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workloads.models.image_model import ImageModel

FIRST_CHANNELS = 6


class LeNet5(ImageModel):
    """The 32x32 original with every C3 map connected to every S2 map, plain averages and tanh.

    The paper's C5 is `conv3`, a convolution whose filter covers its whole 5x5 input; F6 is `fc1` and
    the output `fc2`. 61,470 weights without biases and 416,520 MACs per image (10 classes, 1 channel).

    Args:
        in_channels, num_classes: of the data.
        width: output channels of the first convolution; all others follow in proportion, rounded.
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10, width: int = FIRST_CHANNELS) -> None:
        super().__init__((in_channels, 32, 32))
        second, third, fourth = (max(1, round(c * width / FIRST_CHANNELS)) for c in (16, 120, 84))
        self.conv1 = nn.Conv2d(in_channels, width, 5)
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(width, second, 5)
        self.pool2 = nn.AvgPool2d(2)
        self.conv3 = nn.Conv2d(second, third, 5)
        self.fc1 = nn.Linear(third, fourth)
        self.fc2 = nn.Linear(fourth, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 32, 32) -> (N, num_classes)."""
        x = self.pool1(torch.tanh(self.conv1(x)))
        x = self.pool2(torch.tanh(self.conv2(x)))
        x = torch.tanh(self.conv3(x)).flatten(1)
        x = torch.tanh(self.fc1(x))
        logits: Tensor = self.fc2(x)
        return logits
