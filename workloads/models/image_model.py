"""What every network on images here has in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImageModel(nn.Module):
    """A network on images that knows the shape of its input.

    Args:
        input_shape: (C, H, W).
    """

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.input_shape = input_shape

    def example_input(self, batch: int = 1) -> Tensor:
        """Images to trace with: (batch, C, H, W), standard normal, always the same."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(batch, *self.input_shape, generator=generator)


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size at stride 1; a batch norm follows it, so it has no bias."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)


def conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    return nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
