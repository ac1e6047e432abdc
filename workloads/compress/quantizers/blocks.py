"""One grid for a whole tensor, block by block: how a quantizer of activations runs on the CPU.

Every pass over a tensor that leaves the cache costs more than its arithmetic, and every operation on a 0-dim tensor
as much as one on a thousand values. So the grid is Python numbers, and all passes work on a block before the next
one. Blocks follow the memory: images whose channels lie side by side are as good as any. Tensors of 16 bits are
computed in 32, block by block too, and only 16 bits of each value come from memory and go there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from workloads.compress.grid import TINY_STEP, round_in_place
from workloads.compress.quantizers.base import HALF

BLOCK = 1 << 17  # elements, half a MiB of float32: an intermediate result stays in the cache of a core
_FULL = (torch.float32, torch.float64)


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


def is_one_grid(x: Tensor, *vectors: Tensor | None) -> bool:
    """One grid for a tensor that goes in blocks: dense on the CPU, and run as written.

    Python numbers cost no synchronisation there.
    """
    as_written = not torch.compiler.is_compiling() and not is_mapped()
    return (
        as_written
        and all(v is None or v.numel() == 1 for v in vectors)
        and x.device.type == "cpu"
        and x.dtype in (*_FULL, *HALF)
        and (x.is_contiguous() or _is_last(x))
    )


def _is_last(x: Tensor) -> bool:
    """The channels of a pixel lie side by side."""
    return x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def laid_out_as(grad: Tensor, x: Tensor) -> Tensor:
    """A gradient in the memory order of its tensor."""
    same = grad.is_contiguous() if x.is_contiguous() else _is_last(grad)
    return grad if same else torch.empty_like(x).copy_(grad)


def _in_blocks(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Flat parts of tensors of one memory order, that stay in the cache."""
    flat = tuple((t.permute(0, 2, 3, 1) if _is_last(t) else t).view(-1) for t in tensors)
    return (flat,) if flat[0].numel() <= BLOCK else zip(*(torch.split(t, BLOCK) for t in flat), strict=True)


class _Work:
    """Room for a block of each of several intermediate results, in at least 32 bits."""

    def __init__(self, count: int, x: Tensor) -> None:
        dtype = torch.float32 if x.dtype in HALF else x.dtype
        self._rooms = [torch.empty(min(BLOCK, x.numel()), dtype=dtype) for _ in range(count)]

    def of(self, part: Tensor) -> list[Tensor]:
        """As long as a block."""
        count = part.numel()
        return self._rooms if self._rooms[0].numel() == count else [room[:count] for room in self._rooms]


def onto(x: Tensor, size: float, qn: float, qp: float, shift: float, rounding: str) -> Tensor:
    """size * round(clamp((x - shift)/size, qn, qp)) + shift; of the type and memory order of `x`."""
    out = torch.empty_like(x)
    if x.dtype not in HALF:
        for part, result in _in_blocks(x, out):
            put_on_grid(part, result, size, qn, qp, shift, rounding)
        return out
    work = _Work(1, x)
    for part, result in _in_blocks(x, out):
        (wide,) = work.of(part)
        put_on_grid(wide.copy_(part), wide, size, qn, qp, shift, rounding)
        result.copy_(wide)
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


def gradients_of_one(
    grad: Tensor, x: Tensor, out: Tensor | None, ends: Ends, rounding: str
) -> tuple[Tensor, Tensor]:
    """(grad inside, sum of grad * (out - x) inside and grad * out outside); inside is low < x < high.

    Args:
        grad, x: of one memory order.
        out: `onto` of `x`; in 16 bits it would have lost too much, and is computed again.
        ends, rounding: of the grid.

    Returns:
        Of the type of `x`; 0-dim, in at least 32 bits.
    """
    if x.dtype in HALF:
        return _gradients_of_half(grad, x, ends, rounding)
    assert out is not None
    grad_x, work, residuals = torch.empty_like(x), _Work(1, x), []
    clip = torch.ops.aten.hardtanh_backward.grad_input
    for g, part, value, result in _in_blocks(grad, x, out, grad_x):
        (inside,) = work.of(part)
        clip(g, part, ends.low, ends.high, grad_input=result)
        clip(part, part, ends.low, ends.high, grad_input=inside)
        residuals.append(torch.dot(torch.sub(value, inside, out=inside), g))
    return grad_x, _total(residuals)


def _gradients_of_half(grad: Tensor, x: Tensor, ends: Ends, rounding: str) -> tuple[Tensor, Tensor]:
    grad_x, work, residuals = torch.empty_like(x), _Work(4, x), []
    clip = torch.ops.aten.hardtanh_backward.grad_input
    for g, part, result in _in_blocks(grad, x, grad_x):
        wide_g, wide_x, inside, value = work.of(part)
        wide_g.copy_(g)
        put_on_grid(wide_x.copy_(part), value, ends.size, ends.qn, ends.qp, ends.shift, rounding)
        clip(wide_x, wide_x, ends.low, ends.high, grad_input=inside)
        residuals.append(torch.dot(value.sub_(inside), wide_g))
        result.copy_(clip(wide_g, wide_x, ends.low, ends.high, grad_input=inside))
    return grad_x, _total(residuals)


def _total(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum()


def masked_by_one(grad: Tensor, x: Tensor, ends: Ends) -> Tensor:
    """grad where low < x < high, 0 elsewhere; both of one memory order."""
    if x.dtype not in HALF:
        result: Tensor = torch.ops.aten.hardtanh_backward(grad, x, ends.low, ends.high)
        return result
    grad_x, work = torch.empty_like(x), _Work(2, x)
    clip = torch.ops.aten.hardtanh_backward.grad_input
    for g, part, result in _in_blocks(grad, x, grad_x):
        wide_g, wide_x = work.of(part)
        clip(wide_g.copy_(g), wide_x.copy_(part), ends.low, ends.high, grad_input=wide_g)
        result.copy_(wide_g)
    return grad_x


@np.errstate(all="ignore")
def for_step(residual: Tensor, step: Tensor, offset: Tensor, ends: Ends, num: int) -> Tensor:
    """residual / size * sign(step) / sqrt(num * top), of one grid, in the arithmetic of its tensors. In place."""
    real = _real(step)
    top = max(real(ends.qp) + real(float(offset)), real(0.5))
    sign = float(np.sign(real(float(step))))
    residual.div_(ends.size).mul_(sign).mul_(float(real(1) / np.sqrt(real(num) * top)))
    return residual.reshape(step.shape)
