"""The one contract of all quantizers: which values exist, which integer code stands for each.

For every quantizer `q` and every tensor `x` that it quantizes, `grid.values(grid.codes(x)) == q(x)` to
the last bit. Integer networks and exports are built on this.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TINY_STEP = 1e-12
MAX_TANH = 0.999


def along(vector: Tensor, axis: int | None, dims: int) -> Tensor:
    """(C,) shaped to broadcast along one dim of a tensor with `dims` dims; 0-dim tensors stay."""
    if axis is None or vector.dim() == 0:
        return vector
    return vector.reshape([-1 if dim == axis % dims else 1 for dim in range(dims)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """A uniform grid with integer codes qmin..qmax.

    With a zero point: value = scale * (code - zero_point), and 0 is exactly on the grid.
    Without one:       value = scale * code + offset, and 0 need not be on it.

    Attributes:
        scale: distance of neighbouring values, > 0; 0-dim, or (C,) along `axis`.
        qmin, qmax: lowest and highest code.
        zero_point: int32, shaped like `scale`; None where `offset` is no integer multiple of the scale.
        offset: value of code 0, shaped like `scale`; None where there is a zero point.
        axis: the dim of the tensor with one scale per index; None is one scale for the tensor.
        dtype: of the values; None is that of the scale.
        rounding: `nearest` or `floor`. A stochastic quantizer rounds to the nearest in eval mode, and
            that is its grid's, unless its draw was made once.
        noise: that draw, uniform in 0..1, of the shape of the one weight that it was made for.
    """

    scale: Tensor
    qmin: int
    qmax: int
    zero_point: Tensor | None = None
    offset: Tensor | None = None
    axis: int | None = None
    rounding: str = "nearest"
    dtype: torch.dtype | None = None
    noise: Tensor | None = None

    def codes(self, x: Tensor) -> Tensor:
        """The code of the grid's value for every element. int32, the shape of `x`."""
        return self._round(x.to(torch.promote_types(x.dtype, torch.float32))).to(torch.int32)

    def values(self, codes: Tensor) -> Tensor:
        """What the codes stand for, computed in the precision of the scale. Of `dtype`, the shape of `codes`."""
        exact = self._values(codes)
        return exact if self.dtype is None else exact.to(self.dtype)

    def _values(self, codes: Tensor) -> Tensor:
        scale = along(self.scale, self.axis, codes.dim())
        if self.zero_point is not None:
            return (codes - along(self.zero_point, self.axis, codes.dim())).to(scale.dtype) * scale
        assert self.offset is not None
        return codes.to(scale.dtype) * scale + along(self.offset, self.axis, codes.dim())

    def origins(self, codes: Tensor) -> Tensor:
        """Inputs that get these codes, where the grid of a weight does not move with them. The shape of `codes`."""
        return self.values(codes)

    @property
    def _mode(self) -> str | Tensor:
        return self.rounding if self.noise is None else self.noise

    def _round(self, x: Tensor) -> Tensor:
        fixed, dims = x.detach(), x.dim()
        scale = along(self.scale, self.axis, dims)
        if self.zero_point is None:
            assert self.offset is not None
            v = (fixed - along(self.offset, self.axis, dims)) / scale
            return round_in_place(v.clamp_(self.qmin, self.qmax), self._mode)
        zero = along(self.zero_point, self.axis, dims)
        v = torch.clamp(fixed / scale, self.qmin - zero, self.qmax - zero)
        return round_in_place(v, self._mode) + zero


