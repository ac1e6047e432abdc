"""Which convolutions PyTorch computes as plain matrix products on a CPU, without oneDNN and its layouts.

Source: PyTorch, aten/src/ATen/native/Convolution.cpp, ConvParams::use_mkldnn (2.0 to 2.13).
"""

from __future__ import annotations

from hwmodel.network.layer import Layer

_MAX_BATCH = 15
_MAX_FILTER = 3
_MAX_INPUT_ELEMENTS = 20480


def is_lowered(layer: Layer, cores: int) -> bool:
    """Whether an fp32 convolution is unrolled (im2col) and multiplied image by image.

    A 1x1 filter is, on one thread, unless strided, dilated or in a large batch; so is one small image under a
    small filter.

    Args:
        layer: of kind `conv`; others are products already.
        cores: threads at work.
    """
    d = layer.dims
    if layer.kind != "conv" or d.G > 1:
        return False
    steps = (*layer.stride, *layer.dilation)
    if d.FY * d.FX == 1 and cores == 1 and d.B <= _MAX_BATCH and max(steps) == 1:
        return True
    one_small_image = d.B == 1 and layer.elements("I") <= _MAX_INPUT_ELEMENTS
    return one_small_image and min(d.FY, d.FX) <= _MAX_FILTER
