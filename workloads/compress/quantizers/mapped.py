"""Rounding with learned grids, also inside `torch.vmap`, where one call works for many candidates.

Inside, the functions of `quantizers/uniform.py` run on the tensors beneath: a candidate dim goes in front, and
every grid has its own place along it. Each candidate gets what it would get alone, gradients included: sums over a
grid are sums over its candidate's part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from workloads.compress.quantizers.base import wide
from workloads.compress.quantizers.blocks import Ends, is_mapped, put_on_grid
from workloads.compress.quantizers.uniform import clip_quantize, grid_size, top_of, uniform_quantize

#: Elements of a candidate from which its part is worked on by itself.
APART = 4096


def on_step(
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
    """`uniform_quantize`."""
    if is_mapped():
        out: Tensor = _step(wide(x), step, qn, qp, offset, beta, num, rounding)
        return out
    return uniform_quantize(x, step, qn, qp, offset, num, beta=beta, rounding=rounding)


def on_clip(
    x: Tensor, alpha: Tensor, qn: Tensor, qp: Tensor, offset: Tensor, *, rounding: str | Tensor = "nearest"
) -> Tensor:
    """`clip_quantize`."""
    if is_mapped():
        out: Tensor = _clip(wide(x), alpha, qn, qp, offset, rounding)
        return out
    return clip_quantize(x, alpha, qn, qp, offset, rounding=rounding)


class _Mapped(torch.autograd.Function):
    """What `vmap` meets in the place of a function with gradients of its own."""

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing: the function beneath keeps what it needs."""


class _Step(_Mapped):
    @staticmethod
    def forward(*args: Any) -> Tensor:
        x, step, qn, qp, offset, beta, num, rounding = args
        return uniform_quantize(x, step, qn, qp, offset, num, beta=beta, rounding=rounding)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> tuple[Tensor, int]:
        x, *vectors = _in_front(info.batch_size, in_dims, args[:6])
        step, qn, qp, offset, beta = vectors
        num, rounding = args[6:]
        if _goes_apart(x, vectors) and not isinstance(rounding, Tensor):
            out: Tensor = _steps_apart(x, step, qn, qp, offset, beta, num, rounding)
            return out, 0
        return uniform_quantize(x, step, qn, qp, offset, num, beta=beta, rounding=rounding), 0


class _Clip(_Mapped):
    @staticmethod
    def forward(*args: Any) -> Tensor:
        x, alpha, qn, qp, offset, rounding = args
        return clip_quantize(x, alpha, qn, qp, offset, rounding=rounding)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> tuple[Tensor, int]:
        x, alpha, qn, qp, offset = _in_front(info.batch_size, in_dims, args[:5])
        return clip_quantize(x, alpha, qn, qp, offset, rounding=args[5]), 0


def _goes_apart(x: Tensor, vectors: list[Tensor | None]) -> bool:
    """On the CPU, one grid for each candidate, whose part is large enough to be worked on by itself.

    Then it stays in the cache from operation to operation, and Python numbers hold the grid.
    """
    is_one = all(v is None or v.numel() == len(x) for v in vectors)
    return is_one and x.device.type == "cpu" and x[0].numel() >= APART and not torch.compiler.is_compiling()


class _StepsApart(torch.autograd.Function):
    """`uniform_quantize` of (K, ...), candidate by candidate."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        x, step, qn, qp, offset, beta, num, rounding = args
        ends, out = Ends.many_of_steps(step, qn, qp, offset, beta), _like(x)
        for own, result, grid in zip(x, out, ends, strict=True):
            put_on_grid(own, result, grid.size, grid.qn, grid.qp, grid.shift, rounding)
        learns = ctx.needs_input_grad[1] or ctx.needs_input_grad[5]
        ctx.save_for_backward(x, out if learns else None, step, qp, offset, beta)
        ctx.num, ctx.ends = num, ends
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        x, out, step, qp, offset, beta = ctx.saved_tensors
        grad_x = torch.empty_like(x) if out is None else _like(x)
        work = None if out is None else torch.empty(x.shape[1:], dtype=x.dtype)
        clip, sums = torch.ops.aten.hardtanh_backward.grad_input, []
        for index, (g, own, result, ends) in enumerate(zip(grad, x, grad_x, ctx.ends, strict=True)):
            clip(g, own, ends.low, ends.high, grad_input=result)
            if out is not None and work is not None:
                clip(own, own, ends.low, ends.high, grad_input=work)
                sums.append(torch.sub(out[index], work, out=work).mul_(g).sum())
        if out is None:
            return grad_x, *(None,) * 7
        residual, factor = torch.stack(sums).reshape(step.shape), torch.rsqrt(ctx.num * top_of(qp, offset))
        along_offset = None
        if beta is not None:
            outside = (grad - grad_x).sum_to_size(beta.shape)
            along_offset, residual = outside * factor, residual - beta * outside
        return grad_x, residual / grid_size(step) * step.sign() * factor, None, None, None, along_offset, None, None


_step: Callable[..., Tensor] = _Step.apply
_clip: Callable[..., Tensor] = _Clip.apply
_steps_apart: Callable[..., Tensor] = _StepsApart.apply


def _like(x: Tensor) -> Tensor:
    """Empty, of the layout of `x`; of what all candidates share, with them side by side in each sample."""
    if x.stride(0) == 0:
        return x.new_empty(x.shape[1], len(x), *x.shape[2:]).movedim(1, 0)
    return torch.empty_like(x)


def _in_front(count: int, in_dims: Any, tensors: Any) -> list[Any]:
    """The candidate dim first, (count, ...); in all but the first tensor, dims of 1 behind it, to broadcast.

    An input that all share, (B, ...), becomes (count, B, ...) with the candidates side by side in each sample: so
    grouped convolutions want it.
    """
    x, dim = tensors[0], in_dims[0]
    x = x[:, None].expand(-1, count, *x.shape[1:]).movedim(1, 0) if dim is None else x.movedim(dim, 0)
    moved: list[Any] = [x]
    for value, at in zip(tensors[1:], in_dims[1:], strict=False):
        if value is None:
            moved.append(None)
            continue
        each = value.expand(count, *value.shape) if at is None else value.movedim(at, 0)
        moved.append(each.reshape(count, *(1,) * (x.dim() - each.dim()), *each.shape[1:]))
    return moved
