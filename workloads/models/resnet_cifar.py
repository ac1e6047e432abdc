"""ResNets for CIFAR shapes (He et al., Deep Residual Learning, CVPR 2016, section 4.2)."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from hwmodel.errors import check_one_of
from workloads.models.image_model import ImageModel, conv1x1, conv3x3

Shortcut = Literal["projection", "pad"]


class PadShortcut(nn.Module):
    """Option A of the paper: every second pixel, and zeros for the new channels; no weights."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))

    def keep_channels(self, inputs: Tensor | None, outputs: Tensor | None) -> None:
        """Fewer channels from now on; bool (inputs,) and (outputs,), those that stay, None is all."""
        if outputs is not None:
            last = len(outputs) - self.after
            self.before, self.after = int(outputs[: self.before].sum()), int(outputs[last:].sum())


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or inputs != outputs:
            if shortcut == "pad":
                self.shortcut = PadShortcut(inputs, outputs)
            else:
                self.shortcut = nn.Sequential(conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = nn.functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return nn.functional.relu(out + self.shortcut(x))


class ResNetCifar(ImageModel):
    """6n + 2 layers: a convolution, three stages of n blocks at widths w, 2w, 4w, and a linear layer.

    Args:
        blocks: n, per stage.
        shortcut: at the two changes of stage: `projection`, a 1x1 convolution with batch norm (option
            B of the paper), or `pad`, without weights (option A).
        in_channels, num_classes: of the data.
        width: output channels of the first convolution, and w.

    Raises:
        ConfigError: an unknown shortcut.
    """

    def __init__(
        self,
        blocks: int,
        shortcut: Shortcut = "projection",
        in_channels: int = 3,
        num_classes: int = 10,
        width: int = 16,
    ) -> None:
        check_one_of("shortcut", shortcut, get_args(Shortcut))
        super().__init__((in_channels, 32, 32))
        self.conv1 = conv3x3(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(blocks, width, width, 1, shortcut)
        self.layer2 = _stage(blocks, width, 2 * width, 2, shortcut)
        self.layer3 = _stage(blocks, 2 * width, 4 * width, 2, shortcut)
        self.fc = nn.Linear(4 * width, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, num_classes); any H and W, 32 in the paper."""
        x = nn.functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


def _stage(blocks: int, inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1, shortcut) for _ in range(blocks - 1)))
