"""What the array of a chip sees of a layer: narrow widths lengthen an axis, and the host unfolds images.

A fusion unit of native width 8x8 bit is sixteen 2-bit bricks. At narrower widths its bricks work as
(8 / b_w) * (8 / b_i) separate multipliers whose products are summed inside the unit, so the *reduction* axis of
the array grows by that rate, while the other axis stays. An axis with `fused` does so:

    cycles = B * OY * OX * FY * FX * ceil(C / (rows * rate)) * ceil(K / columns)

The layer that reads the images has too few channels to fill the rows. Its windows are unfolded by the host
(im2col) and C * FY * FX is one reduction of length C * FY * FX:

    cycles = B * OY * OX * ceil(C * FY * FX / (rows * rate)) * ceil(K / columns)

at the price of every pixel being sent once per window that it lies in.

Sources: Sharma et al., Bit Fusion, ISCA 2018, sections II and III; counting rules of its public simulator.
"""

from __future__ import annotations

from dataclasses import replace

from hwmodel.accelerator import Accelerator
from hwmodel.layer import Layer

_fused: dict[tuple[str, float], Accelerator] = {}


def array_view(layer: Layer, accelerator: Accelerator) -> tuple[Layer, Accelerator]:
    """The layer and the array that a mapping is made for; the same two objects where neither changes.

    Idempotent: the view of a view is the view.

    Args:
        layer: with the widths that it runs at, or None for the native ones.
        accelerator: with fused axes or not.

    Returns:
        The layer, unfolded where the host does so, and the accelerator with its fused axes
        lengthened by the rate of the layer's widths (its MACs then run at one per cycle).
    """
    widths = accelerator.resolve_bits(layer.bits, layer.reduction)
    rate = accelerator.precision.fusion_rate(widths.w, widths.i)
    return unfold(layer, accelerator.unfolded_channels), fuse(accelerator, rate)


def unfold(layer: Layer, channels: int) -> Layer:
    """The layer as a matrix product over C * FY * FX, if it is a convolution over at most `channels` channels.

    I: (B, 1, C * FY * FX, OY, OX) instead of (B, 1, C, IY, IX); W and O keep their sizes.
    """
    d = layer.dims
    if d.G > 1 or d.C > channels or d.FY * d.FX == 1:
        return layer
    return replace(layer, dims=replace(d, C=d.C * d.FY * d.FX, FY=1, FX=1), stride=(1, 1), dilation=(1, 1))


def fuse(accelerator: Accelerator, rate: float) -> Accelerator:
    """The accelerator with its fused axes longer by a whole rate."""
    if rate == 1 or not any(axis.fused for axis in accelerator.axes):
        return accelerator
    key = (accelerator.fingerprint, rate)
    if key not in _fused:
        _fused[key] = replace(
            accelerator,
            precision=replace(accelerator.precision, unrolled=rate),
            axes=tuple(
                replace(axis, size=axis.size * int(rate), fused=False) if axis.fused else axis
                for axis in accelerator.axes
            ),
        )
    return _fused[key]
