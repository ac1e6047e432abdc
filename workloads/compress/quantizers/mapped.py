"""Rounding with learned grids, also inside `torch.vmap`, where one call works for many candidates.

Python numbers cannot stand for many grids, so inside the functions of `workloads.compress.uniform` run on the tensors
beneath: a candidate dim goes in front, and every grid has its own place along it. Each candidate gets what it would
get alone, gradients included: sums over a grid are sums over its candidate's part.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workloads.compress.uniform import clip_quantize, is_mapped, uniform_quantize


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
        out: Tensor = _Step.apply(x, step, qn, qp, offset, beta, num, rounding)
        return out
    return uniform_quantize(x, step, qn, qp, offset, num, beta=beta, rounding=rounding)


def on_clip(
    x: Tensor, alpha: Tensor, qn: Tensor, qp: Tensor, offset: Tensor, *, rounding: str | Tensor = "nearest"
) -> Tensor:
    """`clip_quantize`."""
    if is_mapped():
        out: Tensor = _Clip.apply(x, alpha, qn, qp, offset, rounding)
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


def _in_front(count: int, in_dims: Any, tensors: Any) -> list[Any]:
    """The candidate dim first, (count, ...); of all but the first tensor with dims of 1 behind it to broadcast to it.

    An input that all share, (B, ...), becomes (count, B, ...) with the candidates side by side in each sample, which
    is how grouped convolutions want it.
    """
    x, dim = tensors[0], in_dims[0]
    x = x[:, None].expand(-1, count, *x.shape[1:]).movedim(1, 0) if dim is None else x.movedim(dim, 0)
    moved: list[Any] = [x]
    for value, at in zip(tensors[1:], in_dims[1:], strict=False):
        if value is None:
            moved.append(None)
            continue
        value = value.expand(count, *value.shape) if at is None else value.movedim(at, 0)
        moved.append(value.reshape(count, *(1,) * (x.dim() - value.dim()), *value.shape[1:]))
    return moved
