"""The uniform grid: step * (code + offset), its gradients, and where its step starts.

Source: Esser et al., Learned Step Size Quantization, ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

TINY_STEP = 1e-12


def _to_grid(x: Tensor, step: Tensor, qn: Tensor, qp: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """(nearest value on the grid, code before clipping and rounding)."""
    size = step.abs().clamp_min(TINY_STEP)
    codes = (x / size).sub_(offset)
    return torch.clamp(codes, qn, qp).round_().add_(offset).mul_(size), codes


class _UniformQuantize(torch.autograd.Function):
    """q = step * (round(clamp(x/step - offset, qn, qp)) + offset), with the gradients of LSQ."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        x, step, qn, qp, offset, num = args
        out, codes = _to_grid(x, step, qn, qp, offset)
        inside = (codes > qn).logical_and_(codes < qp)
        ctx.save_for_backward(x, out, inside, step, qp + offset)
        ctx.num = num
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        x, out, inside, step, top = ctx.saved_tensors
        grad_x = grad * inside if ctx.needs_input_grad[0] else None
        grad_step = None
        if ctx.needs_input_grad[1]:
            size = step.abs().clamp_min(TINY_STEP)
            total = torch.sub(out, x * inside).mul_(grad).sum_to_size(step.shape)
            grad_step = total / size * step.sign() * torch.rsqrt(ctx.num * top)
        return grad_x, grad_step, None, None, None, None


_apply: Callable[..., Tensor] = _UniformQuantize.apply


def uniform_quantize(x: Tensor, step: Tensor, qn: Tensor, qp: Tensor, offset: Tensor, num: int) -> Tensor:
    """Round to the grid step * (code + offset), code = qn..qp, with the gradients of LSQ.

    dq/dx = 1 inside (qn, qp), 0 outside. dq/dstep = round(v) - v inside, qn or qp outside, v = x/step,
    times 1/sqrt(num * qp). The sign of `step` is ignored, so that training cannot make it negative.

    Args:
        x: any shape.
        step: 0-dim, or of a shape that broadcasts to `x`.
        qn, qp: 0-dim, lowest and highest code.
        offset: 0-dim; 0, or 1/2 for the binary grid {-step/2, step/2}.
        num: elements that share the step, N in the gradient's scale.

    Source: Esser et al., Learned Step Size Quantization, ICLR 2020, equations 1 to 5 and section 2.2.
    """
    if torch.compiler.is_exporting():
        return _to_grid(x, step, qn, qp, offset)[0]
    return _apply(x, step, qn, qp, offset, num)


def integer_range(bits: int, signed: bool) -> tuple[float, float, float]:
    """(qn, qp, offset) of a grid with 2^bits codes.

    Signed: -2^(b-1) .. 2^(b-1)-1. Unsigned: 0 .. 2^b-1. Signed with 1 bit has no zero: it is the
    binary grid {-step/2, +step/2}, codes -1 and 0 at offset 1/2.
    """
    if not signed:
        return 0.0, float(2**bits - 1), 0.0
    return -float(2 ** (bits - 1)), float(2 ** (bits - 1) - 1), 0.5 if bits == 1 else 0.0


def mse_step(values: Tensor, qn: float, qp: float, offset: float, num_candidates: int = 96) -> Tensor:
    """The step with the smallest squared error, searched on a geometric grid.

    The largest candidate just reaches the extreme value, the smallest clips at 1 % of it. The paper's
    start 2<|v|>/sqrt(qp) suits training only; this one also serves quantization without training.

    Args:
        values: any shape; all zeros give step 1.
        qn, qp, offset: of `integer_range`.
        num_candidates: tried; neighbours differ by 5 % at 96.

    Returns:
        0-dim, > 0.
    """
    flat = values.detach().reshape(-1).float()
    reach = flat.amax() / (qp + offset)
    if qn + offset:
        reach = torch.maximum(reach, flat.amin() / (qn + offset))
    if not reach > 0:
        return torch.ones((), device=flat.device)
    steps = reach * torch.logspace(-2, 0, num_candidates, device=flat.device)
    errors = [(s * (torch.clamp(flat / s - offset, qn, qp).round() + offset) - flat).square().sum() for s in steps]
    return steps[int(torch.stack(errors).argmin())]
