"""From an accumulator to the codes of the next tensor: code = round(M * accumulator) + zero.

M = S_w S_in / S_out is real. Hardware multiplies by an integer and shifts: M ~ m / 2^n.

- `float`: M in float64.
- `fixed`: m has 31 bits, n follows from M, per channel (Jacob et al., Quantization and Training of Neural
  Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018, section 2.2; there 2^-n M_0 with
  M_0 in [1/2, 1) held in 31 bits). |m / 2^n - M| <= 2^-31 |M|.
- `reciprocal`: dividing by D = 1/M = S_out / (S_w S_in) without a divider: m = round(2^n / D), one n for all.

Where a sum of tensors is requantized (a residual add) all of them get multipliers at one n: they are
rescaled to the common scale S_out / 2^n, added there, and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from hwmodel.errors import ConfigError

Multiplier = Literal["float", "fixed", "reciprocal"]
Rounding = Literal["round", "half_up", "floor"]

MULTIPLIERS: tuple[str, ...] = ("float", "fixed", "reciprocal")
ROUNDINGS: tuple[str, ...] = ("round", "half_up", "floor")
DEFAULT_BITS = {"float": 53, "fixed": 31, "reciprocal": 24}
MAX_SHIFT = 62


@dataclass(frozen=True, kw_only=True, eq=False)
class Requantizer:
    """sum of factor_i * accumulator_i, rounded to an integer.

    Attributes:
        factors: the real multipliers, float64, each 0-dim or (K,).
        mantissas: integers m, int64, shaped like the factors; None multiplies by the factors themselves.
        shift: n, int64, 0-dim or (K,); None with `float`.
        rounding: `round` to the nearest, ties to even, as the quantizers do; `half_up`, one adder in
            hardware; `floor`, none.
    """

    factors: tuple[Tensor, ...]
    mantissas: tuple[Tensor, ...] | None
    shift: Tensor | None
    rounding: str

    def __call__(self, accumulators: Sequence[Tensor], axis: int = 1) -> Tensor:
        """Rounded sums. int64, the shape of the accumulators.

        Args:
            accumulators: int64, one for each factor, |value| < 2^31.
            axis: their channel dim.
        """
        if self.mantissas is None or self.shift is None:
            total = sum(a.double() * _along(f, axis, a) for a, f in zip(accumulators, self.factors, strict=True))
            return round_float(torch.as_tensor(total), self.rounding)
        product = sum(a * _along(m, axis, a) for a, m in zip(accumulators, self.mantissas, strict=True))
        return shift_right(torch.as_tensor(product), _along(self.shift, axis, accumulators[0]), self.rounding)

    def effective(self, term: int = 0) -> list[Fraction]:
        """What one accumulator is really multiplied by, exactly, per channel."""
        if self.mantissas is None or self.shift is None:
            return [Fraction(value) for value in self.factors[term].reshape(-1).tolist()]
        mantissas, shifts = self.mantissas[term] + 0 * self.shift, self.shift + 0 * self.mantissas[term]
        pairs = zip(mantissas.reshape(-1).tolist(), shifts.reshape(-1).tolist(), strict=True)
        return [Fraction(m, 1 << n) for m, n in pairs]


def requantizer(
    factors: Sequence[Tensor], multiplier: str = "fixed", rounding: str = "round", bits: int | None = None
) -> Requantizer:
    """Multipliers for a sum of accumulators.

    Args:
        factors: S_in / S_out of each, times S_w; float64, 0-dim or (K,), any sign.
        multiplier: `float`, `fixed` or `reciprocal`.
        rounding: `round`, `half_up` or `floor`.
        bits: `fixed`: of the integer multiplier, 31 unless given. `reciprocal`: the shift n, 24 unless given.

    Raises:
        ConfigError: a factor that does not fit.
    """
    given = tuple(torch.as_tensor(f, dtype=torch.float64) for f in factors)
    width = DEFAULT_BITS[multiplier] if bits is None else bits
    if multiplier == "float":
        return Requantizer(factors=given, mantissas=None, shift=None, rounding=rounding)
    if multiplier == "fixed":
        mantissas, shift = fixed_point(given, width)
    else:
        shift = torch.tensor(width)
        mantissas = tuple(torch.round(f * 2.0**width).to(torch.int64) for f in given)
        if any(bool((m.abs() >= 1 << 31).any()) for m in mantissas):
            raise ConfigError(f"a reciprocal with shift {width} must stay below 2^31. Use fewer multiplier_bits.")
    return Requantizer(factors=given, mantissas=mantissas, shift=shift, rounding=rounding)


def fixed_point(factors: Sequence[Tensor], bits: int = 31) -> tuple[tuple[Tensor, ...], Tensor]:
    """Integers m and a shift n with m / 2^n nearest to each factor; the largest |m| has `bits` bits.

    Args:
        factors: float64, broadcastable to each other.
        bits: 1..31.

    Returns:
        m, int64, one for each factor; n, int64, 0..62, shared by the factors of a channel.

    Raises:
        ConfigError: a factor of 2^bits or more.
    """
    largest = factors[0].abs()
    for factor in factors[1:]:
        largest = torch.maximum(largest, factor.abs())
    exponent = torch.frexp(largest).exponent.to(torch.int64)
    shift = (bits - exponent).clamp(max=MAX_SHIFT)
    if bool((shift < 1).any()):
        raise ConfigError(
            f"requantization multipliers must be below 2^{bits - 1}, but got {float(largest.max()):.3g}. "
            "Use more multiplier_bits."
        )
    shift = torch.where(torch.round(largest * _power(shift)) >= 2.0**bits, shift - 1, shift)
    return tuple(torch.round(factor * _power(shift)).to(torch.int64) for factor in factors), shift


def _power(shift: Tensor) -> Tensor:
    return torch.pow(torch.tensor(2.0, dtype=torch.float64, device=shift.device), shift)


def shift_right(product: Tensor, shift: Tensor, rounding: str) -> Tensor:
    """product / 2^shift, rounded; int64 in and out, exact.

    Args:
        product: int64, |value| < 2^62.
        shift: int64, 0..62, broadcastable.
        rounding: a `Rounding`.
    """
    if rounding == "floor":
        return product >> shift
    one = torch.ones_like(shift)
    half = (one << shift) >> 1
    rounded = (product + half) >> shift
    if rounding == "half_up":
        return rounded
    is_tie = ((product & ((one << shift) - 1)) == half) & (shift > 0)
    return rounded - (is_tie & (rounded & 1).bool()).to(torch.int64)


def round_float(v: Tensor, rounding: str) -> Tensor:
    """Round a float64 tensor; int64."""
    if rounding == "round":
        return torch.round(v).to(torch.int64)
    return torch.floor(v + 0.5 if rounding == "half_up" else v).to(torch.int64)


def _along(vector: Tensor, axis: int, like: Tensor) -> Tensor:
    if not vector.dim():
        return vector
    return vector.reshape([-1 if dim == axis % like.dim() else 1 for dim in range(like.dim())])
