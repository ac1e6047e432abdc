"""Uniform quantizers: min-max affine weights, and activations on a calibrated or learned grid.

Every quantizer simulates integers in floating point ("fake quantization"): its output lies on a grid
of at most 2^b values and its gradient is a straight-through estimate.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from workloads.compress.grid import integer_range, mse_step, uniform_quantize
from workloads.compress.observer import Observer

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
    return _minmax_affine(w, 2**bits - 1, axis)


def _minmax_affine(w: Tensor, levels: int | Tensor, axis: int | None) -> Tensor:
    """As `minmax_affine`, with levels = 2^b - 1."""
    fixed = w.detach()
    if axis is None:
        beta, top = fixed.amin(), fixed.amax()
    else:
        others = [dim for dim in range(w.dim()) if dim != axis % w.dim()]
        beta, top = fixed.amin(others, keepdim=True), fixed.amax(others, keepdim=True)
    spread = top - beta
    alpha = torch.where(spread > 0, spread, 1.0)
    return _straight_through(alpha * torch.round(levels * (fixed - beta) / alpha) / levels + beta, w)


def _straight_through(value: Tensor, w: Tensor) -> Tensor:
    """Exactly `value` forward (w - w = 0), the identity for `w` backward."""
    return value.detach() + (w - w.detach())


class MinMaxWeight(nn.Module):
    """`minmax_affine` of a weight; nothing is learned.

    Args:
        bits: 1..16.
    """

    bits: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.register_buffer("bits", torch.tensor(bits))

    def initialise(self, weight: Tensor, mask: Tensor | None) -> None:
        """Nothing to do: the range follows the weight."""

    def forward(self, weight: Tensor) -> Tensor:
        return _minmax_affine(weight, 2**self.bits - 1, None)

    @property
    def simulated_bits(self) -> int:
        """For the tracer: what runs in here is rounding that the hardware does on the way [bit]."""
        return int(self.bits)

    def extra_repr(self) -> str:
        return f"bits={self.simulated_bits}"


class LSQWeight(nn.Module):
    """Weights on step * code, code = -2^(b-1) .. 2^(b-1)-1, the step learned with the weights.

    With 1 bit the grid is {-step/2, +step/2}: the sign of the weight times a learned magnitude.
    The step starts where the squared error over the surviving weights is smallest.

    Args:
        bits: 1..16.
    """

    bits: Tensor
    qn: Tensor
    qp: Tensor
    offset: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        qn, qp, offset = integer_range(bits, signed=True)
        self.register_buffer("bits", torch.tensor(bits))
        self.register_buffer("qn", torch.tensor(qn))
        self.register_buffer("qp", torch.tensor(qp))
        self.register_buffer("offset", torch.tensor(offset))
        self.step = nn.Parameter(torch.tensor(1.0))

    @torch.no_grad()
    def initialise(self, weight: Tensor, mask: Tensor | None) -> None:
        """Set the step from the weights.

        Args:
            weight: any shape.
            mask: what survives, broadcastable to it; None is all.
        """
        kept = weight if mask is None else weight[mask.expand_as(weight)]
        stride = -(-kept.numel() // WEIGHT_SAMPLE)
        sample = kept.reshape(-1)[::stride]
        self.step.copy_(mse_step(sample, float(self.qn), float(self.qp), float(self.offset)))

    def forward(self, weight: Tensor) -> Tensor:
        return uniform_quantize(weight, self.step, self.qn, self.qp, self.offset, weight.numel())

    @property
    def simulated_bits(self) -> int:
        """For the tracer: what runs in here is rounding that the hardware does on the way [bit]."""
        return int(self.bits)

    def extra_repr(self) -> str:
        return f"bits={self.simulated_bits}"


class ActivationQuantizer(nn.Module):
    """Quantizes the input of a layer on one grid per tensor.

    `minmax`: the grid spans the extremes seen in calibration, widened to contain 0, which is then
    exactly on it (padding and ReLU stay exact); it is fixed afterwards. `lsq`: the step starts where
    the squared error is smallest and is learned. Where calibration saw no negative value the grid is
    unsigned.

    The grid is set by `workloads.compress.calibrate`. A quantizer that was never calibrated takes its
    grid from the first batch that it sees, so that a model straight from `apply` can be trained.

    Args:
        bits: 1..16.
        quantizer: `minmax` or `lsq`.
    """

    bits: Tensor
    qn: Tensor
    qp: Tensor
    offset: Tensor
    calibrated: Tensor
    step: Tensor

    def __init__(self, bits: int, quantizer: str) -> None:
        super().__init__()
        self.learned = quantizer == "lsq"
        self.observer: Observer | None = None
        self._is_set = False
        qn, qp, offset = integer_range(bits, signed=False)
        self.register_buffer("bits", torch.tensor(bits))
        self.register_buffer("qn", torch.tensor(qn))
        self.register_buffer("qp", torch.tensor(qp))
        self.register_buffer("offset", torch.tensor(offset))
        self.register_buffer("calibrated", torch.tensor(False))
        step = torch.tensor(1.0)
        if self.learned:
            self.step = nn.Parameter(step)
        else:
            self.register_buffer("step", step)

    def forward(self, x: Tensor) -> Tensor:
        if self.observer is not None:
            self.observer.update(x)
            return x
        if not self._is_set:
            self._set_from(x)
        num = max(1, x.numel() // max(1, x.shape[0]))
        return uniform_quantize(x, self.step, self.qn, self.qp, self.offset, num)

    def _set_from(self, x: Tensor) -> None:
        if torch.compiler.is_exporting() or torch.compiler.is_compiling():
            raise ConfigError(
                "an activation quantizer has no range yet. Call calibrate(model, x) before exporting."
            )
        observer = Observer()
        observer.update(x)
        self.set_range(observer)

    @torch.no_grad()
    def set_range(self, observer: Observer) -> None:
        """Set the grid from what an observer saw.

        Raises:
            ConfigError: it saw nothing, or values that are not finite.
        """
        low, high, sample = observer.result()
        bits = int(self.bits)
        if self.learned:
            qn, qp, offset = integer_range(bits, signed=low < 0)
            step = float(mse_step(sample, qn, qp, offset))
        else:
            low, high = min(low, 0.0), max(high, 0.0)
            step = (high - low) / (2**bits - 1) or 1.0
            zero = round(-low / step)
            qn, qp, offset = float(-zero), float(2**bits - 1 - zero), 0.0
        for buffer, value in ((self.qn, qn), (self.qp, qp), (self.offset, offset), (self.step, step)):
            buffer.fill_(value)
        self.calibrated.fill_(True)
        self._is_set = True

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._is_set = bool(self.calibrated)

    @property
    def simulated_bits(self) -> int:
        """As for the weights [bit]."""
        return int(self.bits)

    def extra_repr(self) -> str:
        quantizer = "lsq" if self.learned else "minmax"
        return f"bits={self.simulated_bits}, quantizer={quantizer}, calibrated={self._is_set}"
