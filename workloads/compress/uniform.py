"""Rounding to a uniform grid with straight-through gradients: the arithmetic of every learned quantizer.

Everything is q = s * round(clamp((x - o)/s, qn, qp)) + o. What differs is the gradient of the step and of
the offset. A quantizer runs over every activation of every step, so on the CPU the passes go block by
block through the cache, and nothing is saved for the backward pass but the input and the output, which
the neighbouring layers hold anyway.

Sources: Esser et al., Learned Step Size Quantization, ICLR 2020 (LSQ); Bhalgat et al., LSQ+, CVPR workshops
2020; Choi et al., PACT, arXiv:1805.06085, 2018.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from workloads.compress.grid import TINY_STEP, round_in_place

BLOCK = 1 << 17  # elements, half a MiB of float32: an intermediate result stays in the cache of a core

#: For `torch.compile(qmodel, options=dict(COMPILE_OPTIONS))` on the CPU: keep the clip masks inside the fused
#: kernels. Stored as booleans they make the backward pass of batch norm several times slower.
COMPILE_OPTIONS = MappingProxyType({"realize_reads_threshold": 32, "realize_opcount_threshold": 200})


@dataclass(frozen=True, slots=True)
class Ends:
    """One grid for a whole tensor as Python numbers: those that its 0-dim tensors would hold, to the last bit.

    Every operation on a 0-dim tensor costs as much as one on a thousand values, and there would be a dozen.

    Attributes:
        size: distance of neighbouring values.
        qn, qp: lowest and highest code.
        shift: value of code 0.
        low, high: lowest and highest value.
    """

    size: float
    qn: float
    qp: float
    shift: float
    low: float
    high: float

    @classmethod
    def of_step(cls, step: Tensor, qn: Tensor, qp: Tensor, offset: Tensor, beta: Tensor | None) -> Self:
        """Of the grid of LSQ, or LSQ+."""
        return cls.many_of_steps(step, qn, qp, offset, beta)[0]

    @classmethod
    @np.errstate(all="ignore")
    def many_of_steps(cls, *grids: Tensor | None) -> list[Self]:
        """Of one grid or several: step, qn, qp, offset and beta, each with a number for every grid."""
        real, least, found = _real(grids[0]), _real(grids[0])(TINY_STEP), []
        for step, lowest, highest, middle, beta in _numbers(real, grids):
            size = max(abs(step), least)
            shift = middle * size if beta is None else beta
            ends = size, lowest, highest, shift, lowest * size + shift, highest * size + shift
            found.append(cls(*map(float, ends)))
        return found

    @classmethod
    @np.errstate(all="ignore")
    def of_clip(cls, alpha: Tensor, qn: Tensor, qp: Tensor, offset: Tensor) -> Self:
        """Of the grid of PACT."""
        real = _real(alpha)
        ((reach, lowest, highest, middle),) = _numbers(real, (alpha, qn, qp, offset))
        high, top = max(abs(reach), real(TINY_STEP)), max(highest + middle, real(0.5))
        size = high / top
        ends = size, lowest, highest, middle * size, high * ((lowest + middle) / top), high
        return cls(*map(float, ends))


def _numbers(real: Any, grids: Iterable[Tensor | None]) -> Iterable[Any]:
    """The numbers of each grid; None where it has none."""
    columns = [itertools.repeat(None) if g is None else [real(v) for v in g.reshape(-1).tolist()] for g in grids]
    return zip(*columns, strict=False)


def _real(like: Tensor | None) -> Any:
    """The number type in which a tensor is computed."""
    return np.float64 if like is not None and like.dtype is torch.float64 else np.float32


def is_mapped() -> bool:
    """This code runs for many candidates at once (`torch.vmap`): a tensor holds a number for each of them."""
    return bool(torch._C._are_functorch_transforms_active())


def _in_blocks(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Flat parts of contiguous tensors that stay in the cache."""
    flat = tuple(t.view(-1) for t in tensors)
    return (flat,) if flat[0].numel() <= BLOCK else zip(*(torch.split(t, BLOCK) for t in flat), strict=True)


def _goes_in_blocks(*tensors: Tensor) -> bool:
    """Contiguous on the CPU and run as written: Python scalars cost no synchronisation there."""
    as_written = not torch.compiler.is_compiling() and not is_mapped()
    return as_written and all(
        t.device.type == "cpu" and t.is_contiguous() and t.dtype in (torch.float32, torch.float64) for t in tensors
    )


