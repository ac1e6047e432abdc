"""Weights on a learned step: LSQ, and the start of LSQ+."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workloads.compress.config import MAX_QUANTIZED_BITS
from workloads.compress.grid import Grid, along, integer_range
from workloads.compress.observer import RangeObserver
from workloads.compress.quantizers.drawn import WeightQuantizer
from workloads.compress.quantizers.mapped import on_step
from workloads.compress.quantizers.uniform import grid_size
from workloads.compress.quantizers.weights import WEIGHT_SAMPLE
from workloads.compress.ranges import symmetric_steps

THREE_SIGMA = "three_sigma"


class LSQWeight(WeightQuantizer):
    """Weights on step * code, code = -2^(b-1) .. 2^(b-1)-1, the step learned with the weights.

    With 1 bit the grid is {-step/2, +step/2}: the sign of the weight times a learned magnitude.
    The step starts where the squared error over the surviving weights is smallest.

    Args:
        bits, axis, rounding: of `WeightQuantizer`.
        observer: where the step starts: `mse`, `minmax`, `moving_average` (the same), `percentile`, or
            `three_sigma`, the start of LSQ+.
        channels: length of `axis`; needed with `axis`.

    Source: Esser et al., Learned Step Size Quantization, ICLR 2020; Bhalgat et al., LSQ+, CVPR workshops
    2020, section 3.2 (three_sigma).
    """

    qn: Tensor
    qp: Tensor
    offset: Tensor

    def __init__(
        self,
        bits: int,
        *,
        observer: str = "mse",
        axis: int | None = None,
        channels: int = 1,
        rounding: str = "nearest",
    ) -> None:
        super().__init__(bits, axis=axis, rounding=rounding)
        self.observer = observer
        for name in ("qn", "qp", "offset"):
            self.register_buffer(name, torch.tensor(0.0))
        self.step = nn.Parameter(torch.ones(() if axis is None else channels))
        self._set_width(bits)

    def _set_width(self, bits: int) -> None:
        super()._set_width(bits)
        if bits <= MAX_QUANTIZED_BITS:
            for buffer, value in zip(
                (self.qn, self.qp, self.offset), integer_range(bits, signed=True), strict=True
            ):
                buffer.fill_(value)

    @torch.no_grad()
    def initialise(self, weight: Tensor, mask: Tensor | None) -> None:
        """Set the step from the weights that survive."""
        if not 1 <= self._width <= MAX_QUANTIZED_BITS:
            return
        seen = RangeObserver(self.axis, WEIGHT_SAMPLE)
        seen.update(weight, mask)
        if self.observer == THREE_SIGMA:
            step = three_sigma_steps(seen.sample, self._width)
        else:
            step = symmetric_steps(seen, self.observer, float(self.qn), float(self.qp), float(self.offset))
        self.step.copy_(step.reshape(self.step.shape))

    def quantize(self, x: Tensor) -> Tensor:
        step = along(self.step, self.axis, x.dim())
        num = x.numel() // max(1, step.numel())
        return on_step(x, step, self.qn, self.qp, self.offset, num, rounding=self.mode)

    def _grid(self, weight: Tensor) -> Grid:
        return signed_grid(
            grid_size(self.step.detach()), self.qn, self.qp, self.offset, self.axis, self._grid_rounding()
        )


def signed_grid(scale: Tensor, qn: Tensor, qp: Tensor, offset: Tensor, axis: int | None, rounding: str) -> Grid:
    """scale * (code + offset): a zero point of 0, or none on the binary grid."""
    half = bool(offset)
    return Grid(
        scale=scale,
        qmin=int(qn),
        qmax=int(qp),
        zero_point=None if half else torch.zeros_like(scale, dtype=torch.int32),
        offset=offset * scale if half else None,
        axis=axis,
        rounding=rounding,
    )


def three_sigma_steps(rows: Tensor, bits: int) -> Tensor:
    """max(|mean - 3 sd|, |mean + 3 sd|) / 2^(b-1) of every row.

    Args:
        rows: (R, n); NaN is left out.

    Returns:
        (R,) > 0; 1 where every value is 0.

    Source: Bhalgat et al., LSQ+, CVPR workshops 2020, section 3.2.
    """
    count = (~rows.isnan()).sum(1).clamp_min(1)
    mean = rows.nansum(1) / count
    deviation = ((rows - mean[:, None]).square().nansum(1) / count).sqrt()
    step = torch.maximum((mean - 3 * deviation).abs(), (mean + 3 * deviation).abs()) / 2 ** (bits - 1)
    return torch.where(step > 0, step, 1.0)
