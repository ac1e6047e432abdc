"""From a quantized model to the steps of an integer network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from workloads.compress.layers import QuantLayer
from workloads.integer.accumulate import sum_range
from workloads.integer.folding import norm_factors
from workloads.integer.grids import Grids, NoGridError, layer_grid
from workloads.integer.operands import weight_integers
from workloads.integer.requantize import Requantizer, requantizer
from workloads.integer.stages import Stage
from workloads.integer.steps import (
    AverageStep,
    ClampStep,
    CombineStep,
    ConcatStep,
    InputStep,
    IntGrid,
    LayerStep,
    MoveStep,
    Step,
    TableStep,
    window_sums,
)

REGISTER = 1 << 31  # accumulators and biases are 32-bit integers
_CONSTANT = 1 << 20  # bias of a channel whose weights vanish


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """How requantization multiplies and rounds; see `requantizer`."""

    multiplier: str
    rounding: str
    bits: int | None

    def requantizer(self, factors: Sequence[Tensor]) -> Requantizer:
        """For these factors."""
        return requantizer(factors, self.multiplier, self.rounding, self.bits)


@dataclass
class Builder:
    """Makes the steps of the stages in order; `grids_of` maps a finished step to its output's grid."""

    grids: Grids
    arithmetic: Arithmetic
    steps: list[Step] = field(default_factory=list)
    grids_of: dict[str, IntGrid] = field(default_factory=dict)
    output: str = ""

    def build(self, stages: Sequence[Stage]) -> list[Step]:
        """All steps.

        Raises:
            ConfigError: something has no integer arithmetic; the message starts with its name.
        """
        for stage in stages:
            if stage.op.kind == "output":
                self.output = stage.inputs[0]
                continue
            try:
                self._append(getattr(self, f"_{stage.op.kind}")(stage))
            except NoGridError:  # has named its layer
                raise
            except ConfigError as error:
                raise ConfigError(f"{stage.name!r}: {error}") from None
        return self.steps

    def _append(self, step: Step) -> str:
        self.steps.append(step)
        self.grids_of[step.name] = step.grid
        return step.name

    def _on_grid(self, source: str, grid: IntGrid) -> str:
        """The name of a tensor with the values of `source` on another grid."""
        own = self.grids_of[source]
        if _same(own, grid):
            return source
        name = f"{source}->{grid.bits}b/{grid.scale:.4g}"
        if name in self.grids_of:
            return name
        return self._append(self._combine(name, (source,), grid, (grid.qmin, grid.qmax)))

    def _combine(self, name: str, inputs: tuple[str, ...], grid: IntGrid, limits: tuple[int, int]) -> CombineStep:
        in_grids = tuple(self.grids_of[source] for source in inputs)
        factors = [_real(g.scale / grid.scale) for g in in_grids]
        return CombineStep(
            name=name, inputs=inputs, grid=grid, in_grids=in_grids, limits=limits,
            requant=self.arithmetic.requantizer(factors),
        )  # fmt: skip

    def _limits(self, stage: Stage, grid: IntGrid) -> tuple[int, int]:
        return grid.limits(stage.low, stage.high, self.arithmetic.rounding)

    # ---- one method per kind of operation ----------------------------------------------------------

    def _input(self, stage: Stage) -> Step:
        return InputStep(name=stage.name, inputs=(), grid=self.grids.of(stage))

    def _layer(self, stage: Stage) -> Step:
        layer = stage.op.module
        in_grid = layer_grid(stage.name, layer)
        assert isinstance(layer, QuantLayer)
        source = self._on_grid(stage.inputs[0], in_grid)
        operands = layer_operands(layer, in_grid, stage.norm)
        is_output = self.grids.is_output(stage) and stage.low is None and stage.high is None
        grid = IntGrid(scale=1.0, zero=0, qmin=-REGISTER, qmax=REGISTER - 1) if is_output else self.grids.of(stage)
        requant = None if is_output else self.arithmetic.requantizer([operands.scale / grid.scale])
        return LayerStep(
            name=stage.name, inputs=(source,), grid=grid, layer=layer, in_grid=in_grid, w_int=operands.w_int,
            bias=operands.bias, correction=-in_grid.zero * operands.w_int.to(torch.int64).flatten(1).sum(1),
            scale=operands.scale, requant=requant, limits=self._limits(stage, grid),
        )  # fmt: skip

    def _add(self, stage: Stage) -> Step:
        grid = self.grids.of(stage)
        return self._combine(stage.name, stage.inputs, grid, self._limits(stage, grid))

    def _avg_pool(self, stage: Stage) -> Step:
        options = stage.op.options
        kernel, stride, padding = options.get("kernel"), options.get("stride"), options.get("padding", (0, 0))
        if kernel is None:
            kernel = stride = _window(self.grids.seen[stage.inputs[0]].shape[-2:], options["size"])
        return self._average(stage, window_sums(kernel, stride, padding), kernel[0] * kernel[1])

    def _mean(self, stage: Stage) -> Step:
        dims, keepdim = stage.op.options["dims"], stage.op.options["keepdim"]
        shape = self.grids.seen[stage.inputs[0]].shape
        along = [dims] if isinstance(dims, int) else list(dims)
        count = 1
        for dim in along:
            count *= shape[dim]
        return self._average(stage, lambda x: x.sum(along, keepdim=keepdim), count)

    def _average(self, stage: Stage, sums: Any, count: int) -> Step:
        (source,) = stage.inputs
        in_grid, grid = self.grids_of[source], self.grids.of(stage)
        requant = self.arithmetic.requantizer([_real(in_grid.scale / (count * grid.scale))])
        return AverageStep(
            name=stage.name, inputs=(source,), grid=grid, in_grid=in_grid, sums=sums, count=count,
            requant=requant, limits=self._limits(stage, grid),
        )  # fmt: skip

    def _move(self, stage: Stage) -> Step:
        return MoveStep(
            name=stage.name, inputs=stage.inputs, grid=self.grids_of[stage.inputs[0]],
            apply=stage.op.options["apply"],
        )  # fmt: skip

    _max_pool = _move

    def _clamp(self, stage: Stage) -> Step:
        grid = self.grids_of[stage.inputs[0]]
        limits = grid.limits(stage.op.options["low"], stage.op.options["high"], self.arithmetic.rounding)
        return ClampStep(name=stage.name, inputs=stage.inputs, grid=grid, limits=limits)

    def _concat(self, stage: Stage) -> Step:
        grid = self.grids.of(stage)
        inputs = tuple(self._on_grid(source, grid) for source in stage.inputs)
        return ConcatStep(name=stage.name, inputs=inputs, grid=grid, dim=stage.op.options["dim"])

    def _table(self, stage: Stage) -> Step:
        grid, in_grid = self.grids.of(stage), self.grids_of[stage.inputs[0]]
        apply = stage.op.options["apply"]
        values = apply(in_grid.values(torch.arange(in_grid.qmin, in_grid.qmax + 1)))
        return TableStep(
            name=stage.name, inputs=stage.inputs, grid=grid, in_grid=in_grid, apply=apply, table=grid.codes(values)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Operands:
    """The integers of a layer and of the batch norm behind it; see `LayerStep`."""

    w_int: Tensor
    bias: Tensor
    scale: Tensor


@torch.no_grad()
def layer_operands(layer: QuantLayer, in_grid: IntGrid, norm: nn.Module | None) -> Operands:
    """Weights, bias in steps of S_w S_in, and the value of such a step.

    A batch norm y = factor * x + shift behind the layer becomes part of both: one accumulator unit of
    channel k is worth factor_k S_w S_in, and the bias is (b + shift / factor) / (S_w S_in). A channel with
    factor 0, or so small that its bias leaves 31 bits, is a constant: its weights become 0. What is lost is below
    |sum| / 2^30 of the constant.

    Raises:
        ConfigError: sums that do not fit 32 bits.
    """
    w_int, scale_w = (t.cpu() for t in weight_integers(layer))
    channels = w_int.shape[0]
    unit = (scale_w * in_grid.scale).expand(channels).clone()
    given = layer.effective_bias()
    offset = torch.zeros(channels, dtype=torch.float64) if given is None else given.detach().cpu().double()
    if norm is not None:
        factor, shift = (t.cpu() for t in norm_factors(norm))
        unit, offset = unit * factor, offset * factor + shift
    vanishes = (offset.abs() >= unit.abs() * (REGISTER >> 1)) & ((unit == 0) | (offset != 0))
    w_int = torch.where(vanishes.reshape(-1, *(1 for _ in w_int.shape[1:])), 0, w_int)
    unit = torch.where(vanishes, torch.where(offset == 0, 1.0, offset.abs() / _CONSTANT), unit)
    bias = torch.round(offset / unit).to(torch.int64)
    low, high = sum_range(w_int, min(in_grid.qmin - in_grid.zero, 0), max(in_grid.qmax - in_grid.zero, 0))
    largest = int(torch.maximum(high + bias, -(low + bias)).max())
    if largest >= REGISTER:
        raise ConfigError(
            f"sums may reach {largest:.3g}, beyond 32 bits. Use fewer bits: w_bits + a_bits + log2(products) <= 31."
        )
    return Operands(w_int=w_int, bias=bias, scale=unit)


def _window(size: tuple[int, ...], out: tuple[Any, Any]) -> tuple[int, int]:
    """The window of an adaptive average pool.

    Raises:
        ConfigError: windows of different sizes.
    """
    wanted = [have if want is None else int(want) for have, want in zip(size, out, strict=True)]
    if any(have % want for have, want in zip(size, wanted, strict=True)):
        raise ConfigError(f"an adaptive average pool needs equal windows, but {size} -> {tuple(wanted)} has none")
    return size[0] // wanted[0], size[1] // wanted[1]


def _same(a: IntGrid, b: IntGrid) -> bool:
    return (a.scale, a.zero, a.qmin, a.qmax) == (b.scale, b.zero, b.qmin, b.qmax)


def _real(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)