def _is_one_grid(x: Tensor, *vectors: Tensor | None) -> bool:
    """One grid for a tensor that goes in blocks."""
    return all(v is None or v.numel() == 1 for v in vectors) and _goes_in_blocks(x)


def to_grid(
    x: Tensor, size: Tensor, qn: Tensor, qp: Tensor, shift: Tensor, rounding: str | Tensor = "nearest"
) -> Tensor:
    """size * round(clamp((x - shift)/size, qn, qp)) + shift; the shape of `x`."""
    if isinstance(rounding, Tensor) or not _is_one_grid(x, size, qn, qp, shift):
        codes = torch.clamp((x - shift) / size, qn, qp)
        return round_in_place(codes, rounding).mul(size).add(shift)
    return _onto(x, float(size), float(qn), float(qp), float(shift), rounding)


def _onto(x: Tensor, size: float, qn: float, qp: float, shift: float, rounding: str) -> Tensor:
    """`to_grid` of one grid, block by block."""
    out = torch.empty_like(x)
    for part, result in _in_blocks(x, out):
        put_on_grid(part, result, size, qn, qp, shift, rounding)
    return out


def put_on_grid(x: Tensor, result: Tensor, size: float, qn: float, qp: float, shift: float, rounding: str) -> None:
    """`to_grid` of one grid, written into `result`."""
    if shift:
        torch.sub(x, shift, out=result).div_(size)
    else:
        torch.div(x, size, out=result)
    result.clamp_(qn, qp)
    if rounding == "stochastic":
        result.copy_(round_in_place(result, rounding))
    else:
        round_in_place(result, rounding)
    result.mul_(size)
    if shift:
        result.add_(shift)


def _gradients(
    grad: Tensor, x: Tensor, out: Tensor, low: Tensor, high: Tensor, shape: torch.Size
) -> tuple[Tensor, Tensor]:
    """(grad inside, sum of grad * (out - x) inside and grad * out outside); inside is low < x < high.

    The sum has the shape `shape`.
    """
    inside = (x > low) & (x < high)
    residual = torch.where(inside, out - x, out) * grad
    return torch.where(inside, grad, 0.0), residual.sum_to_size(shape)


def _gradients_of_one(grad: Tensor, x: Tensor, out: Tensor, ends: Ends) -> tuple[Tensor, Tensor]:
    """`_gradients` of one grid, block by block; the sum is 0-dim."""
    grad_x, scratch = torch.empty_like(x), torch.empty(min(BLOCK, x.numel()), dtype=x.dtype)
    clip, residuals = torch.ops.aten.hardtanh_backward.grad_input, []
    for g, part, value, result in _in_blocks(grad, x, out, grad_x):
        work = scratch if g.numel() == scratch.numel() else scratch[: g.numel()]
        clip(g, part, ends.low, ends.high, grad_input=result)
        clip(part, part, ends.low, ends.high, grad_input=work)
        residuals.append(torch.dot(torch.sub(value, work, out=work), g))
    return grad_x, residuals[0] if len(residuals) == 1 else torch.stack(residuals).sum()


