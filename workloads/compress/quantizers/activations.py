"""Activation quantizers: a grid set by calibration, fixed or learned afterwards."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, check_one_of
from workloads.compress.config import MAX_QUANTIZED_BITS, OBSERVERS, QUANTIZERS
from workloads.compress.grid import Grid, along, integer_range
from workloads.compress.observer import RangeObserver
from workloads.compress.quantizers.base import Quantizer, wide
from workloads.compress.quantizers.learned import signed_grid
from workloads.compress.quantizers.mapped import on_clip, on_step
from workloads.compress.quantizers.uniform import clip_size, grid_size
from workloads.compress.ranges import affine_steps, symmetric_steps

AFFINE = ("minmax", "affine", "lsq+")
LEARNED_STEP = ("lsq", "lsq+")
START = {"lsq": "mse", "lsq+": "mse", "pact": "mse"}


class ActivationQuantizer(Quantizer):
    """Quantizes the input of a layer on one grid per tensor.

    `minmax` and `affine`: the grid spans the observed range, widened to contain 0, which is then exactly
    on it (padding and ReLU stay exact); it is fixed afterwards. `symmetric`: likewise with zero point 0.
    `lsq`: the step is learned. `lsq+`: the step and the value of code 0 (`beta`) are learned. `pact`: the
    highest value (`alpha`) is learned. `dorefa`: clipped to [0, 1], whatever the data.
    Where calibration saw no negative value the grid of all but the affine ones is unsigned.

    The grid is set by `workloads.compress.calibrate`. A quantizer that was never calibrated takes its
    grid from the first batch that it sees, so that a model straight from `apply` can be trained.

    Args:
        bits: 0..16, or 32.
        quantizer: one of the names above.
        observer: `minmax`, `moving_average`, `percentile` or `mse` (smallest squared error): the range from
            the data, or where learning starts. `default` is `mse` where it is learned and `minmax` elsewhere.
        signed: whether codes may be negative (not for the affine ones); None follows the data.
        axis: one range per index of this dim of the input (1 is the channel); None is one for the tensor.
        channels: length of `axis`; needed with `axis`.
        rounding: of `Quantizer`.

    Raises:
        ConfigError: an unknown name, or bits outside 0..16 and 32.
    """

    qn: Tensor
    qp: Tensor
    offset: Tensor
    calibrated: Tensor
    step: Tensor
    alpha: Tensor
    beta: Tensor
    widens = True

    def __init__(
        self,
        bits: int,
        quantizer: str,
        *,
        observer: str = "default",
        signed: bool | None = None,
        axis: int | None = None,
        channels: int = 1,
        rounding: str = "nearest",
    ) -> None:
        super().__init__(bits, rounding)
        check_one_of("quantizer", quantizer, QUANTIZERS)
        check_one_of("observer", observer, OBSERVERS)
        self.kind = quantizer
        self.rule = START.get(quantizer, "minmax") if observer == "default" else observer
        self.signed = signed
        self.axis = axis
        self.observer: RangeObserver | None = None
        self._seen: RangeObserver | None = None
        self._is_set = False
        shape = () if axis is None else (channels,)
        qn, qp, offset = integer_range(min(bits, MAX_QUANTIZED_BITS), signed=False)
        self.register_buffer("qn", torch.full(shape, qn))
        self.register_buffer("qp", torch.full(shape, qp))
        self.register_buffer("offset", torch.tensor(offset))
        self.register_buffer("calibrated", torch.tensor(False))
        if self.kind == "pact":
            self.alpha = nn.Parameter(torch.ones(shape))
        elif self.kind in LEARNED_STEP:
            self.step = nn.Parameter(torch.ones(shape))
        else:
            self.register_buffer("step", torch.ones(shape))
        if self.kind == "lsq+":
            self.beta = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        if self.observer is not None:
            self.observer.update(wide(x))
            return x
        if not self._is_set:
            self._set_from(wide(x))
        return super().forward(x)

    def stand_in(self, x: Tensor) -> Tensor:
        return x if self.observer is not None else super().stand_in(x)

    def quantize(self, x: Tensor) -> Tensor:
        qn, qp = self._spread(self.qn, x), self._spread(self.qp, x)
        if self.kind == "pact":
            return on_clip(x, self._spread(self.alpha, x), qn, qp, self.offset, rounding=self.mode)
        num = max(1, x.numel() // max(1, x.shape[0]) // self.step.numel())
        beta = self._spread(self.beta, x) if self.kind == "lsq+" else None
        step = self._spread(self.step, x)
        return on_step(x, step, qn, qp, self.offset, num, beta=beta, rounding=self.mode)

    def _spread(self, vector: Tensor, x: Tensor) -> Tensor:
        return along(vector, self.axis, x.dim())

    def _set_from(self, x: Tensor) -> None:
        if torch.compiler.is_exporting() or torch.compiler.is_compiling():
            raise ConfigError(
                "an activation quantizer has no range yet. Call calibrate(model, x) before exporting or compiling."
            )
        observer = self.new_observer()
        observer.update(x)
        self.set_range(observer)

    def new_observer(self) -> RangeObserver:
        """An observer of what this quantizer needs to see."""
        return RangeObserver(self.axis)

    def set_bits(self, bits: int) -> None:
        """Change the width; the grid is set anew from what the last calibration saw.

        What was learned is lost. Without a calibration the next batch sets the grid.

        Raises:
            ConfigError: not 0..16 nor 32.
        """
        self._set_width(bits)
        if self._seen is not None:
            self.set_range(self._seen)
        else:
            self._is_set = False
            self.calibrated.fill_(False)

    @torch.no_grad()
    def set_range(self, observer: RangeObserver) -> None:
        """Set the grid from what an observer saw.

        Raises:
            ConfigError: it saw nothing, or values that are not finite.
        """
        low, _ = observer.extremes()
        if self._width <= MAX_QUANTIZED_BITS:
            if self.kind in AFFINE:
                self._set_affine(observer)
            else:
                self._set_symmetric(observer, bool((low < 0).any()) if self.signed is None else self.signed)
        self._seen = observer
        self.calibrated.fill_(True)
        self._is_set = True

    def _set_affine(self, observer: RangeObserver) -> None:
        levels = 2**self._width - 1
        step, zero = affine_steps(observer, self.rule, levels, integral=self.kind != "lsq+")
        if self.kind == "lsq+":
            self.beta.copy_((-zero * step).reshape(self.beta.shape))
            zero = torch.zeros_like(zero)
        self.step.copy_(step.reshape(self.step.shape))
        self.qn.copy_(-zero.reshape(self.qn.shape))
        self.qp.copy_(levels - zero.reshape(self.qp.shape))
        self.offset.fill_(0.0)

    def _set_symmetric(self, observer: RangeObserver, signed: bool) -> None:
        qn, qp, offset = integer_range(self._width, signed)
        for buffer, value in ((self.qn, qn), (self.qp, qp), (self.offset, offset)):
            buffer.fill_(value)
        top = max(qp + offset, 0.5)
        if self.kind == "dorefa":
            self.step.fill_(1 / top)
            return
        step = symmetric_steps(observer, self.rule, qn, qp, offset)
        if self.kind == "pact":
            self.alpha.copy_((step * top).reshape(self.alpha.shape))
        else:
            self.step.copy_(step.reshape(self.step.shape))

    def grid(self) -> Grid:
        """The values that the input may take and their codes; constants, no gradient.

        Raises:
            ConfigError: at 32 bits, or before calibration.
        """
        self._check_quantized()
        if not self._is_set:
            raise ConfigError("an activation quantizer has no range yet. Call calibrate(model, x) first.")
        with torch.no_grad():
            return self._grid()

    def _grid(self) -> Grid:
        rounding = self._grid_rounding()
        if self.kind == "pact":
            scale = clip_size(self.alpha.detach(), self.qp, self.offset)
            return signed_grid(scale, self.qn.min(), self.qp.max(), self.offset, self.axis, rounding)
        scale = grid_size(self.step.detach())
        if self.kind not in AFFINE:
            return signed_grid(scale, self.qn.min(), self.qp.max(), self.offset, self.axis, rounding)
        levels = 2**self._width - 1
        learned = self.kind == "lsq+"
        return Grid(
            scale=scale,
            qmin=0,
            qmax=levels,
            zero_point=None if learned else (-self.qn).to(torch.int32),
            offset=self.beta.detach().clone() if learned else None,
            axis=self.axis,
            rounding=rounding,
        )

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._is_set = bool(self.calibrated)
        self._seen = None

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, quantizer={self.kind}, calibrated={self._is_set}"
