"""What is done faster gives the same bits: grids in Python numbers, steps searched many at once, grids set once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.workloads.compress.compress_models import images, tiny_net
from workloads.compress import CompressionConfig, apply, calibrate, integer_range
from workloads.compress import ranges as ranges_module
from workloads.compress.quantizers.uniform import clip_quantize, uniform_quantize
from workloads.compress.ranges import mse_steps


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def everything(x: Tensor, bits: int, signed: bool, step: float, beta: float | None, grad: Tensor) -> list[Tensor]:
    """Outputs and gradients for x of both functions; their gradients for the grids, which are sums."""
    grids = [torch.tensor(value) for value in integer_range(bits, signed)]
    size, shift = torch.tensor(step, requires_grad=True), None
    if beta is not None:
        shift = torch.tensor(beta, requires_grad=True)
    reach = torch.tensor(9 * step, requires_grad=True)
    first, second = x.clone().requires_grad_(), x.clone().requires_grad_()
    one = uniform_quantize(first, size, *grids, 17, beta=shift)
    two = clip_quantize(second, reach, *grids)
    torch.autograd.backward([one, two], [grad, grad])
    sums = [size.grad, reach.grad, None if shift is None else shift.grad]
    return [one, two, first.grad, second.grad, *(value for value in sums if value is not None)]


@pytest.mark.parametrize("beta", [None, -0.3])
@pytest.mark.parametrize("step", [0.1, -0.07])
@pytest.mark.parametrize(("bits", "signed"), [(1, True), (4, True), (4, False), (0, False)])
def test_numbers_for_a_grid_are_those_of_its_tensors(
    bits: int, signed: bool, step: float, beta: float | None
) -> None:
    """A transposed input does not go in blocks, so its grid stays in tensors."""
    x, grad = normal(40, 30), normal(40, 30, seed=1)
    numbers = everything(x, bits, signed, step, beta, grad)
    tensors = everything(x.T.contiguous().T, bits, signed, step, beta, grad)
    for mine, theirs in zip(numbers[:4], tensors[:4], strict=True):
        assert torch.equal(mine, theirs)
    for mine, theirs in zip(numbers[4:], tensors[4:], strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(("rows", "count"), [(1, 500), (16, 30)])
def test_steps_searched_at_once_are_those_searched_one_by_one(
    monkeypatch: pytest.MonkeyPatch, rows: int, count: int, gaps: bool
) -> None:
    values = normal(rows, count)
    if gaps:
        values[normal(rows, count, seed=1) > 0.5] = torch.nan
    at_once = mse_steps(values, *integer_range(3, True))
    monkeypatch.setattr(ranges_module, "SEARCH_BLOCK", 1)
    assert torch.equal(mse_steps(values, *integer_range(3, True)), at_once)


def test_weight_grids_may_stay_where_apply_has_set_them() -> None:
    config = CompressionConfig.from_bits({"conv1": 3, "fc": 2}, a_bits=4, density=0.5)
    fresh, kept, moved = (apply(tiny_net(), config) for _ in range(3))
    calibrate(fresh, images())
    calibrate(kept, images(), weights=False)
    for mine, theirs in zip(kept.state_dict().values(), fresh.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    step = moved.get_parameter("fc.weight_quantizer.step").detach()
    with torch.no_grad():
        step.fill_(0.5)
    calibrate(moved, images(), weights=False)
    assert float(step) == 0.5
    calibrate(moved, images())
    assert float(step) == float(fresh.get_parameter("fc.weight_quantizer.step").detach())
