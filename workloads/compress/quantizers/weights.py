"""Weight quantizers without learned parameters: min-max, affine and symmetric, DoReFa.

The grid is computed from the weight, per tensor or per index of `axis` (0 is the output channel).
"""

from __future__ import annotations

import torch
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.compress.grid import (
    Grid,
    RangeGrid,
    SignGrid,
    TanhGrid,
    along,
    integer_range,
    range_codes,
    range_values,
    round_in_place,
    tanh_codes,
)
from workloads.compress.observer import RangeObserver
from workloads.compress.quantizers.drawn import WeightQuantizer
from workloads.compress.quantizers.mapped import on_step
from workloads.compress.quantizers.uniform import to_grid
from workloads.compress.ranges import affine_grid, affine_steps, symmetric_steps

WEIGHT_SAMPLE = 1 << 18


def minmax_affine(w: Tensor, bits: int | None, axis: int | None = None) -> Tensor:
    """Affine quantization between the extremes of a tensor.

    w_q = alpha * round((2^b - 1)(w - beta)/alpha)/(2^b - 1) + beta, alpha = max - min, beta = min.

    The gradient passes straight through (d w_q / d w = 1) at every width, 0 bits included: rounding
    everything to zero is still rounding, so a removed layer stays trainable and can come back.

    Args:
        w: any shape.
        bits: >= 1; None returns `w` itself, 0 returns zeros.
        axis: one range per index of this dim (per-channel); None takes one range for the tensor.

    Returns:
        The shape of `w`; a constant tensor (alpha = 0) keeps its value.

    Raises:
        ConfigError: negative bits.
    """
    if bits is None:
        return w
    if bits < 0:
        raise ConfigError(f"`bits >= 0` must hold, or None for float, but got bits={bits}")
    if bits == 0:
        return _straight_through(torch.zeros_like(w), w)
    return _straight_through(_minmax(w.detach(), 2**bits - 1, axis, "nearest"), w)


def _minmax(w: Tensor, levels: int | Tensor, axis: int | None, rounding: str | Tensor) -> Tensor:
    low, span = _low_and_span(w, axis)
    codes = round_in_place(range_codes(w, low, span, levels), rounding)
    return range_values(codes, low, span, levels)


def _low_and_span(w: Tensor, axis: int | None) -> tuple[Tensor, Tensor]:
    """Shaped to broadcast to `w`; a span of 0 becomes 1."""
    low, high = _extremes(w, axis)
    spread = high - low
    return low, torch.where(spread > 0, spread, 1.0)


def _extremes(w: Tensor, axis: int | None) -> tuple[Tensor, Tensor]:
    if axis is None:
        return torch.aminmax(w)
    others = [dim for dim in range(w.dim()) if dim != axis % w.dim()]
    return w.amin(others, keepdim=True), w.amax(others, keepdim=True)


def _straight_through(value: Tensor, w: Tensor) -> Tensor:
    """Exactly `value` forward (w - w = 0), the identity for `w` backward."""
    return value.detach() + (w - w.detach())


def _vector(values: Tensor, axis: int | None) -> Tensor:
    """From broadcastable to (C,); 0-dim where there is one for the tensor."""
    return values.reshape(()) if axis is None else values.reshape(-1)


class MinMaxWeight(WeightQuantizer):
    """`minmax_affine` of a weight: both extremes are met exactly, 0 in general is not."""

    def quantize(self, x: Tensor) -> Tensor:
        levels = torch.clamp_min(2**self.bits - 1, 1)
        value = _minmax(x.detach(), levels, self.axis, self.mode)
        return _straight_through(value * (self.bits > 0), x)

    def _grid(self, weight: Tensor) -> Grid:
        if not self._width:
            return removed(weight)
        low, span = (_vector(v, self.axis) for v in _low_and_span(weight, self.axis))
        levels = 2**self._width - 1
        return RangeGrid(
            scale=span / levels, offset=low, span=span, qmin=0, qmax=levels, axis=self.axis,
            rounding=self._grid_rounding(),
        )  # fmt: skip


