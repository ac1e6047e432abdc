"""The networks of HAQ's latency tables, layer by layer in the order of their modules."""

from __future__ import annotations

from collections.abc import Iterator

from hwmodel import Layer
from hwmodel.network.layer import Dims

IMAGE = 224
CLASSES = 1000


def networks(batch: int) -> dict[int, list[Layer]]:
    """Every known network by its number of layers."""
    known = (mobilenet_v1(batch), mobilenet_v2(batch), resnet50(batch))
    return {len(layers): layers for layers in known}


def mobilenet_v1(batch: int) -> list[Layer]:
    """Howard et al., MobileNets, 2017, table 1: 28 layers."""
    stages = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    size, channels = IMAGE // 2, 32
    layers = [_conv("conv", batch, 3, channels, size, 3)]
    for index, (filters, stride) in enumerate(stages):
        size //= stride
        layers.append(_depthwise(f"block{index} depthwise", batch, channels, size))
        layers.append(_conv(f"block{index} pointwise", batch, channels, filters, size))
        channels = filters
    return [*layers, _linear(batch, channels)]


def mobilenet_v2(batch: int) -> list[Layer]:
    """Sandler et al., MobileNetV2, CVPR 2018, table 2: 53 layers."""
    size, channels = IMAGE // 2, 32
    return [
        _conv("conv", batch, 3, channels, size, 3),
        *_inverted_residuals(batch, size, channels),
        _conv("last", batch, 320, 1280, 7),
        _linear(batch, 1280),
    ]


def _inverted_residuals(batch: int, size: int, channels: int) -> Iterator[Layer]:
    stages = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]
    block = 0
    for expansion, filters, repeats, first_stride in stages:
        for repeat in range(repeats):
            hidden = channels * expansion
            if expansion > 1:
                yield _conv(f"block{block} expand", batch, channels, hidden, size)
            size //= first_stride if repeat == 0 else 1
            yield _depthwise(f"block{block} depthwise", batch, hidden, size)
            yield _conv(f"block{block} project", batch, hidden, filters, size)
            channels = filters
            block += 1


def resnet50(batch: int) -> list[Layer]:
    """He et al., Deep Residual Learning, CVPR 2016, table 1, strides in the 3x3 convolutions: 54 layers."""
    layers, size, channels = [_conv("conv1", batch, 3, 64, IMAGE // 2, 7)], IMAGE // 4, 64
    for stage, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 1):
        for block in range(blocks):
            name, inner = f"layer{stage}.{block}", size
            size //= 2 if stage > 1 and not block else 1
            layers.append(_conv(f"{name}.conv1", batch, channels, width, inner))
            layers.append(_conv(f"{name}.conv2", batch, width, width, size, 3))
            layers.append(_conv(f"{name}.conv3", batch, width, 4 * width, size))
            if not block:
                layers.append(_conv(f"{name}.downsample", batch, channels, 4 * width, size))
            channels = 4 * width
    return [*layers, _linear(batch, channels)]


def _conv(name: str, batch: int, channels: int, filters: int, size: int, taps: int = 1) -> Layer:
    dims = Dims(B=batch, K=filters, C=channels, OY=size, OX=size, FY=taps, FX=taps)
    return Layer(name=name, dims=dims)


def _depthwise(name: str, batch: int, channels: int, size: int) -> Layer:
    return Layer(name=name, dims=Dims(B=batch, G=channels, OY=size, OX=size, FY=3, FX=3))


def _linear(batch: int, channels: int) -> Layer:
    return Layer(name="classifier", kind="linear", dims=Dims(B=batch, K=CLASSES, C=channels))
