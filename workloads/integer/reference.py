"""The same network in floating point: a fake-quantized forward in float64, to compare the integers with.

Values, not codes, flow from step to step; convolutions run on dequantized operands and batch norms multiply
afterwards, as in a quantized model. Only the places of rounding are the integer network's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from workloads.integer.exact import pad
from workloads.integer.network import IntegerNetwork
from workloads.integer.requantize import Requantizer, round_float
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
)


@torch.no_grad()
def fake_quantized(network: IntegerNetwork, x: Tensor) -> dict[str, Tensor]:
    """Every tensor's values by name of its step, float64.

    With real multipliers they are the values of `network.codes(x)` unless a value lies within float64's rounding
    of the middle between two codes. With `fixed` and `reciprocal` the multiplier of hardware is used, and the
    equality is exact while |accumulator| * m stays below 2^53.

    Args:
        network: of `integerize`; narrow registers are left out.
        x: (N, ...).
    """
    values: dict[str, Tensor] = {}
    for step in network.steps:
        inputs = [values[source] for source in step.inputs] or [x]
        values[step.name] = _RULES[type(step)](step, inputs)
    return values


def _factor(requant: Requantizer, term: int) -> Tensor:
    """What one input is multiplied by: the real factor, or the integer and shift, which float64 holds exactly."""
    if requant.mantissas is None or requant.shift is None:
        return requant.factors[term]
    return requant.mantissas[term].double() * torch.pow(torch.tensor(2.0).double(), -requant.shift)


def _whole(value: Tensor, grid: IntGrid) -> Tensor:
    """Values in steps of their grid; whole, as they lie on it (a quotient in float64 may miss by its last bit)."""
    return torch.round(value / grid.scale)


def _snap(grid: IntGrid, steps: Tensor, rounding: str, limits: tuple[int, int]) -> Tensor:
    """Values given in steps of a grid -> the nearest values that remain."""
    low, high = limits[0] - grid.zero, limits[1] - grid.zero
    return round_float(steps, rounding).clamp(low, high).double() * grid.scale


def _input(step: InputStep, inputs: Sequence[Tensor]) -> Tensor:
    return step.grid.values(step.grid.codes(inputs[0]))


def _layer(step: LayerStep, inputs: Sequence[Tensor]) -> Tensor:
    """Weights in units of their scale, inputs in units of S_in; the factors hold both scales and the batch norm."""
    x = _whole(inputs[0], step.in_grid)
    layer: Any = step.layer
    if isinstance(layer, nn.Linear):
        sums = functional.linear(x, step.w_int.double(), step.bias.double())
    else:
        convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[step.w_int.dim() - 3]
        sums = convolve(
            pad(layer, x), step.w_int.double(), step.bias.double(), layer.stride, 0, layer.dilation, layer.groups
        )
    shape = [-1 if dim == step.axis % sums.dim() else 1 for dim in range(sums.dim())]
    if step.requant is None:
        return sums * step.scale.reshape(shape)
    factor = _factor(step.requant, 0)
    return _snap(step.grid, sums * factor.reshape(shape), step.requant.rounding, step.limits)


def _combine(step: CombineStep, inputs: Sequence[Tensor]) -> Tensor:
    total = torch.zeros_like(inputs[0])
    for term, (value, grid) in enumerate(zip(inputs, step.in_grids, strict=True)):
        total = total + _whole(value, grid) * _factor(step.requant, term)
    return _snap(step.grid, total, step.requant.rounding, step.limits)


def _average(step: AverageStep, inputs: Sequence[Tensor]) -> Tensor:
    sums = step.sums(_whole(inputs[0], step.in_grid))
    return _snap(step.grid, sums * _factor(step.requant, 0), step.requant.rounding, step.limits)


def _move(step: MoveStep, inputs: Sequence[Tensor]) -> Tensor:
    return step.apply(inputs[0])


def _clamp(step: ClampStep, inputs: Sequence[Tensor]) -> Tensor:
    low, high = (step.grid.scale * (limit - step.grid.zero) for limit in step.limits)
    return inputs[0].clamp(low, high)


def _concat(step: ConcatStep, inputs: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(inputs), dim=step.dim)


def _table(step: TableStep, inputs: Sequence[Tensor]) -> Tensor:
    return step.grid.values(step.grid.codes(step.apply(inputs[0])))


_RULES: dict[type[Step], Callable[[Any, Sequence[Tensor]], Tensor]] = {
    InputStep: _input,
    LayerStep: _layer,
    CombineStep: _combine,
    AverageStep: _average,
    MoveStep: _move,
    ClampStep: _clamp,
    ConcatStep: _concat,
    TableStep: _table,
}