class UniformWeight(WeightQuantizer):
    """Weights on step * (code - zero) with an integral zero point, so that 0 is exactly on the grid.

    Affine: codes 0 .. 2^b - 1 from the lowest to the highest weight, widened to contain 0. This is what
    integer hardware and ONNX compute. Symmetric: zero point 0 and codes -(2^(b-1)-1) .. 2^(b-1)-1; with
    1 bit the two values {-step/2, +step/2}.

    With the observer `minmax` the range follows the weight and the gradient passes straight through.
    With `percentile` or `mse` it is set from the weight by `initialise`, and what is clipped by it gets
    no gradient.

    Args:
        bits, axis, rounding: of `WeightQuantizer`.
        symmetric: the zero point is 0.
        observer: `minmax` (`moving_average` is the same for a weight), `percentile` or `mse`.
        channels: length of `axis`; needed with `axis`.
    """

    qn: Tensor
    qp: Tensor
    offset: Tensor
    step: Tensor
    zero: Tensor

    def __init__(
        self,
        bits: int,
        *,
        symmetric: bool,
        observer: str = "minmax",
        axis: int | None = None,
        channels: int = 1,
        rounding: str = "nearest",
    ) -> None:
        super().__init__(bits, axis=axis, rounding=rounding)
        self.symmetric = symmetric
        self.observer = observer
        self.follows = observer in ("minmax", "moving_average")
        for name in ("qn", "qp", "offset"):
            self.register_buffer(name, torch.tensor(0.0))
        if not self.follows:
            shape = () if axis is None else (channels,)
            self.register_buffer("step", torch.ones(shape))
            self.register_buffer("zero", torch.zeros(shape))
        self._set_width(bits)

    def _set_width(self, bits: int) -> None:
        super()._set_width(bits)
        if bits <= 16:
            qn, qp, offset = integer_range(bits, signed=self.symmetric)
            if self.symmetric and bits > 1:
                qn = -qp
            for buffer, value in ((self.qn, qn), (self.qp, qp), (self.offset, offset)):
                buffer.fill_(value)

    @torch.no_grad()
    def initialise(self, weight: Tensor, mask: Tensor | None) -> None:
        """Set a range that does not follow the weight."""
        if self.follows or self._width > 16:
            return
        seen = RangeObserver(self.axis, WEIGHT_SAMPLE)
        seen.update(weight, mask)
        if self.symmetric:
            step = symmetric_steps(seen, self.observer, float(self.qn), float(self.qp), float(self.offset))
            zero = torch.zeros_like(step)
        else:
            step, zero = affine_steps(seen, self.observer, int(self.qp))
        self.step.copy_(step.reshape(self.step.shape))
        self.zero.copy_(zero.reshape(self.zero.shape))

    def _step_and_zero(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Shaped to broadcast to `w`."""
        if not self.follows:
            return along(self.step, self.axis, w.dim()), along(self.zero, self.axis, w.dim())
        low, high = _extremes(w, self.axis)
        if not self.symmetric:
            return affine_grid(low, high, self.qp)
        reach = torch.maximum(high, -low) / (self.qp + self.offset).clamp_min(0.5)
        return torch.where(reach > 0, reach, 1.0), torch.zeros_like(reach)

    def quantize(self, x: Tensor) -> Tensor:
        step, zero = self._step_and_zero(x.detach())
        low, high = self.qn - zero, self.qp - zero
        if self.follows:
            return _straight_through(to_grid(x.detach(), step, low, high, self.offset * step, self.mode), x)
        return on_step(x, step, low, high, self.offset, 1, rounding=self.mode)

    def _grid(self, weight: Tensor) -> Grid:
        step, zero = (_vector(v, self.axis) for v in self._step_and_zero(weight))
        half = bool(self.offset)
        return Grid(
            scale=step,
            qmin=int(self.qn),
            qmax=int(self.qp),
            zero_point=None if half else zero.to(torch.int32),
            offset=self.offset * step if half else None,
            axis=self.axis,
            rounding=self._grid_rounding(),
        )


class DoReFaWeight(WeightQuantizer):
    """w_q = 2 Q(tanh(w) / (2 max|tanh(w)|) + 1/2) - 1, Q rounding to multiples of 1/(2^b - 1); values in [-1, 1].

    With 1 bit: the sign of w times the mean |w|. Q has a straight-through gradient; tanh and the maximum
    have their own.

    Source: Zhou et al., DoReFa-Net, arXiv:1606.06160, 2016, section 2.3 (sign(0) counts as +1).
    """

    def quantize(self, x: Tensor) -> Tensor:
        if self._reads_bits():
            return torch.where(self.bits == 1, self._sign(x), self._many(x))
        return self._sign(x) if self._width == 1 else self._many(x)

    def _sign(self, w: Tensor) -> Tensor:
        mean = along(self._mean(w), self.axis, w.dim())
        return _straight_through(torch.where(w >= 0, mean, -mean), w)

    def _many(self, w: Tensor) -> Tensor:
        levels = torch.clamp_min(2**self.bits - 1, 1)
        continuous = tanh_codes(w, along(self._peak(w), self.axis, w.dim()), levels)
        codes = round_in_place(continuous.detach().clone(), self.mode)
        scale = torch.full((), 2.0, dtype=w.dtype, device=w.device) / levels
        return _straight_through(codes * scale - 1.0, continuous * scale) * (self.bits > 0)

    def _mean(self, w: Tensor) -> Tensor:
        return (
            w.detach().abs().mean()
            if self.axis is None
            else w.detach().abs().movedim(self.axis, 0).flatten(1).mean(1)
        )

    def _peak(self, w: Tensor) -> Tensor:
        size = torch.tanh(w).abs()
        peak = size.amax() if self.axis is None else size.movedim(self.axis, 0).flatten(1).amax(1)
        return peak.clamp_min(torch.finfo(w.dtype).tiny)

    def _grid(self, weight: Tensor) -> Grid:
        if not self._width:
            return removed(weight)
        if self._width == 1:
            mean = self._mean(weight)
            return SignGrid(scale=2 * mean, offset=-mean, qmin=0, qmax=1, axis=self.axis)
        peak, levels = self._peak(weight), 2**self._width - 1
        scale = torch.full_like(peak, 2.0) / levels
        return TanhGrid(
            scale=scale, offset=torch.full_like(peak, -1.0), peak=peak, qmin=0, qmax=levels, axis=self.axis,
            rounding=self._grid_rounding(),
        )  # fmt: skip


def removed(x: Tensor) -> Grid:
    """The grid of 0 bits: code 0, value 0."""
    zero = torch.zeros((), dtype=torch.int32, device=x.device)
    return Grid(scale=torch.ones((), dtype=x.dtype, device=x.device), qmin=0, qmax=0, zero_point=zero)
