"""DS-CNN for keyword spotting (Zhang et al., Hello Edge, arXiv:1711.07128), small, as in MLPerf Tiny."""

from __future__ import annotations

from torch import Tensor, nn

from workloads.models.image_model import ImageModel

BLOCKS = 4


class SeparableConv(nn.Module):
    """3x3 depthwise, 1x1 pointwise, each with batch norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.bn1(self.depthwise(x)))
        return nn.functional.relu(self.bn2(self.pointwise(x)))


class DSCNN(ImageModel):
    """49 frames of 10 coefficients -> 12 words; a 10x4 convolution, four separable ones, a linear layer.

    Args:
        in_channels, num_classes: of the data.
        width: channels of all layers.
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 12, width: int = 64) -> None:
        super().__init__((in_channels, 49, 10))
        self.conv1 = nn.Conv2d(in_channels, width, (10, 4), stride=2, padding=(5, 1), bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(*(SeparableConv(width) for _ in range(BLOCKS)))
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 49, 10) -> (N, num_classes)."""
        x = self.blocks(nn.functional.relu(self.bn1(self.conv1(x))))
        logits: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits
