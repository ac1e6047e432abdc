from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.compress import (
    ActivationQuantizer,
    LSQWeight,
    MinMaxWeight,
    integer_range,
    minmax_affine,
)
from workloads.compress.quantizers.uniform import uniform_quantize
from workloads.compress.ranges import mse_step


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def numpy_ladder(w: np.ndarray, bits: int) -> np.ndarray:
    """The formula of the issue in double precision."""
    w = w.astype(np.float64)
    beta = w.min()
    alpha = w.max() - beta
    return alpha * np.round((2**bits - 1) * (w - beta) / alpha) / (2**bits - 1) + beta


# ---- the PTQ ladder ------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", range(1, 9))
def test_ladder_is_the_closed_form(bits: int) -> None:
    w = normal(4, 3, 3, 3, seed=bits)
    out = minmax_affine(w, bits)
    np.testing.assert_allclose(out.numpy(), numpy_ladder(w.numpy(), bits), rtol=0, atol=1e-6)
    assert torch.equal(MinMaxWeight(bits)(w), out)


def test_ladder_by_hand() -> None:
    w = torch.tensor([-1.0, -0.4, 0.1, 2.0])  # alpha 3, beta -1; two bits: levels -1, 0, 1, 2
    assert minmax_affine(w, 2).tolist() == [-1.0, 0.0, 0.0, 2.0]
    assert minmax_affine(w, 1).tolist() == [-1.0, -1.0, -1.0, 2.0]


def test_ends_of_the_ladder() -> None:
    w = normal(5, 5)
    assert minmax_affine(w, None) is w
    assert torch.equal(minmax_affine(w, 0), torch.zeros_like(w))
    with pytest.raises(ConfigError, match="got bits=-1"):
        minmax_affine(w, -1)


@settings(max_examples=40, deadline=None)
@given(bits=st.integers(1, 8), seed=st.integers(0, 99), scale=st.sampled_from([1e-4, 1.0, 1e4]))
def test_ladder_has_at_most_two_to_the_b_levels_and_stays_within_half_a_step(
    bits: int, seed: int, scale: float
) -> None:
    w = scale * normal(300, seed=seed)
    out = minmax_affine(w, bits)
    assert len(out.unique()) <= 2**bits
    step = (w.max() - w.min()) / (2**bits - 1)
    assert float((out - w).abs().max()) <= float(step) / 2 * (1 + 1e-4)
    assert out.min() == w.min()


@pytest.mark.parametrize("bits", [None, 0, 1, 2, 8, 16])
def test_gradient_passes_straight_through(bits: int | None) -> None:
    w = normal(3, 4).requires_grad_()
    upstream = normal(3, 4, seed=1)
    (minmax_affine(w, bits) * upstream).sum().backward()
    assert torch.equal(w.grad, upstream)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_constant_tensors_keep_their_value(bits: int) -> None:
    for value in (0.0, -0.3, 7.0):
        w = torch.full((2, 3), value)
        assert torch.equal(minmax_affine(w, bits), w)


def test_one_range_per_channel() -> None:
    w = normal(3, 2, 3, 3) * torch.tensor([0.01, 1.0, 100.0])[:, None, None, None]
    rows = torch.stack([minmax_affine(row, 3) for row in w])
    assert torch.equal(minmax_affine(w, 3, axis=0), rows)
    assert torch.equal(minmax_affine(w.movedim(0, -1), 3, axis=-1), rows.movedim(0, -1))


# ---- LSQ: equations 1 to 5 of the paper ----------------------------------------------------------


def paper_quantize(v: float, step: float, qn: float, qp: float) -> float:
    """Equations 1 and 2; qn is the lowest code (the paper's -Q_N)."""
    return step * float(np.round(np.clip(v / step, qn, qp)))


def paper_step_gradient(v: float, step: float, qn: float, qp: float) -> float:
    """Equation 3."""
    ratio = v / step
    if ratio <= qn:
        return qn
    return qp if ratio >= qp else float(np.round(ratio)) - ratio


def grid(bits: int, signed: bool) -> tuple[Tensor, Tensor, Tensor]:
    qn, qp, offset = (torch.tensor(value) for value in integer_range(bits, signed))
    return qn, qp, offset


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 8])
def test_lsq_forward_and_gradients_are_the_papers(bits: int, signed: bool) -> None:
    values, size = 3 * normal(200).double(), 0.37
    x = values.clone().requires_grad_()
    step = torch.tensor(size, dtype=torch.float64, requires_grad=True)
    qn, qp, offset = grid(bits, signed)
    upstream = normal(200, seed=5).double()
    out = uniform_quantize(x, step, qn, qp, offset, num=200)
    (out * upstream).sum().backward()
    low, high = float(qn), float(qp)
    assert (low, high) == ((-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1))
    np.testing.assert_allclose(
        out.detach(), [paper_quantize(v, size, low, high) for v in values.tolist()], rtol=1e-12
    )
    pairs = zip(upstream.tolist(), values.tolist(), strict=True)
    by_hand = sum(u * paper_step_gradient(v, size, low, high) for u, v in pairs)
    assert float(step.grad) == pytest.approx(by_hand / (200 * high) ** 0.5, rel=1e-6)
    passes = (values / size > low) & (values / size < high)
    assert torch.equal(x.grad, upstream * passes)


