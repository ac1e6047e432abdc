"""Layers to measure: random shapes of the sizes that networks have."""

from __future__ import annotations

import math
import random
from typing import Literal

from hwmodel.network.layer import Bits, Dims, Layer

Group = Literal["gemm", "conv", "depthwise"]

#: MACs of one measured layer, smallest and largest, by kind of device.
MACS = {"cpu": (2e5, 6e8), "cuda": (1e6, 4e11)}


def draw_layers(count: int, seed: int, group: Group, bits: int, device: str) -> list[Layer]:
    """Random layers of one group, log-uniform in every size.

    Args:
        count: layers.
        seed: the same seed gives the same layers.
        group: `gemm` (linear layers), `conv` (dense convolutions) or `depthwise`.
        bits: width of both operands [bit].
        device: `cpu` or `cuda`: how much work one layer may be.
    """
    rng = random.Random(f"{seed} {group}")
    low, high = MACS[device]
    if group == "depthwise":
        low, high = low / 10, high / 100
    layers: list[Layer] = []
    while len(layers) < count:
        layer = _DRAW[group](rng, f"{group}{len(layers)}", Bits(w=bits, i=bits, o=32 if bits == 8 else bits))
        if low <= layer.macs <= high:
            layers.append(layer)
    return layers


def _log_uniform(rng: random.Random, low: int, high: int, multiple: int = 1) -> int:
    value = math.exp(rng.uniform(math.log(low), math.log(high)))
    return max(low, round(value / multiple) * multiple)


def _gemm(rng: random.Random, name: str, bits: Bits) -> Layer:
    m = rng.choice([1, _log_uniform(rng, 2, 64), _log_uniform(rng, 64, 8192, 8), _log_uniform(rng, 64, 8192, 8)])
    n, k = _log_uniform(rng, 16, 8192, 16), _log_uniform(rng, 16, 8192, 16)
    return Layer(name=name, kind="linear", dims=Dims(B=m, K=n, C=k), bits=bits)


def _conv(rng: random.Random, name: str, bits: Bits) -> Layer:
    size, filter_size = rng.choice([7, 8, 14, 16, 28, 32, 56, 112]), rng.choice([1, 1, 3, 3, 3, 5])
    c = rng.choice([3, *(_log_uniform(rng, 16, 512, 8) for _ in range(7))])
    dims = Dims(
        B=rng.choice([1, 1, 2, 4, 8]), K=_log_uniform(rng, 16, 512, 8), C=c,
        OY=size, OX=size, FY=filter_size, FX=filter_size,
    )  # fmt: skip
    return Layer(name=name, dims=dims, stride=(rng.choice([1, 1, 2]),) * 2, bits=bits)


def _depthwise(rng: random.Random, name: str, bits: Bits) -> Layer:
    size, filter_size = rng.choice([7, 14, 28, 56, 112]), rng.choice([3, 3, 5])
    dims = Dims(
        B=rng.choice([1, 1, 2, 4]), G=_log_uniform(rng, 16, 768, 8),
        OY=size, OX=size, FY=filter_size, FX=filter_size,
    )  # fmt: skip
    return Layer(name=name, dims=dims, stride=(rng.choice([1, 1, 2]),) * 2, bits=bits)


_DRAW = {"gemm": _gemm, "conv": _conv, "depthwise": _depthwise}
