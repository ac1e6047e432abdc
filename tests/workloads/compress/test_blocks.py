"""The blocks of a quantizer follow the memory, and compute 16 bits in 32: results are those of plain tensors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from workloads.compress.quantizers import ActivationQuantizer, blocks
from workloads.compress.quantizers.blocks import is_one_grid
from workloads.compress.quantizers.uniform import uniform_quantize

KINDS = ("lsq", "lsq+", "pact", "minmax", "symmetric")
SHAPE = (6, 8, 5, 4)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 100)  # ten of them, the last one shorter


def values() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(SHAPE, generator=generator), torch.randn(SHAPE, generator=generator)


def quantizer(kind: str, bits: int = 4) -> ActivationQuantizer:
    made = ActivationQuantizer(bits, kind)
    made(0.7 * values()[0])  # some values are clipped
    return made.train()


def run(made: ActivationQuantizer, x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """(output, gradient of the input, gradients of the parameters)."""
    x = x.detach().requires_grad_()
    out = made(x)
    asked = [x, *made.parameters()]
    found = torch.autograd.grad(out, asked, grad.to(out.dtype))
    return out, found[0], list(found[1:])


@pytest.mark.parametrize("order", ["both", "input", "gradient"])
@pytest.mark.parametrize("kind", KINDS)
def test_channels_side_by_side_change_the_order_alone(kind: str, order: str) -> None:
    made, (x, grad) = quantizer(kind), values()
    plain = run(made, x, grad)
    last = [t.contiguous(memory_format=torch.channels_last) for t in (x, grad)]
    here = run(made, x if order == "gradient" else last[0], grad if order == "input" else last[1])
    assert torch.equal(here[0], plain[0]) and torch.equal(here[1], plain[1])
    assert here[0].stride() == (x if order == "gradient" else last[0]).stride()
    for ours, theirs in zip(here[2], plain[2], strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_16_bits_are_those_of_32_rounded(kind: str, bits: int, memory_format: torch.memory_format) -> None:
    """As if the input had been widened and the output narrowed: steps learn from what was not rounded."""
    made = quantizer(kind, bits)
    x, grad = (t.bfloat16().contiguous(memory_format=memory_format) for t in values())
    wide, half = run(made, x.float(), grad), run(made, x, grad)
    assert half[0].dtype == half[1].dtype == torch.bfloat16
    assert torch.equal(half[0], wide[0].bfloat16()) and torch.equal(half[1], wide[1].bfloat16())
    for ours, theirs in zip(half[2], wide[2], strict=True):
        assert torch.equal(ours, theirs)


def test_a_grid_that_is_not_learned_masks_16_bits_alike() -> None:
    made = quantizer("lsq")
    made.step.requires_grad_(False)
    x, grad = (t.bfloat16() for t in values())
    x.requires_grad_()
    found = torch.autograd.grad(made(x), x, grad)[0]
    low, high = 0.0 if float(made.qn) == 0 else float(made.qn * made.step), float(made.qp * made.step)
    inside = (x.float() > low) & (x.float() < high)
    assert torch.equal(found, torch.where(inside, grad, 0)) and not bool(inside.all())


def test_stochastic_rounding_and_many_grids_widen_16_bits() -> None:
    x = values()[0].bfloat16()
    ends = torch.tensor(0.25), torch.tensor(-8.0), torch.tensor(7.0), torch.tensor(0.0)
    torch.manual_seed(0)
    ours = uniform_quantize(x, *ends, 8, rounding="stochastic")
    torch.manual_seed(0)
    assert torch.equal(ours, uniform_quantize(x.float(), *ends, 8, rounding="stochastic"))
    each = torch.full((1, 8, 1, 1), 0.25)
    assert torch.equal(uniform_quantize(x, each, *ends[1:], 8), uniform_quantize(x.float(), *ends, 8))


def test_what_goes_in_blocks() -> None:
    x = values()[0]
    last = x.contiguous(memory_format=torch.channels_last)
    assert is_one_grid(x) and is_one_grid(last) and is_one_grid(x.bfloat16()) and is_one_grid(last.double())
    assert not is_one_grid(x.transpose(0, 1)) and not is_one_grid(x, torch.ones(8))
    assert is_one_grid(nn.Conv2d(8, 4, 3)(last)), "what a convolution gives for it"