def _masked(grad: Tensor, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """grad where low < x < high, 0 elsewhere.

    Compiled, the mask is a float 0 or 1: the compiler would store a boolean for the backward pass, whose loops
    are not vectorised on the CPU (a step of three times the length), while it computes a float again.
    """
    if torch.compiler.is_compiling():
        return grad * (x - low).sign().clamp_min(0) * (high - x).sign().clamp_min(0)
    return torch.where((x > low) & (x < high), grad, 0.0)


def _masked_by_one(grad: Tensor, x: Tensor, ends: Ends) -> Tensor:
    """`_masked` of one grid."""
    result: Tensor = torch.ops.aten.hardtanh_backward(grad, x, ends.low, ends.high)
    return result


class _LearnedStep(torch.autograd.Function):
    """Gradients of LSQ for the step, of LSQ+ for the offset, the clip mask for the input."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        x, step, qn, qp, offset, beta, num, rounding = args
        ends = Ends.of_step(step, qn, qp, offset, beta) if _is_one_grid(x, step, qn, qp, beta) else None
        if ends is None or isinstance(rounding, Tensor):
            out = to_grid(x, grid_size(step), qn, qp, _shift(step, offset, beta), rounding)
        else:
            out = _onto(x, ends.size, ends.qn, ends.qp, ends.shift, rounding)
        learns = ctx.needs_input_grad[1] or ctx.needs_input_grad[5]
        ctx.save_for_backward(x, out if learns else None, step, qn, qp, offset, beta)
        ctx.num, ctx.ends = num, ends
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        x, out, step, qn, qp, offset, beta = ctx.saved_tensors
        ends = ctx.ends if ctx.ends is not None and _goes_in_blocks(grad) else None
        nothing = (None,) * 6
        if ends is None:
            size, shift = grid_size(step), _shift(step, offset, beta)
            low, high = qn * size + shift, qp * size + shift
        if out is None:
            return _masked(grad, x, low, high) if ends is None else _masked_by_one(grad, x, ends), None, *nothing
        if ends is None:
            grad_x, residual = _gradients(grad, x, out, low, high, step.shape)
        else:
            grad_x, residual = _gradients_of_one(grad, x, out, ends)
            if beta is None:
                return grad_x, _for_step(residual, step, offset, ends, ctx.num), *nothing
            size, residual = grid_size(step), residual.reshape(step.shape)
        factor = torch.rsqrt(ctx.num * top_of(qp, offset))
        along_offset = None
        if beta is not None:
            outside = (grad - grad_x).sum_to_size(beta.shape)
            along_offset = outside * factor
            residual = residual - beta * outside
        grad_step = residual / size * step.sign() * factor
        return grad_x, grad_step, None, None, None, along_offset, None, None


@np.errstate(all="ignore")
def _for_step(residual: Tensor, step: Tensor, offset: Tensor, ends: Ends, num: int) -> Tensor:
    """residual / size * sign(step) / sqrt(num * top), of one grid, in the arithmetic of its tensors. In place."""
    real = _real(step)
    top = max(real(ends.qp) + real(float(offset)), real(0.5))
    sign = float(np.sign(real(float(step))))
    residual.div_(ends.size).mul_(sign).mul_(float(real(1) / np.sqrt(real(num) * top)))
    return residual.reshape(step.shape)


class _LearnedClip(torch.autograd.Function):
    """Gradients of PACT: the clipping value learns from what is clipped at it."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        x, alpha, qn, qp, offset, rounding = args
        ctx.save_for_backward(x, alpha, qn, qp, offset)
        ends = Ends.of_clip(alpha, qn, qp, offset) if _is_one_grid(x, alpha, qn, qp) else None
        ctx.ends = ends
        if ends is None or isinstance(rounding, Tensor):
            size = clip_size(alpha, qp, offset)
            return to_grid(x, size, qn, qp, offset * size, rounding)
        return _onto(x, ends.size, ends.qn, ends.qp, ends.shift, rounding)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        x, alpha, qn, qp, offset = ctx.saved_tensors
        ratio = (qn + offset) / top_of(qp, offset)
        if ctx.ends is not None and _goes_in_blocks(grad):
            grad_x = _masked_by_one(grad, x, ctx.ends)
        else:
            high = alpha.abs().clamp_min(TINY_STEP)
            grad_x = _masked(grad, x, high * ratio, high)
        clipped = grad - grad_x
        # low <= 0 < high: what is clipped and positive is clipped above
        above = torch.ops.aten.threshold_backward(clipped, x, 0.0).sum_to_size(alpha.shape)
        below = clipped.sum_to_size(alpha.shape) - above
        return grad_x, (above + ratio * below) * alpha.sign(), None, None, None, None


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
        x: any shape.
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
        return to_grid(x, grid_size(step), qn, qp, _shift(step, offset, beta), rounding)
    return _learned_step(x, step, qn, qp, offset, beta, num, rounding)


def clip_quantize(
    x: Tensor, alpha: Tensor, qn: Tensor, qp: Tensor, offset: Tensor, *, rounding: str | Tensor = "nearest"
) -> Tensor:
    """Clip at alpha, then round to the grid whose highest value is alpha, with the gradients of PACT.

    dq/dx = 1 inside, 0 outside. dq/dalpha = 1 where x >= alpha, 0 below. Where the grid is signed its
    lowest value is proportional to alpha too, and contributes in that proportion where x is below it.

    Args:
        x: any shape.
        alpha: 0-dim, or of a shape that broadcasts to `x`; its sign is ignored.
        qn, qp, offset: as in `uniform_quantize`.
        rounding: `nearest`, `floor` or `stochastic`.

    Source: Choi et al., PACT, arXiv:1805.06085, 2018, equations 1 to 3.
    """
    if torch.compiler.is_exporting():
        size = clip_size(alpha, qp, offset)
        return to_grid(x, size, qn, qp, offset * size, rounding)
    return _learned_clip(x, alpha, qn, qp, offset, rounding)