@dataclass(frozen=True, kw_only=True, eq=False)
class RangeGrid(Grid):
    """Between two ends: value = span * code / levels + offset, levels = qmax.

    The same grid as scale = span / levels and `offset`, computed in the order of the min-max formula
    so that the ends are met exactly.

    Attributes:
        span: highest minus lowest value, > 0, shaped like `scale`.
    """

    span: Tensor

    def _values(self, codes: Tensor) -> Tensor:
        return range_values(codes.to(self.span.dtype), *self._ends(codes.dim()), self.qmax)

    def _round(self, x: Tensor) -> Tensor:
        v = range_codes(x.detach(), *self._ends(x.dim()), self.qmax)
        return round_in_place(v.clamp_(self.qmin, self.qmax), self._mode)

    def _ends(self, dims: int) -> tuple[Tensor, Tensor]:
        assert self.offset is not None
        return along(self.offset, self.axis, dims), along(self.span, self.axis, dims)


def range_codes(x: Tensor, low: Tensor, span: Tensor, levels: int | Tensor) -> Tensor:
    """levels * (x - low) / span: the code before rounding."""
    return levels * (x - low) / span


def range_values(codes: Tensor, low: Tensor, span: Tensor, levels: int | Tensor) -> Tensor:
    """span * codes / levels + low."""
    return span * codes / levels + low


@dataclass(frozen=True, kw_only=True, eq=False)
class TanhGrid(Grid):
    """Codes of tanh(x), as DoReFa gives them to weights; the values are an ordinary grid's.

    Attributes:
        peak: largest |tanh(x)| of the weight, shaped like `scale`.
    """

    peak: Tensor

    def origins(self, codes: Tensor) -> Tensor:
        """Their tanh has the values times the peak: the largest is the same again. float32 has no tanh of 1."""
        peak = along(self.peak, self.axis, codes.dim()).clamp_max(MAX_TANH)
        return torch.atanh(peak * self.values(codes).clamp(-1, 1))

    def _round(self, x: Tensor) -> Tensor:
        v = tanh_codes(x.detach(), along(self.peak, self.axis, x.dim()), self.qmax)
        return round_in_place(v.clamp_(self.qmin, self.qmax), self._mode)


def tanh_codes(x: Tensor, peak: Tensor, levels: int | Tensor) -> Tensor:
    """levels * (tanh(x) / (2 peak) + 1/2): the code before rounding."""
    return levels * (torch.tanh(x) / (2 * peak) + 0.5)


@dataclass(frozen=True, kw_only=True, eq=False)
class SignGrid(Grid):
    """Two values, chosen by the sign alone: code 1 where x >= 0, code 0 below."""

    def _round(self, x: Tensor) -> Tensor:
        return (x.detach() >= 0).to(x.dtype)


def integer_range(bits: int, signed: bool) -> tuple[float, float, float]:
    """(qn, qp, offset) of a grid with 2^bits codes.

    Signed: -2^(b-1) .. 2^(b-1)-1. Unsigned: 0 .. 2^b-1. Signed with 1 bit has no zero: it is the
    binary grid {-step/2, +step/2}, codes -1 and 0 at offset 1/2. With 0 bits only code 0 is left.
    """
    if bits == 0:
        return 0.0, 0.0, 0.0
    if not signed:
        return 0.0, float(2**bits - 1), 0.0
    return -float(2 ** (bits - 1)), float(2 ** (bits - 1) - 1), 0.5 if bits == 1 else 0.0


def round_in_place(v: Tensor, mode: str | Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Round every element to an integer of the same dtype. In place.

    Args:
        v: any shape, floating point.
        mode: `nearest` (ties to even), `floor`, or `stochastic`: up with the probability of the fraction,
            so that the mean over many draws is the value itself. A tensor of the shape of `v` is a draw that was
            made before, uniform in 0..1.
        generator: of the stochastic draws; None takes torch's own, which `torch.manual_seed` seeds.

    Returns:
        `v`.
    """
    if isinstance(mode, Tensor):
        below = v.floor()
        return below.add_(mode < v - below)
    if mode == "nearest":
        return v.round_()
    if mode == "floor":
        return v.floor_()
    below = v.floor()
    if generator is None:
        return below.add_(torch.rand_like(v) < v - below)
    return below.add_(torch.rand(v.shape, generator=generator, device=v.device, dtype=v.dtype) < v - below)
