"""Subclasses of torch's layers with a forward of their own, as libraries write them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, linear, pad

EPS = 1e-6


class CastLinear(nn.Linear):
    """As timm's `Linear`."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight.to(input.dtype), self.bias)


class PaddedConv(nn.Conv2d):
    """As timm's `Conv2dSame`: one more row and column below and on the right."""

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(padded(x), self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class StandardisedConv(nn.Conv2d):
    """As timm's `ScaledStdConv2d`: every filter has mean 0 and the deviation `gain`."""

    def __init__(self, *args: Any, gain: float = 0.5, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gain = nn.Parameter(torch.full((self.out_channels, 1, 1, 1), gain))

    def forward(self, x: Tensor) -> Tensor:
        weight = batch_norm(
            self.weight.reshape(1, self.out_channels, -1), None, None, self.gain.view(-1), training=True, eps=EPS
        ).reshape_as(self.weight)
        return conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class NormAct(nn.BatchNorm2d):
    """As timm's `BatchNormAct2d`: the activation is a child."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.Hardswish()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))


def padded(x: Tensor) -> Tensor:
    return pad(x, (0, 1, 0, 1))


def standardised(weight: Tensor, gain: Tensor) -> Tensor:
    """(w - mean) / sqrt(var + eps) * gain of every filter, by hand."""
    rows = weight.flatten(1)
    rows = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, keepdim=True, unbiased=False) + EPS).sqrt()
    return rows.reshape(weight.shape) * gain


def small_network() -> nn.Sequential:
    """Six layers on (N, 3, 8, 8): every kind once, a grouped one and a depthwise one among them."""
    return nn.Sequential(
        PaddedConv(3, 8, 3, stride=2), NormAct(8),  # (8, 4, 4)
        PaddedConv(8, 8, 2, groups=8, bias=False), NormAct(8),
        nn.Conv2d(8, 6, 1), NormAct(6),
        StandardisedConv(6, 10, 3, padding=1), nn.BatchNorm2d(10),
        nn.Flatten(), CastLinear(10 * 16, 12), nn.ReLU(), CastLinear(12, 5),
    )  # fmt: skip


#: Multiply-accumulates of `small_network` on one image.
MACS = 16 * 8 * 3 * 9 + 16 * 8 * 4 + 16 * 6 * 8 + 16 * 10 * 6 * 9 + 160 * 12 + 12 * 5
