"""Accumulators as narrow as hardware has them: sums that saturate or wrap around on the way.

The register starts at 0 and takes the products in the order of the weight in memory (input channel, then filter
row, then column), `chunk` at a time: an adder tree sums a chunk exactly, the register takes its sum and then
saturates or wraps. chunk=1 is one MAC per step. Zero points are subtracted before the product, and the bias is
added behind the register, at full width.

Wrap-around is arithmetic modulo 2^bits, so its result depends on the exact sum alone: order and chunk do not
matter, and an overflow on the way does no harm if the sum itself fits. Saturation forgets what it cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hwmodel.errors import ConfigError, check_one_of
from workloads.integer.exact import exact_type

Overflow = Literal["saturate", "wrap"]
OVERFLOWS: tuple[str, ...] = ("saturate", "wrap")
MAX_BITS = 48


@dataclass(frozen=True, kw_only=True)
class Accumulator:
    """A signed register in two's complement.

    Attributes:
        bits: its width [bit], 1..48.
        overflow: `saturate` at the ends, or `wrap` around.
        chunk: products summed exactly before the register takes them; 1 is one MAC at a time.

    Raises:
        ConfigError: a value out of its range.
    """

    bits: int
    overflow: str = "saturate"
    chunk: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise ConfigError(f"`1 <= bits <= {MAX_BITS}` must hold for an accumulator, but got bits={self.bits}")
        check_one_of("overflow", self.overflow, OVERFLOWS)
        if self.chunk < 1:
            raise ConfigError(f"`chunk >= 1` must hold, but got chunk={self.chunk}")

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1


def accumulate(w: Tensor, x: Tensor, register: Accumulator) -> Tensor:
    """w x in a narrow register.

    Args:
        w: integers (G, K, R), float64.
        x: integers (N, G, R, P), float64.
        register: what holds the sums.

    Returns:
        (N, G, K, P) int64.
    """
    if register.overflow == "wrap":
        return wrap(torch.matmul(w, x).to(torch.int64), register.bits)
    sums: Tensor | None = None
    for product in chunk_sums(w, x, register.chunk, register.high + 1):
        sums = product if sums is None else sums.add_(product)
        sums.clamp_(register.low, register.high)
    assert sums is not None
    return sums.to(torch.int64)


def chunk_sums(w: Tensor, x: Tensor, chunk: int, room: int = 0) -> Iterator[Tensor]:
    """The sums of `chunk` products after another, (N, G, K, P) each, exact.

    float32 where every sum fits its 24 bits together with what is added to it, else float64.

    Args:
        w, x: of `accumulate`.
        chunk: products in a sum.
        room: bound of |what is added|.
    """
    bound = room + chunk * float(w.abs().amax()) * float(x.abs().amax())
    dtype = exact_type(bound)
    w, x = w.to(dtype), x.to(dtype)
    for start in range(0, w.shape[-1], chunk):
        part = slice(start, start + chunk)
        yield torch.matmul(w[:, :, part], x[:, :, part])


def wrap(sums: Tensor, bits: int) -> Tensor:
    """What a register of two's complement keeps: the value in -2^(b-1) .. 2^(b-1)-1 equal to the sum modulo 2^b.

    Args:
        sums: int64.
        bits: b.
    """
    half = 1 << (bits - 1)
    return ((sums + half) & ((1 << bits) - 1)) - half


def signed_bits(low: int, high: int) -> int:
    """The narrowest two's complement register that holds low..high [bit]."""
    return max(1, (high if high >= 0 else ~high).bit_length() + 1, (low if low >= 0 else ~low).bit_length() + 1)


def sum_range(w_int: Tensor, x_low: int, x_high: int) -> tuple[Tensor, Tensor]:
    """The lowest and highest sum of w_int * x over any inputs x_low <= x <= x_high, of each filter.

    Where x_low <= 0 <= x_high every partial sum in any order lies between them too. They are within
    +- sum |w| * max |x|, the bound behind A2Q (Colbert et al., Accumulator-Aware Quantization with
    Guaranteed Overflow Avoidance, ICCV 2023, arXiv:2308.13504), which looks at no signs.

    Args:
        w_int: integers (K, ...).
        x_low, x_high: ends of the input's integers.

    Returns:
        (K,) and (K,), int64.
    """
    rows = w_int.to(torch.int64).flatten(1)
    positive, negative = rows.clamp_min(0).sum(1), rows.clamp_max(0).sum(1)
    return positive * x_low + negative * x_high, positive * x_high + negative * x_low


def guaranteed_bits(w_int: Tensor, x_low: int, x_high: int) -> int:
    """The narrowest accumulator that cannot overflow, whatever the input and the order [bit].

    Args:
        w_int, x_low, x_high: of `sum_range`; 0 is taken to be among the inputs.
    """
    low, high = sum_range(w_int, min(x_low, 0), max(x_high, 0))
    return signed_bits(int(low.min()), int(high.max()))
