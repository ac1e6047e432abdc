"""ResNet-18 and ResNet-50 (He et al., CVPR 2016, table 1) with torchvision's layer names.

As in torchvision the stride of a bottleneck is on its 3x3 convolution (version 1.5).
"""

from __future__ import annotations

from torch import Tensor, nn

from workloads.models.image_model import ImageModel, conv1x1, conv3x3

FIRST_CHANNELS, STAGES = 64, 4


class BasicBlock(nn.Module):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = nn.functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return nn.functional.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1 to the width, 3x3, 1x1 to four times the width."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv1x1(inputs, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, width * self.expansion)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = _downsample(inputs, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = nn.functional.relu(self.bn1(self.conv1(x)))
        out = nn.functional.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return nn.functional.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(ImageModel):
    """A 7x7 convolution, a pool, four stages of blocks, a linear layer.

    Args:
        block: of which the stages are made.
        depths: blocks per stage.
        num_classes: of the data.
        in_channels: of the data.
        width: output channels of the first convolution, and of the first stage; each further stage doubles it.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        num_classes: int = 1000,
        in_channels: int = 3,
        width: int = FIRST_CHANNELS,
    ) -> None:
        super().__init__((in_channels, 224, 224))
        self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = width
        for index, depth in enumerate(depths):
            blocks, own = [], width * 2**index
            for position in range(depth):
                blocks.append(block(channels, own, 2 if index > 0 and position == 0 else 1))
                channels = own * block.expansion
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, num_classes)."""
        x = self.maxpool(nn.functional.relu(self.bn1(self.conv1(x))))
        for index in range(STAGES):
            x = self.get_submodule(f"layer{index + 1}")(x)
        logits: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


def _downsample(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))


def resnet18(num_classes: int = 1000, in_channels: int = 3, width: int = FIRST_CHANNELS) -> ResNet:
    """ResNet-18: 11,689,512 parameters with 1,000 classes at its width of 64."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, in_channels, width)


def resnet50(num_classes: int = 1000, in_channels: int = 3, width: int = FIRST_CHANNELS) -> ResNet:
    """ResNet-50: 25,557,032 parameters with 1,000 classes at its width of 64."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, in_channels, width)
