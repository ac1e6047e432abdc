"""HAQ's latency table: the speed-up of every layer from the widest pair of widths to every other pair.

The table gives cycles by layer and widths; the order of the layers is that of the network. Its engine is described
in `haq_edge.yaml`, beside this file. The engine multiplies matrices, so every layer is one here: the windows of an
image are rows, image by image, and a row is padded to words of 256 operands. Depthwise convolutions put 16 channels
of 16 taps into a word and multiply them by a block-diagonal matrix of 16 filters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from benchmarks.replays.case import Case
from hwmodel import Bits, Layer, evaluate, load_accelerator

ENGINE = Path(__file__).with_name("haq_edge.yaml")
BATCH = 16
IMAGE = 224
CLASSES = 1000


def replay(data: object) -> list[Case]:
    """Cases of a file in the format of `haq_mobilenetv2_b16_cycles.json`.

    One case per layer and pair of widths below the widest: `layer name w/a bit`, its speed-up over the widest pair.

    Args:
        data: `bits` [bit] and `cycles` [layer][w_bits][a_bits].

    Raises:
        ValueError: the number of layers is that of no known network.
    """
    table = cast(Mapping[str, Any], data)
    networks = {len(layers): layers for layers in (mobilenet_v1(), mobilenet_v2())}
    if len(table["cycles"]) not in networks:
        known = " or ".join(map(str, sorted(networks)))
        raise ValueError(f"haq: a table has {known} layers, but this one has {len(table['cycles'])}")
    widths = list(table["bits"])
    pairs = [(w, a) for w in range(len(widths)) for a in range(len(widths))]
    top = (widths.index(max(widths)),) * 2
    cases: list[Case] = []
    for index, (shape, cycles) in enumerate(zip(networks[len(table["cycles"])], table["cycles"], strict=True)):
        ours = {(w, a): predict(shape, widths[w], widths[a]) for w, a in pairs}
        cases += [
            Case(
                name=f"{index} {shape.name} {widths[w]}/{widths[a]} bit",
                reference=cycles[top[0]][top[1]] / cycles[w][a],
                prediction=ours[top] / ours[w, a],
            )
            for w, a in pairs
            if (w, a) != top
        ]
    return cases


def predict(layer: Layer, w_bits: int, i_bits: int) -> int:
    """Cycles of a layer on the engine."""
    product = matrix_product(layer).with_bits(Bits(w=w_bits, i=i_bits))
    return evaluate(product, load_accelerator(ENGINE), optimize="latency").cycles


def matrix_product(layer: Layer) -> Layer:
    """One run of the layer: OX rows of whole words, the pixels of an image or, where it has one, the batch."""
    accelerator = load_accelerator(ENGINE)
    sizes = {axis.name: axis.size for axis in accelerator.axes}
    d = layer.dims
    taps = d.FY * d.FX
    if d.G > 1:
        packed = sizes["D"] // 2 ** math.ceil(math.log2(taps))
        groups, filters, words = math.ceil(d.G / packed), packed, 1
    else:
        groups, filters, words = 1, d.K, math.ceil(d.C * taps / sizes["D"])
    rows = d.OY * d.OX if d.OY * d.OX > 1 else d.B
    return Layer(name=layer.name, dims={"G": groups, "K": filters, "C": words * sizes["D"], "OX": rows})


def _conv(name: str, channels: int, filters: int, size: int, filter_size: int = 1) -> Layer:
    side, taps = size, filter_size
    dims = {"B": BATCH, "K": filters, "C": channels, "OY": side, "OX": side, "FY": taps, "FX": taps}
    return Layer(name=name, dims=dims)


def _depthwise(name: str, channels: int, size: int) -> Layer:
    return Layer(name=name, dims={"B": BATCH, "G": channels, "OY": size, "OX": size, "FY": 3, "FX": 3})


def _linear(channels: int) -> Layer:
    return Layer(name="classifier", kind="linear", dims={"B": BATCH, "K": CLASSES, "C": channels})


def mobilenet_v1() -> list[Layer]:
    """Howard et al., MobileNets, 2017, table 1: 28 layers."""
    stages = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    size, channels = IMAGE // 2, 32
    layers = [_conv("conv", 3, channels, size, 3)]
    for index, (filters, stride) in enumerate(stages):
        size //= stride
        layers.append(_depthwise(f"block{index} depthwise", channels, size))
        layers.append(_conv(f"block{index} pointwise", channels, filters, size))
        channels = filters
    return [*layers, _linear(channels)]


def mobilenet_v2() -> list[Layer]:
    """Sandler et al., MobileNetV2, CVPR 2018, table 2: 53 layers."""
    size, channels = IMAGE // 2, 32
    return [
        _conv("conv", 3, channels, size, 3),
        *_bottlenecks(size, channels),
        _conv("last", 320, 1280, 7),
        _linear(1280),
    ]


def _bottlenecks(size: int, channels: int) -> Iterator[Layer]:
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
                yield _conv(f"block{block} expand", channels, hidden, size)
            size //= first_stride if repeat == 0 else 1
            yield _depthwise(f"block{block} depthwise", hidden, size)
            yield _conv(f"block{block} project", hidden, filters, size)
            channels = filters
            block += 1
