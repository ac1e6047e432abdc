"""Products of integers, exactly.

Sums of integer products are computed in floating point wide enough for every one of them: float64 holds all
integers to 2^53, float32 to 2^24, and where no sum can be larger, any order of summation gives the same, exact
result. float32 serves as matrix products only: oneDNN's convolutions may transform their operands (Winograd) and
round on the way even where the sums would fit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwmodel.errors import ConfigError
from workloads.compress.layers import QuantLayer

_CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
EXACT = 1 << 53


def dot(layer: QuantLayer, x: Tensor, w: Tensor, fill: int = 0) -> Tensor:
    """x conv w, or x w^T, with the geometry of a layer.

    Args:
        layer: gives stride, padding, dilation and groups.
        x: integers, (N, C, ...), of a linear layer (..., C).
        w: integers, the shape of the layer's weight.
        fill: what padding adds.

    Returns:
        int64, the shape of the layer's output.

    Raises:
        ConfigError: a sum could leave +-2^53.
    """
    largest = float(x.double().abs().amax()) if x.numel() else 0.0
    bound = float(w.double().abs().flatten(1).sum(1).amax()) * max(largest, abs(fill))
    if bound >= EXACT:
        raise ConfigError("sums of products must stay below 2^53 to be exact, but these operands may exceed it")
    left, right = x.double(), w.double()
    if isinstance(layer, nn.Linear):
        return functional.linear(left, right).to(torch.int64)
    module: Any = layer
    out = _CONVOLVE[w.dim() - 2](
        pad(module, left, fill), right, None, module.stride, 0, module.dilation, module.groups
    )
    return out.to(torch.int64)


def exact_type(bound: float) -> torch.dtype:
    """The type that holds every integer up to a bound; float64 where matmul may round float32 operands."""
    narrow = bound < 1 << 24 and torch.get_float32_matmul_precision() == "highest"
    return torch.float32 if narrow else torch.float64


def pad(module: Any, x: Tensor, fill: int = 0) -> Tensor:
    """The input of a convolution with its padding in place.

    Args:
        module: a convolution.
        x: (N, C, ...).
        fill: what it is padded with where the convolution pads with zeros.
    """
    sides: list[int] = list(module._reversed_padding_repeated_twice)
    if not any(sides):
        return x
    if module.padding_mode == "zeros":
        return functional.pad(x, sides, value=float(fill))
    return functional.pad(x, sides, mode=module.padding_mode)


def columns(
    layer: QuantLayer, x: Tensor, w: Tensor, *, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """The operands of a layer as matrices, so that psum = w x.

    The reduction runs as the weight lies in memory: input channel outermost, then filter row, then column.

    Args:
        layer: Linear, Conv1d or Conv2d.
        x: integers as the layer reads them, padding pads with 0.
        w: integers, the shape of the layer's weight.
        dtype: of the result.

    Returns:
        w (G, K, R) and x (N, G, R, P): G groups, K filters each, R products per psum, P output positions.

    Raises:
        ConfigError: another kind of layer.
    """
    left, right = x.to(dtype), w.to(dtype)
    if isinstance(layer, nn.Linear):
        rows = left.reshape(-1, left.shape[-1])
        return right[None], rows.T[None, None]
    module: Any = layer
    left = pad(module, left)
    stride, dilation, size = module.stride, module.dilation, module.kernel_size
    if isinstance(layer, nn.Conv1d):
        left, stride, dilation, size = left[:, :, None], (1, *stride), (1, *dilation), (1, *size)
    elif not isinstance(layer, nn.Conv2d):
        raise ConfigError(
            f"accumulators are modelled for Linear, Conv1d and Conv2d, but got {type(layer).__name__}"
        )
    unfolded = functional.unfold(left, size, dilation=dilation, stride=stride)
    groups = module.groups
    return (
        right.reshape(groups, right.shape[0] // groups, -1),
        unfolded.reshape(len(x), groups, -1, unfolded.shape[-1]),
    )


def uncolumns(layer: QuantLayer, x: Tensor, psums: Tensor) -> Tensor:
    """Partial sums in the shape of the layer's output.

    Args:
        layer, x: of `columns`.
        psums: (N, G, K, P).
    """
    if isinstance(layer, nn.Linear):
        return psums[0, 0].T.reshape(*x.shape[:-1], -1)
    module: Any = layer
    sides = list(module._reversed_padding_repeated_twice)
    shape = []
    for n, size in enumerate(x.shape[2:]):
        m = len(module.kernel_size) - 1 - n
        padded = size + sides[2 * m] + sides[2 * m + 1]
        shape.append((padded - module.dilation[n] * (module.kernel_size[n] - 1) - 1) // module.stride[n] + 1)
    return psums.reshape(len(x), -1, *shape)
