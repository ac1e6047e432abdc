"""MobileNetV2 (Sandler et al., CVPR 2018, table 2) with torchvision's layer names."""

from __future__ import annotations

from torch import Tensor, nn

from workloads.models.image_model import ImageModel

#: (expansion t, channels c, repeats n, stride s of the first), table 2 of the paper.
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
FIRST_CHANNELS, LAST_CHANNELS = 32, 1280
#: Channels are multiples of it where the net is narrowed.
DIVISOR = 8


def _scaled(channels: int, width: int) -> int:
    """Channels of a net whose first layer has `width`: a multiple of 8, at most a tenth below the exact number."""
    exact = channels * width / FIRST_CHANNELS
    rounded = max(DIVISOR, int(exact + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded + DIVISOR if rounded < 0.9 * exact else rounded


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """1x1 up, 3x3 depthwise, linear 1x1 down; a residual where the shape is kept."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.has_residual = stride == 1 and inputs == outputs
        up = [_conv(inputs, hidden, 1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *up,
            _conv(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.has_residual else out


class MobileNetV2(ImageModel):
    """Width 1.0: 3,504,872 parameters with 1,000 classes.

    Args:
        num_classes, in_channels: of the data.
        image_size: height and width of the example input.
        width: output channels of the first convolution; all others follow in proportion, rounded to multiples of 8
            as in torchvision. The last convolution is never narrower than in the standard net.
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224, width: int = FIRST_CHANNELS
    ) -> None:
        super().__init__((in_channels, image_size, image_size))
        features: list[nn.Module] = [_conv(in_channels, width, 3, stride=2)]
        channels = width
        for expansion, standard, repeats, stride in BLOCKS:
            outputs = _scaled(standard, width)
            for index in range(repeats):
                features.append(InvertedResidual(channels, outputs, stride if index == 0 else 1, expansion))
                channels = outputs
        last = max(LAST_CHANNELS, _scaled(LAST_CHANNELS, width))
        features.append(_conv(channels, last, 1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, num_classes)."""
        x = nn.functional.adaptive_avg_pool2d(self.features(x), 1).flatten(1)
        logits: Tensor = self.classifier(x)
        return logits
