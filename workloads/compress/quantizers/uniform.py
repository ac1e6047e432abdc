"""Rounding to a uniform grid with straight-through gradients: the arithmetic of every learned quantizer.

Everything is q = s * round(clamp((x - o)/s, qn, qp)) + o. What differs is the gradient of the step and of
the offset. A quantizer runs over every activation of every step, so on the CPU the passes go block by
block through the cache (`quantizers/blocks.py`), and nothing is saved for the backward pass but the input and
the output, which the neighbouring layers hold anyway.

Sources: Esser et al., Learned Step Size Quantization, ICLR 2020 (LSQ); Bhalgat et al., LSQ+, CVPR workshops
2020; Choi et al., PACT, arXiv:1805.06085, 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from workloads.compress.grid import TINY_STEP, round_in_place
from workloads.compress.quantizers.base import HALF, wide
from workloads.compress.quantizers.blocks import (
    Ends,
    for_step,
    gradients_of_one,
    is_one_grid,
    laid_out_as,
    masked_by_one,
    onto,
)

#: For `torch.compile(qmodel, options=dict(COMPILE_OPTIONS))` on the CPU: keep the clip masks inside the fused
#: kernels. Stored as booleans they make the backward pass of batch norm several times slower.
COMPILE_OPTIONS = MappingProxyType({"realize_reads_threshold": 32, "realize_opcount_threshold": 200})


def to_grid(
    x: Tensor, size: Tensor, qn: Tensor, qp: Tensor, shift: Tensor, rounding: str | Tensor = "nearest"
) -> Tensor:
    """size * round(clamp((x - shift)/size, qn, qp)) + shift; the shape of `x`."""
    if isinstance(rounding, Tensor) or x.dtype in HALF or not is_one_grid(x, size, qn, qp, shift):
        codes = torch.clamp((x - shift) / size, qn, qp)
        return round_in_place(codes, rounding).mul(size).add(shift)
    return onto(x, float(size), float(qn), float(qp), float(shift), rounding)


def _gradients(
    grad: Tensor, x: Tensor, out: Tensor, low: Tensor, high: Tensor, shape: torch.Size
) -> tuple[Tensor, Tensor]:
    """(grad inside, sum of grad * (out - x) inside and grad * out outside); inside is low < x < high.

    The sum has the shape `shape`.
    """
    inside = (x > low) & (x < high)
    residual = torch.where(inside, out - x, out) * grad
    return torch.where(inside, grad, 0.0), residual.sum_to_size(shape)


def _masked(grad: Tensor, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """grad where low < x < high, 0 elsewhere.

    Compiled, the mask is a float 0 or 1: the compiler would store a boolean for the backward pass, whose loops
    are not vectorised on the CPU (a step of three times the length), while it computes a float again.
    """
    if torch.compiler.is_compiling():
        return grad * (x - low).sign().clamp_min(0) * (high - x).sign().clamp_min(0)
    return torch.where((x > low) & (x < high), grad, 0.0)


class _LearnedStep(torch.autograd.Function):
    """Gradients of LSQ for the step, of LSQ+ for the offset, the clip mask for the input."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        x, step, qn, qp, offset, beta, num, rounding = args
        ends = Ends.of_step(step, qn, qp, offset, beta) if is_one_grid(x, step, qn, qp, beta) else None
        if ends is None or isinstance(rounding, Tensor):
            out = to_grid(x, grid_size(step), qn, qp, _shift(step, offset, beta), rounding)
        else:
            out = onto(x, ends.size, ends.qn, ends.qp, ends.shift, rounding)
        learns = ctx.needs_input_grad[1] or ctx.needs_input_grad[5]
        ctx.save_for_backward(x, out if learns and x.dtype not in HALF else None, step, qn, qp, offset, beta)
        ctx.num, ctx.ends, ctx.learns, ctx.rounding = num, ends, learns, rounding
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        x, out, step, qn, qp, offset, beta = ctx.saved_tensors
        grad, ends = _as_written(grad, x, ctx.ends)
        nothing = (None,) * 6
        if ends is None:
            size, shift = grid_size(step), _shift(step, offset, beta)
            low, high = qn * size + shift, qp * size + shift
        if not ctx.learns:
            return _masked(grad, x, low, high) if ends is None else masked_by_one(grad, x, ends), None, *nothing
        if ends is None:
            out = to_grid(wide(x), size, qn, qp, shift, ctx.rounding) if out is None else out
            grad_x, residual = _gradients(grad, x, out, low, high, step.shape)
        else:
            grad_x, residual = gradients_of_one(grad, x, out, ends, ctx.rounding)
            if beta is None:
                return grad_x, for_step(residual, step, offset, ends, ctx.num), *nothing
            size, residual = grid_size(step), residual.reshape(step.shape)
        factor = torch.rsqrt(ctx.num * top_of(qp, offset))
        along_offset = None
        if beta is not None:
            outside = (grad - grad_x).sum_to_size(beta.shape)
            along_offset = outside * factor
            residual = residual - beta * outside
        grad_step = residual / size * step.sign() * factor
        return grad_x, grad_step, None, None, None, along_offset, None, None


