"""CPU convolutions: which are plain products, and what blocks of channels add."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwmodel import Bits, Layer
from hwmodel.chip.accelerator import Widths
from hwmodel.chip.measured import start_roofline
from hwmodel.price.gpu import products_of
from hwmodel.price.lowering import is_lowered

FP32 = Widths(w=32, i=32, o=32, acc=32)
CPU = start_roofline("cpu", 1, 32 << 20, (("fp32", 32), ("bf16", 16)), channel_block=16)


def conv(stride=1, dilation=1, **dims):
    return Layer(
        name="c", dims=dims, stride=(stride, stride), dilation=(dilation, dilation), bits=Bits(w=32, i=32, o=32)
    )


# PyTorch, Convolution.cpp, ConvParams::use_mkldnn: the conditions under which it returns true for fp32 are
# (strided | dilated | N >= 16 | a filter side != 1 | threads > 1)
# & (groups > 1 | both sides > 3 | N > 1 | input > 20480 elements)
@pytest.mark.parametrize(
    ("layer", "cores", "expected"),
    [
        (conv(B=15, K=64, C=64, OY=56, OX=56), 1, True),
        (conv(B=16, K=64, C=64, OY=56, OX=56), 1, False),
        (conv(B=2, K=64, C=64, OY=56, OX=56), 2, False),
        (conv(B=2, K=64, C=64, OY=28, OX=28, stride=2), 1, False),
        (conv(K=16, C=20, OY=30, OX=30, FY=3, FX=3), 1, True),  # 20 * 32 * 32 = 20480
        (conv(K=16, C=21, OY=30, OX=30, FY=3, FX=3), 1, False),
        (conv(B=2, K=16, C=4, OY=8, OX=8, FY=3, FX=3), 1, False),
        (conv(K=16, C=4, OY=8, OX=8, FY=5, FX=5), 1, False),
        (conv(K=16, C=4, OY=8, OX=8, FY=5, FX=3), 2, True),
        (conv(G=16, OY=8, OX=8, FY=3, FX=3), 1, False),
        (Layer(name="fc", kind="linear", dims={"B": 4, "K": 10, "C": 20}), 1, False),
    ],
)
def test_pytorch_decides_by_size(layer, cores, expected):
    assert is_lowered(layer, cores) is expected


def test_a_lowered_convolution_is_one_product_per_image_and_copies_its_patches():
    products = products_of(conv(K=20, C=10, OY=6, OX=7, FY=3, FX=3), CPU, FP32)
    assert (products.m, products.n, products.k, products.batch) == (6 * 7, 20, 10 * 9, 1)
    assert products.patches == 6 * 7 * 10 * 9 and not products.is_conv
    pointwise = products_of(conv(B=3, K=20, C=10, OY=6, OX=7), CPU, FP32)
    assert (pointwise.m, pointwise.batch, pointwise.patches, pointwise.is_conv) == (6 * 7, 3, 0, False)


def test_a_format_that_does_not_lower_keeps_its_convolutions():
    products = products_of(conv(K=16, C=16, OY=6, OX=7, FY=3, FX=3), CPU, Widths(w=16, i=16, o=16, acc=32))
    assert products.is_conv and products.patches == 0


def test_channels_come_in_whole_blocks_but_for_those_of_an_image():
    assert products_of(conv(B=4, K=24, C=20, OY=8, OX=8, FY=3, FX=3), CPU, FP32).macs == 4 * 32 * 32 * 64 * 9
    assert products_of(conv(B=4, K=24, C=3, OY=8, OX=8, FY=3, FX=3), CPU, FP32).macs == 4 * 32 * 3 * 64 * 9
    depthwise = products_of(conv(G=24, OY=8, OX=8, FY=3, FX=3), CPU, FP32)
    assert (depthwise.macs, depthwise.o) == (32 * 64 * 9, 32 * 64)


def test_without_blocks_nothing_is_added():
    machine = replace(CPU, channel_block=1)
    layer = conv(B=4, K=23, C=17, OY=8, OX=8, FY=3, FX=3)
    products = products_of(layer, machine, FP32)
    assert products.macs == layer.macs
    assert (products.w, products.i, products.o) == tuple(layer.elements(t) for t in "WIO")
