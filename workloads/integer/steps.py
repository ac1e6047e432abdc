"""The steps of an integer network: integers in, integers out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from workloads.compress.grid import round_in_place
from workloads.compress.layers import QuantLayer
from workloads.integer.accumulate import Accumulator, accumulate, wrap
from workloads.integer.exact import columns, dot, uncolumns
from workloads.integer.requantize import Requantizer, round_float

_TYPES = ((torch.uint8, 0, 255), (torch.int8, -128, 127), (torch.int16, -(1 << 15), (1 << 15) - 1))


@dataclass(frozen=True, kw_only=True)
class IntGrid:
    """The codes of a tensor: value = scale * (code - zero), qmin <= code <= qmax."""

    scale: float
    zero: int
    qmin: int
    qmax: int
    rounding: str = "nearest"

    @property
    def bits(self) -> int:
        """Of a code [bit]."""
        return max(1, (self.qmax - self.qmin).bit_length())

    @property
    def dtype(self) -> torch.dtype:
        """The smallest integer type that holds the codes."""
        return next((t for t, low, high in _TYPES if low <= self.qmin and self.qmax <= high), torch.int32)

    def codes(self, x: Tensor) -> Tensor:
        """Codes of floating-point values, computed as the quantizers do in the precision of `x`."""
        v = (x / torch.tensor(self.scale, dtype=x.dtype)).clamp_(self.qmin - self.zero, self.qmax - self.zero)
        return (round_in_place(v, self.rounding) + self.zero).to(self.dtype)

    def values(self, codes: Tensor) -> Tensor:
        """float64."""
        return (codes.to(torch.int64) - self.zero).double() * self.scale

    def centred(self, codes: Tensor) -> Tensor:
        """Codes minus the zero point, int64."""
        return codes.to(torch.int64) - self.zero

    def store(self, rounded: Tensor, low: int, high: int) -> Tensor:
        """Rounded value / scale -> codes within low..high."""
        return (rounded + self.zero).clamp_(low, high).to(self.dtype)

    def limits(self, low: float | None, high: float | None, rounding: str) -> tuple[int, int]:
        """The codes that remain of qmin..qmax after a clamp of the values to low..high (None: no limit)."""
        ends = (
            (self.qmin if low is None else self._code(low, rounding)),
            (self.qmax if high is None else self._code(high, rounding)),
        )
        return max(ends[0], self.qmin), min(ends[1], self.qmax)

    def _code(self, value: float, rounding: str) -> int:
        return int(round_float(torch.tensor(value, dtype=torch.float64) / self.scale, rounding)) + self.zero


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One operation of the network.

    Attributes:
        name: unique.
        inputs: names of the steps whose outputs it reads.
        grid: of its output.
    """

    name: str
    inputs: tuple[str, ...]
    grid: IntGrid

    def run(self, tensors: Sequence[Tensor]) -> Tensor:
        """Codes of the inputs -> codes of the output, on `grid` and of its type."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, eq=False)
class InputStep(Step):
    """The only step that reads floating point."""

    def run(self, tensors: Sequence[Tensor]) -> Tensor:
        return self.grid.codes(tensors[0].detach().cpu())


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerStep(Step):
    """A convolution or linear layer: accumulator = x conv w + bias + correction, then requantized.

    Attributes:
        layer: gives the geometry.
        in_grid: of the input.
        w_int: int32, the weight's integers, zero point subtracted.
        bias: int64 (K,), the bias in steps of `scale`; the shift of a batch norm behind included.
        correction: int64 (K,), -zero * (sum of the filter): what the codes' zero point adds to every sum. Padding
            adds the zero point, so that this holds at the borders too.
        scale: float64 (K,), the value of one unit of the accumulator; a batch norm's factor included.
        requant: None where the accumulator itself is the output.
        limits: lowest and highest code, a ReLU or ReLU6 behind included.
        register: what holds the partial sums; None is wide enough.
    """

    layer: QuantLayer
    in_grid: IntGrid
    w_int: Tensor
    bias: Tensor
    correction: Tensor
    scale: Tensor
    requant: Requantizer | None
    limits: tuple[int, int]
    register: Accumulator | None = None

    @property
    def axis(self) -> int:
        """The channel dim of the output."""
        return -1 if self.w_int.dim() == 2 else 1

    def psums(self, codes: Tensor) -> Tensor:
        """x_int conv w_int without bias, exactly. int64."""
        return dot(self.layer, self.in_grid.centred(codes), self.w_int)

    def accumulators(self, codes: Tensor) -> Tensor:
        """With bias, through `register` where there is one. int64; they fit 32 bits."""
        if self.register is None:
            sums = dot(self.layer, codes, self.w_int, fill=self.in_grid.zero)
            return sums + self._along(self.bias + self.correction, sums)
        if self.register.overflow == "wrap":
            sums = wrap(self.psums(codes), self.register.bits)
        else:
            x = self.in_grid.centred(codes)
            sums = uncolumns(self.layer, x, accumulate(*columns(self.layer, x, self.w_int), self.register))
        return sums + self._along(self.bias, sums)

    def run(self, tensors: Sequence[Tensor]) -> Tensor:
        sums = self.accumulators(tensors[0])
        if self.requant is None:
            return sums.to(torch.int32)
        return self.grid.store(self.requant([sums], self.axis), *self.limits)

    def _along(self, vector: Tensor, like: Tensor) -> Tensor:
        return vector.reshape([-1 if dim == self.axis % like.dim() else 1 for dim in range(like.dim())])


@dataclass(frozen=True, kw_only=True, eq=False)
class CombineStep(Step):
    """A sum of tensors on the output's grid: a residual add, or of one tensor a change of grid.

    Attributes:
        in_grids: of the inputs.
        requant: with one factor for each input.
        limits: lowest and highest code.
    """

    in_grids: tuple[IntGrid, ...]
    requant: Requantizer
    limits: tuple[int, int]

    def run(self, tensors: Sequence[Tensor]) -> Tensor:
        centred = [grid.centred(codes) for grid, codes in zip(self.in_grids, tensors, strict=True)]
        return self.grid.store(self.requant(centred), *self.limits)


@dataclass(frozen=True, kw_only=True, eq=False)
class AverageStep(Step):
    """Sums over windows, requantized; the division is part of the multiplier.

    Attributes:
        in_grid: of the input.
        sums: float64 tensor -> its window sums.
        count: elements in a window.
        requant, limits: of `CombineStep`.
    """

    in_grid: IntGrid
    sums: Callable[[Tensor], Tensor]
    count: int
    requant: Requantizer
    limits: tuple[int, int]

    def run(self, tensors: Sequence[Tensor]) -> Tensor:
        sums = self.sums(self.in_grid.centred(tensors[0]).double()).to(torch.int64)
        return self.grid.store(self.requant([sums]), *self.limits)


@dataclass(frozen=True, kw_only=True, eq=False)
class MoveStep(Step):
    """Moves or selects values, never makes new ones but 0: max pool, flatten, slice, zero padding.

    Attributes:
        apply: a function of a tensor.
    """

    apply: Callable[[Tensor], Tensor]

    def run(self, tensors: Sequence[Tensor]) -> Tensor:
        moved = self.apply(self.grid.centred(tensors[0]).double())
        return (moved.to(torch.int64) + self.grid.zero).to(self.grid.dtype)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClampStep(Step):
    """ReLU or ReLU6 where it could not be taken into the step before.

    Attributes:
        limits: lowest and highest code.
    """

    limits: tuple[int, int]

    def run(self, tensors: Sequence[Tensor]) -> Tensor:
        return tensors[0].clamp(*self.limits)


@dataclass(frozen=True, kw_only=True, eq=False)
class ConcatStep(Step):
    """Inputs on one grid, side by side.

    Attributes:
        dim: along which.
    """

    dim: int

    def run(self, tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(tensors), dim=self.dim)


@dataclass(frozen=True, kw_only=True, eq=False)
class TableStep(Step):
    """An activation function by a table of one entry per code.

    Attributes:
        in_grid: of the input.
        apply: the function, on float64.
        table: output codes of qmin..qmax.
    """

    in_grid: IntGrid
    apply: Callable[[Tensor], Tensor]
    table: Tensor

    def run(self, tensors: Sequence[Tensor]) -> Tensor:
        return self.table[tensors[0].to(torch.int64) - self.in_grid.qmin]


def window_sums(kernel: Any, stride: Any, padding: Any) -> Callable[[Tensor], Tensor]:
    """Sums over 2-D windows of a float64 tensor."""

    def sums(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, kernel, stride, padding, divisor_override=1)

    return sums