class _LearnedClip(torch.autograd.Function):
    """Gradients of PACT: the clipping value learns from what is clipped at it."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        x, alpha, qn, qp, offset, rounding = args
        ctx.save_for_backward(x, alpha, qn, qp, offset)
        ends = Ends.of_clip(alpha, qn, qp, offset) if is_one_grid(x, alpha, qn, qp) else None
        ctx.ends = ends
        if ends is None or isinstance(rounding, Tensor):
            size = clip_size(alpha, qp, offset)
            return to_grid(x, size, qn, qp, offset * size, rounding)
        return onto(x, ends.size, ends.qn, ends.qp, ends.shift, rounding)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        x, alpha, qn, qp, offset = ctx.saved_tensors
        ratio = (qn + offset) / top_of(qp, offset)
        grad, ends = _as_written(grad, x, ctx.ends)
        if ends is not None:
            grad_x = masked_by_one(grad, x, ends)
        else:
            high = alpha.abs().clamp_min(TINY_STEP)
            grad_x = _masked(grad, x, high * ratio, high)
        clipped = grad - grad_x
        # low <= 0 < high: what is clipped and positive is clipped above
        above = torch.ops.aten.threshold_backward(clipped, x, 0.0).sum_to_size(alpha.shape)
        below = clipped.sum_to_size(alpha.shape) - above
        return grad_x, (above + ratio * below) * alpha.sign(), None, None, None, None


def _as_written(grad: Tensor, x: Tensor, ends: Ends | None) -> tuple[Tensor, Ends | None]:
    """The gradient in the memory order of `x`, and its one grid, where the backward pass goes in blocks too."""
    if ends is None or not is_one_grid(x):
        return grad, None
    return laid_out_as(grad, x), ends


def grid_size(step: Tensor) -> Tensor:
    """The distance of neighbouring values: |step|, never 0."""
    return step.abs().clamp_min(TINY_STEP)


def clip_size(alpha: Tensor, qp: Tensor, offset: Tensor) -> Tensor:
    """The distance of neighbouring values when the highest is |alpha|."""
    return alpha.abs().clamp_min(TINY_STEP) / top_of(qp, offset)


def top_of(qp: Tensor, offset: Tensor) -> Tensor:
    """The highest value in steps; 1/2 is the smallest there is (1 bit), and keeps 0 bits from dividing by 0."""
    return (qp + offset).clamp_min(0.5)


def _shift(step: Tensor, offset: Tensor, beta: Tensor | None) -> Tensor:
    return offset * grid_size(step) if beta is None else beta


_learned_step: Callable[..., Tensor] = _LearnedStep.apply
_learned_clip: Callable[..., Tensor] = _LearnedClip.apply


def uniform_quantize(
    x: Tensor,
    step: Tensor,
    qn: Tensor,
    qp: Tensor,
    offset: Tensor,
    num: int,
    *,
    beta: Tensor | None = None,
    rounding: str | Tensor = "nearest",
) -> Tensor:
    """Round to the grid step * (code + offset), code = qn..qp, with the gradients of LSQ.

    dq/dx = 1 inside (qn, qp), 0 outside. dq/dstep = round(v) - v inside, qn or qp outside, v = x/step,
    times 1/sqrt(num * qp). The sign of `step` is ignored, so that training cannot make it negative.
    With `beta` (LSQ+) the grid is step * code + beta, v = (x - beta)/step, and dq/dbeta = 0 inside,
    1 outside, times the same factor.

    Args:
        x: any shape; 16 bits are computed in 32, and the result is of either type.
        step: 0-dim, or of a shape that broadcasts to `x`.
        qn, qp: lowest and highest code; 0-dim, or shaped like `step`.
        offset: 0-dim; 0, or 1/2 for the binary grid {-step/2, step/2}. Without effect where `beta` is given.
        num: elements that share the step, N in the gradient's scale.
        beta: value of code 0, shaped like `step`.
        rounding: of `round_in_place`.

    Source: Esser et al., Learned Step Size Quantization, ICLR 2020, equations 1 to 5 and section 2.2;
    Bhalgat et al., LSQ+, CVPR workshops 2020, section 3.1.
    """
    if torch.compiler.is_exporting():
        return to_grid(wide(x), grid_size(step), qn, qp, _shift(step, offset, beta), rounding)
    if x.dtype in HALF and not (beta is None and rounding in ("nearest", "floor") and is_one_grid(x, step, qn, qp)):
        x = wide(x)
    return _learned_step(x, step, qn, qp, offset, beta, num, rounding)


def clip_quantize(
    x: Tensor, alpha: Tensor, qn: Tensor, qp: Tensor, offset: Tensor, *, rounding: str | Tensor = "nearest"
) -> Tensor:
    """Clip at alpha, then round to the grid whose highest value is alpha, with the gradients of PACT.

    dq/dx = 1 inside, 0 outside. dq/dalpha = 1 where x >= alpha, 0 below. Where the grid is signed its
    lowest value is proportional to alpha too, and contributes in that proportion where x is below it.

    Args:
        x: any shape; 16 bits are computed in 32, and the result is of either type.
        alpha: 0-dim, or of a shape that broadcasts to `x`; its sign is ignored.
        qn, qp, offset: as in `uniform_quantize`.
        rounding: `nearest`, `floor` or `stochastic`.

    Source: Choi et al., PACT, arXiv:1805.06085, 2018, equations 1 to 3.
    """
    if torch.compiler.is_exporting():
        size = clip_size(alpha, qp, offset)
        return to_grid(wide(x), size, qn, qp, offset * size, rounding)
    return _learned_clip(wide(x), alpha, qn, qp, offset, rounding)