def test_boundary_codes_count_as_clipped() -> None:
    x = torch.tensor([-2.0, -1.0, 1.0, 3.0], requires_grad=True)  # two signed bits at step 1: codes -2..1
    step = torch.tensor(1.0, requires_grad=True)
    uniform_quantize(x, step, *grid(2, True), num=1).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0, 0.0]
    assert float(step.grad) == -2 + 0 + 1 + 1


def test_one_bit_weights_are_a_sign_times_a_magnitude() -> None:
    w = normal(64)
    quantizer = LSQWeight(1)
    quantizer.initialise(w, None)
    out = quantizer(w)
    half = quantizer.step.item() / 2
    assert torch.equal(out, torch.where(w > 0, half, -half))
    assert half == pytest.approx(float(w.abs().mean()), rel=0.05), "the best magnitude is mean |w|"


def test_the_step_may_change_sign_without_effect() -> None:
    x = normal(50)
    grids = grid(4, True)
    plus, minus = (torch.tensor(s, requires_grad=True) for s in (0.2, -0.2))
    a, b = (uniform_quantize(x, s, *grids, num=50) for s in (plus, minus))
    assert torch.equal(a, b)
    a.square().sum().backward()
    b.square().sum().backward()
    assert float(plus.grad) == -float(minus.grad) != 0


def test_a_step_per_channel_gets_its_own_gradient() -> None:
    x, steps = normal(3, 40), torch.tensor([[0.1], [0.3], [0.9]], requires_grad=True)
    uniform_quantize(x, steps, *grid(3, True), num=40).sum().backward()
    for index in range(3):
        single = steps.detach()[index, 0].clone().requires_grad_()
        uniform_quantize(x[index], single, *grid(3, True), num=40).sum().backward()
        assert float(steps.grad[index, 0]) == pytest.approx(float(single.grad), rel=1e-5)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_initial_step_beats_the_papers_in_squared_error(bits: int) -> None:
    values = normal(4000)
    qn, qp, offset = integer_range(bits, signed=True)

    def error(step: float) -> float:
        return float(
            (uniform_quantize(values, torch.tensor(step), *grid(bits, True), num=1) - values).square().sum()
        )

    found = float(mse_step(values, qn, qp, offset))
    rivals = [2 * float(values.abs().mean()) / max(qp, 0.25) ** 0.5, 0.8 * found, 1.25 * found]
    assert all(error(found) <= error(rival) for rival in rivals)


def test_degenerate_values_give_a_usable_step() -> None:
    assert float(mse_step(torch.zeros(5), *integer_range(4, True))) == 1.0
    assert float(mse_step(-torch.ones(5), *integer_range(4, False))) == 1.0
    assert 0 < float(mse_step(torch.tensor([-1.0]), *integer_range(2, True))) <= 0.5


@settings(max_examples=30, deadline=None)
@given(bits=st.integers(1, 8), seed=st.integers(0, 50))
def test_lsq_weights_have_at_most_two_to_the_b_levels(bits: int, seed: int) -> None:
    w = normal(500, seed=seed)
    quantizer = LSQWeight(bits)
    quantizer.initialise(w, None)
    assert len(quantizer(w).unique()) <= 2**bits


# ---- activations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("name", ["minmax", "lsq"])
@pytest.mark.parametrize("shift", [0.0, 3.0, -10.0])
def test_activations_lie_on_a_grid_that_contains_zero(bits: int, name: str, shift: float) -> None:
    x = normal(40, 25) + shift
    quantizer = ActivationQuantizer(bits, name)
    out = quantizer(x)
    assert len(out.unique()) <= 2**bits
    if name == "minmax" or bits > 1:
        assert quantizer(torch.zeros(1, 3)).abs().max().item() == 0
    assert bool(quantizer.calibrated)


def test_sign_follows_the_data() -> None:
    for x, lowest in ((normal(100).abs(), 0.0), (normal(100), -8.0)):
        quantizer = ActivationQuantizer(4, "lsq")
        quantizer(x[:, None])
        assert (float(quantizer.qn), float(quantizer.qp)) == (lowest, lowest + 15)


def test_minmax_activations_follow_their_formula() -> None:
    x = torch.tensor([[-1.0, 0.0, 0.3, 2.0]])
    quantizer = ActivationQuantizer(2, "minmax")  # step 1, zero at code 1: -1, 0, 1, 2
    assert quantizer(x).tolist() == [[-1.0, 0.0, 0.0, 2.0]]
    assert quantizer(torch.tensor([[9.0, -9.0, 0.6]])).tolist() == [[2.0, -1.0, 1.0]], "the range is fixed"


def test_features_of_one_sample_scale_the_gradient_of_activations() -> None:
    x = normal(8, 5, 2).abs()
    quantizer = ActivationQuantizer(3, "lsq")
    quantizer(x).sum().backward()
    twice = ActivationQuantizer(3, "lsq")
    twice.load_state_dict(quantizer.state_dict())
    twice(torch.cat([x, x])).sum().backward()
    assert float(twice.step.grad) == pytest.approx(2 * float(quantizer.step.grad), rel=1e-5)


def test_values_that_are_not_finite_are_refused() -> None:
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="not finite"):
            ActivationQuantizer(4, "lsq")(torch.tensor([[1.0, bad]]))


def test_constant_zero_input_is_kept() -> None:
    for name in ("minmax", "lsq"):
        assert ActivationQuantizer(4, name)(torch.zeros(2, 3)).abs().max().item() == 0
