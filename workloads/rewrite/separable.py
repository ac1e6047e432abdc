"""Convolutions replaced by a depthwise and a pointwise one.

Sources: Howard et al., MobileNets, arXiv:1704.04861, section 3.1 (the layer and its cost); Guo et al.,
Network Decoupling, arXiv:1808.05517, section 3 (its exact relation to a dense convolution).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, check_one_of
from workloads.compress.replacing import replace_modules
from workloads.options import is_integer
from workloads.rewrite.depthwise import FORMS, Form, depthwise_conv
from workloads.rewrite.factors import factorize, relative_error
from workloads.rewrite.report import RewriteReport, make_report
from workloads.rewrite.select import (
    CONVOLUTIONS,
    convolution_like,
    describe,
    in_place_of,
    seeded,
    select_layers,
)
from workloads.wrappers import copied


class SeparableConv(nn.Sequential):
    """`depthwise`, then `pointwise`: each input channel has `multiplier` filters, each output mixes them all."""


class SeparableConv2d(SeparableConv):
    """A depthwise-separable convolution to construct: (B, C, IY, IX) -> (B, K, OY, OX).

    C m (FY FX + K) weights in the place of C K FY FX, and as many times OY OX MACs.

    Args:
        in_channels, out_channels: C and K.
        kernel_size, stride, padding, dilation: of the depthwise part, as of `nn.Conv2d`.
        multiplier: m, depthwise filters per input channel.
        bias: of the pointwise part; the depthwise one has none.
        form: how the depthwise part computes: `groups`, or without it `loop` or `unfold`; one state dict for all.

    Raises:
        ConfigError: an unknown form, or a multiplier below 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        multiplier: int = 1,
        bias: bool = True,
        form: Form = "groups",
    ) -> None:
        if not is_integer(multiplier, 1):
            raise ConfigError(f"multiplier must be an integer >= 1, but got {multiplier!r}")
        middle = in_channels * multiplier
        depthwise = nn.Conv2d(
            in_channels, middle, kernel_size, stride, padding, dilation, groups=in_channels, bias=False
        )
        pointwise = nn.Conv2d(middle, out_channels, 1, bias=bias)
        super().__init__(OrderedDict(depthwise=depthwise_conv(depthwise, form), pointwise=pointwise))


def to_separable(
    model: nn.Module,
    example: Any,
    *,
    layers: str | Iterable[str] | None = None,
    skip: str | Iterable[str] = (),
    init: Literal["svd", "random"] = "svd",
    multiplier: int = 1,
    form: Form = "groups",
    seed: int = 0,
) -> tuple[nn.Module, RewriteReport]:
    """A copy of the model whose convolutions are depthwise-separable.

    A kernel of FY x FX over C -> K channels costs C m (FY FX + K) weights instead of C K FY FX, m filters
    per channel. With `svd`, the (K, FY FX) matrix of every input channel is replaced by its best rank-m
    approximation, so m = min(K, FY FX) gives the same outputs.

    Args:
        model: not changed.
        example: its input, or a tuple of them; its shape decides the MACs.
        layers: names or shell patterns of the convolutions; None is every ungrouped one whose kernel has
            more than one position.
        skip: names or shell patterns of those that stay.
        init: `svd` of the dense weights, or `random` (torch's default).
        multiplier: m, depthwise filters per input channel; with `svd` at most the full rank, min(K, FY FX).
        form: how the depthwise part computes: `groups`, or without it `loop` or `unfold` (2-D only).
        seed: of `random`.

    Returns:
        The copy, with `NAME.depthwise` and `NAME.pointwise` in place of NAME, and the report.

    Raises:
        ConfigError: a name matches nothing, a layer cannot be separated, or an argument is out of range.
    """
    check_one_of("init", init, ("svd", "random"))
    check_one_of("form", form, FORMS)
    if not is_integer(multiplier, 1):
        raise ConfigError(f"multiplier must be an integer >= 1, but got {multiplier!r}")
    result = copied(model)
    selection = select_layers(result, CONVOLUTIONS, _refusal, layers, skip)
    replacements: dict[nn.Module, nn.Module] = {}
    notes: dict[str, tuple[str, str, float | None]] = {}
    conv: Any
    for position, (name, conv) in enumerate(selection.layers.items()):
        try:
            new = _separable(conv, init, multiplier, seed + position)
            error = relative_error(conv.weight, separable_weight(new)) if init == "svd" else None
            notes[name] = (describe(conv), describe(new), error)
            new.depthwise = depthwise_conv(new.depthwise, form)
        except ConfigError as fault:
            raise ConfigError(f"{name!r}: {fault}") from None
        replacements[conv] = new
    result = replace_modules(result, replacements)
    return result, make_report(model, result, example, notes, selection.skipped)


def _refusal(conv: Any) -> str | None:
    if conv.groups > 1:
        return f"has groups={conv.groups} already"
    if all(size == 1 for size in conv.kernel_size):
        return "is pointwise already"
    return None


def _separable(conv: Any, init: str, multiplier: int, seed: int) -> SeparableConv:
    if init == "svd":
        multiplier = min(multiplier, conv.out_channels, math.prod(conv.kernel_size))
    middle = conv.in_channels * multiplier

    def make() -> SeparableConv:
        depthwise = convolution_like(conv, out_channels=middle, groups=conv.in_channels, bias=False)
        pointwise = type(conv)(middle, conv.out_channels, 1, bias=conv.bias is not None)
        return SeparableConv(OrderedDict(depthwise=depthwise, pointwise=pointwise))

    new = in_place_of(conv, seeded(seed, make))
    if init == "svd":
        _fill(new, conv, multiplier)
    return new


@torch.no_grad()
def _fill(new: Any, conv: Any, multiplier: int) -> None:
    """The best rank-m product per input channel: (K, FY FX) ~ pointwise (K, m) @ depthwise (m, FY FX)."""
    channels = conv.weight.flatten(2).transpose(0, 1)  # (C, K, FY FX)
    left, right = factorize(channels).halves(multiplier)
    new.depthwise.weight.copy_(right.reshape(new.depthwise.weight.shape))
    new.pointwise.weight.copy_(left.transpose(0, 1).reshape(new.pointwise.weight.shape))
    if conv.bias is not None:
        new.pointwise.bias.copy_(conv.bias)


def separable_weight(separable: Any) -> Tensor:
    """The dense weight (K, C, FY, FX) that a separable convolution stands for."""
    depthwise, pointwise = separable.depthwise.weight, separable.pointwise.weight
    num_in, kernel = separable.depthwise.in_channels, depthwise.shape[2:]
    filters = depthwise.detach().double().reshape(num_in, -1, kernel.numel())
    mixes = pointwise.detach().double().reshape(len(pointwise), num_in, -1)
    return torch.einsum("kcm,cmf->kcf", mixes, filters).reshape(len(pointwise), num_in, *kernel)
