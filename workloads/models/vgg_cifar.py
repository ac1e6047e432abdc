"""VGG-16 for CIFAR shapes: the convolutions of Simonyan & Zisserman (ICLR 2015, table 1, column D).

With batch norm and one linear layer, as is usual on 32x32 images (Li et al., Pruning Filters for
Efficient ConvNets, ICLR 2017).
"""

from __future__ import annotations

from torch import Tensor, nn

from workloads.models.image_model import ImageModel, conv3x3

#: Output channels of the convolutions; 0 is a 2x2 max pool.
LAYERS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


class VGG16(ImageModel):
    """Thirteen 3x3 convolutions in `features`, and `classifier`.

    Args:
        in_channels, num_classes: of the data.
        width: output channels of the first convolution; all others follow, up to 8 times as many.
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 10, width: int = LAYERS[0]) -> None:
        super().__init__((in_channels, 32, 32))
        modules: list[nn.Module] = []
        channels = in_channels
        for standard in LAYERS:
            if standard == 0:
                modules.append(nn.MaxPool2d(2))
            else:
                outputs = standard // LAYERS[0] * width
                modules += [conv3x3(channels, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
                channels = outputs
        self.features = nn.Sequential(*modules)
        self.classifier = nn.Linear(channels, num_classes)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 32, 32) -> (N, num_classes)."""
        logits: Tensor = self.classifier(self.features(x).flatten(1))
        return logits
