"""A depthwise convolution in plain operations, without `groups`: the same numbers, the same weights."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwmodel.errors import ConfigError, check_one_of

Form = Literal["groups", "loop", "unfold"]
FORMS: tuple[str, ...] = get_args(Form)


def depthwise_conv(conv: Any, form: Form) -> Any:
    """A depthwise convolution in one of its forms, sharing the weight and bias of `conv`.

    Args:
        conv: an `nn.Conv2d` with groups = in_channels (or of another dimension, for `groups`).
        form: `groups` returns `conv` itself; `loop` convolves channel by channel; `unfold` multiplies
            patches (im2col) with the weights of their channel. All have the same state dict.

    Raises:
        ConfigError: an unknown form, or one that does not fit the convolution.
    """
    check_one_of("form", form, FORMS)
    if form == "groups":
        return conv
    if not isinstance(conv, nn.Conv2d) or conv.groups != conv.in_channels:
        raise ConfigError(f"form={form!r} needs a depthwise Conv2d (groups = in_channels), but got {conv}")
    return _PLAIN[form](conv)


class _PlainDepthwise2d(nn.Module):
    """weight (C m, 1, FY, FX), bias (C m,) or None; input (B, C, IY, IX), output (B, C m, OY, OX).

    Channel c of the input gives the outputs c m .. c m + m - 1.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self.kernel_size, self.stride, self.dilation = conv.kernel_size, conv.stride, conv.dilation
        self.mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
        self.margins = list(conv._reversed_padding_repeated_twice)
        self.train(conv.training)

    def padded(self, x: Tensor) -> Tensor:
        return functional.pad(x, self.margins, mode=self.mode)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"


class LoopDepthwise2d(_PlainDepthwise2d):
    """One single-channel convolution after the other."""

    def forward(self, x: Tensor) -> Tensor:
        filters = self.weight.chunk(self.in_channels)
        channels = self.padded(x).chunk(self.in_channels, dim=1)
        maps = [
            functional.conv2d(channel, filters[index], stride=self.stride, dilation=self.dilation)
            for index, channel in enumerate(channels)
        ]
        out = torch.cat(maps, 1)
        return out if self.bias is None else out + self.bias[:, None, None]


class UnfoldDepthwise2d(_PlainDepthwise2d):
    """Patches of every channel times the weights of that channel."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.padded(x)
        size = [
            (length - dilation * (kernel - 1) - 1) // stride + 1
            for length, kernel, stride, dilation in zip(
                x.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True
            )
        ]
        patches = functional.unfold(x, self.kernel_size, dilation=self.dilation, stride=self.stride)
        patches = patches.reshape(x.shape[0], self.in_channels, -1, size[0] * size[1])
        filters = self.weight.reshape(self.in_channels, -1, patches.shape[2])
        out = torch.einsum("bcfp,cmf->bcmp", patches, filters).reshape(x.shape[0], self.out_channels, *size)
        return out if self.bias is None else out + self.bias[:, None, None]


_PLAIN: dict[str, type[_PlainDepthwise2d]] = {"loop": LoopDepthwise2d, "unfold": UnfoldDepthwise2d}
