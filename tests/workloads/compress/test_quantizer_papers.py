"""Every quantizer against the equations of its paper, written out element by element in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from workloads.compress import (
    ActivationQuantizer,
    DoReFaWeight,
    LSQWeight,
    UniformWeight,
    integer_range,
)
from workloads.compress.quantizers.uniform import clip_quantize, uniform_quantize


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scalars(bits: int, signed: bool) -> tuple[Tensor, Tensor, Tensor]:
    qn, qp, offset = (torch.tensor(value, dtype=torch.float64) for value in integer_range(bits, signed))
    return qn, qp, offset


def central_difference(function: object, at: float, by: float = 1e-6) -> float:
    return (function(at + by) - function(at - by)) / (2 * by)  # type: ignore[operator]


# ---- DoReFa: Zhou et al. 2016, section 2.3 and 2.4 -----------------------------------------------


def quantize_k(r: np.ndarray, bits: int) -> np.ndarray:
    """r in [0, 1] to the nearest multiple of 1/(2^k - 1)."""
    return np.round((2**bits - 1) * r) / (2**bits - 1)


@pytest.mark.parametrize("bits", [2, 3, 4, 8, 16])
def test_dorefa_weights(bits: int) -> None:
    w = 1.5 * normal(40, 9)
    t = np.tanh(w.numpy())
    expected = 2 * quantize_k(t / (2 * np.abs(t).max()) + 0.5, bits) - 1
    np.testing.assert_allclose(DoReFaWeight(bits)(w), expected, atol=1e-12)


def test_dorefa_weights_of_one_bit_are_the_sign_times_the_mean() -> None:
    w = normal(30, 4).requires_grad_()
    out = DoReFaWeight(1)(w)
    assert torch.allclose(out, torch.where(w >= 0, w.abs().mean(), -w.abs().mean()))
    out.sum().backward()
    assert torch.equal(w.grad, torch.ones_like(w)), "straight through"


def test_dorefa_gradient_is_that_of_the_transform_without_the_rounding() -> None:
    w = normal(25).requires_grad_()
    upstream = normal(25, seed=3)
    (DoReFaWeight(3)(w) * upstream).sum().backward()
    smooth = w.detach().numpy().copy()

    def loss(index: int, value: float) -> float:
        changed = smooth.copy()
        changed[index] = value
        t = np.tanh(changed)
        return float((t / np.abs(t).max() * upstream.numpy()).sum())  # 2 (t/(2 max) + 1/2) - 1

    slopes = [central_difference(lambda v, i=i: loss(i, v), smooth[i]) for i in range(25)]
    np.testing.assert_allclose(w.grad, slopes, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_dorefa_activations_are_clipped_to_one(bits: int) -> None:
    x = normal(60).abs().requires_grad_()
    quantizer = ActivationQuantizer(bits, "dorefa").double()
    out = quantizer(x[:, None])[:, 0]
    np.testing.assert_allclose(out.detach(), quantize_k(np.clip(x.detach().numpy(), 0, 1), bits), atol=1e-7)
    out.sum().backward()
    assert torch.equal(x.grad, (x < 1).double())
    assert not list(quantizer.parameters())


# ---- PACT: Choi et al. 2018, section 3 -----------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_pact_forward_and_gradients(bits: int) -> None:
    x, alpha = (2 * normal(300)).requires_grad_(), torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    upstream = normal(300, seed=1)
    out = clip_quantize(x, alpha, *scalars(bits, signed=False))
    values = x.detach().numpy()
    clipped = 0.5 * (np.abs(values) - np.abs(values - 1.3) + 1.3)
    levels = 2**bits - 1
    np.testing.assert_allclose(out.detach(), np.round(clipped * levels / 1.3) * 1.3 / levels, atol=1e-12)
    (out * upstream).sum().backward()
    assert float(alpha.grad) == pytest.approx(float(upstream[x >= 1.3].sum()))
    assert torch.equal(x.grad, upstream * ((x > 0) & (x < 1.3)))


def test_pact_at_the_edges() -> None:
    x = torch.tensor([-1.0, 0.0, 1.0, 1.5, 2.0], requires_grad=True)
    alpha = torch.tensor(1.5, requires_grad=True)
    clip_quantize(x, alpha, *(v.float() for v in scalars(2, signed=False))).sum().backward()
    assert x.grad.tolist() == [0, 0, 1, 0, 0]
    assert float(alpha.grad) == 2, "x = alpha counts as clipped"


def test_the_signed_extension_of_pact_is_the_gradient_of_its_clip() -> None:
    x = 3 * normal(200)
    qn, qp, offset = scalars(3, signed=True)  # -4..3: from -4/3 alpha to alpha
    alpha = torch.tensor(1.1, dtype=torch.float64, requires_grad=True)
    clip_quantize(x, alpha, qn, qp, offset).sum().backward()
    slope = central_difference(lambda a: float(np.clip(x.numpy(), -4 / 3 * a, a).sum()), 1.1)
    assert float(alpha.grad) == pytest.approx(slope, rel=1e-6)


def test_the_learned_clip_of_a_layer_starts_at_the_best_error_and_trains() -> None:
    x = normal(400).abs().float()[:, None]
    quantizer = ActivationQuantizer(3, "pact")
    quantizer(x).sum().backward()
    assert float(quantizer.alpha.grad) > 0
    start = quantizer.alpha.item()
    errors = []
    for alpha in (start, 0.8 * start, 1.25 * start):
        with torch.no_grad():
            quantizer.alpha.fill_(alpha)
        errors.append((quantizer(x) - x).square().sum().item())
    assert errors[0] == min(errors)


# ---- LSQ and LSQ+ against finite differences -----------------------------------------------------


def smoothed(x: np.ndarray, s: float, beta: float, s0: float, beta0: float, qn: float, qp: float) -> np.ndarray:
    """The function whose exact derivatives are the papers' estimates: rounding errors frozen at (s0, beta0)."""
    frozen = np.round((x - beta0) / s0) - (x - beta0) / s0
    v = (x - beta) / s
    inside = (v > qn) & (v < qp)
    return s * np.where(inside, v + frozen, np.clip(v, qn, qp)) + beta


@pytest.mark.parametrize("rounding_path", ["blocks", "broadcast"])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("beta", [None, -0.7])
def test_gradients_are_those_of_the_smoothed_function(beta: float | None, signed: bool, rounding_path: str) -> None:
    """LSQ equation 3 and the LSQ+ gradients, times 1/sqrt(N Qp), by central differences."""
    bits, size, num = 3, 0.41, 50
    x, upstream = 2 * normal(30, 10), normal(30, 10, seed=2)
    if rounding_path == "broadcast":
        x, upstream = x.t(), upstream.t()  # not contiguous: the other implementation
    qn, qp, zero = scalars(bits, signed)
    step = torch.tensor(size, dtype=torch.float64, requires_grad=True)
    learned = None if beta is None else torch.tensor(beta, dtype=torch.float64, requires_grad=True)
    data = x.detach().requires_grad_()
    (uniform_quantize(data, step, qn, qp, zero, num, beta=learned) * upstream).sum().backward()

    def loss(s: float, b: float, moved: float = 0.0) -> float:
        values = smoothed(x.numpy() + moved, s, b, size, beta or 0.0, float(qn), float(qp))
        return float((values * upstream.numpy()).sum())

    scale = 1 / np.sqrt(num * float(qp))
    start = beta or 0.0
    assert float(step.grad) == pytest.approx(scale * central_difference(lambda s: loss(s, start), size), rel=1e-4)
    if learned is not None:
        slope = central_difference(lambda b: loss(size, b), start)
        assert float(learned.grad) == pytest.approx(scale * slope, rel=1e-4)
    v = (x - start) / size
    assert torch.equal(data.grad, upstream * ((v > qn) & (v < qp)))


def test_lsq_plus_forward() -> None:
    x = normal(500)
    step, beta = torch.tensor(0.23, dtype=torch.float64), torch.tensor(-0.9, dtype=torch.float64)
    out = uniform_quantize(x, step, *scalars(4, signed=False), num=1, beta=beta)
    codes = np.round(np.clip((x.numpy() + 0.9) / 0.23, 0, 15))
    np.testing.assert_allclose(out, codes * 0.23 - 0.9, atol=1e-12)


def test_lsq_plus_starts_activations_at_the_extremes_or_the_least_error_and_trains_the_offset() -> None:
    x = torch.nn.functional.silu(3 * normal(800).float())[:, None]
    quantizer = ActivationQuantizer(4, "lsq+", observer="minmax")
    spanned = quantizer(x)
    low, high = float(x.min()), float(x.max())
    assert quantizer.step.item() == pytest.approx((high - low) / 15, rel=1e-5)
    assert quantizer.beta.item() == pytest.approx(low, rel=1e-5)
    best = ActivationQuantizer(4, "lsq+")
    out = best(x)
    assert (out - x).square().sum().item() < (spanned - x).square().sum().item()
    out.square().sum().backward()
    assert float(best.beta.grad) != 0 != float(best.step.grad)


@pytest.mark.parametrize("axis", [None, 0])
def test_lsq_plus_starts_weights_at_three_sigma(axis: int | None) -> None:
    w = normal(6, 50).float() + 0.2
    quantizer = LSQWeight(4, observer="three_sigma", axis=axis, channels=6)
    quantizer.initialise(w, None)
    rows = w[None].flatten(1) if axis is None else w
    for row, step in zip(rows, quantizer.step.reshape(-1).tolist(), strict=True):
        mean, sd = float(row.mean()), float(row.std(correction=0))
        assert step == pytest.approx(max(abs(mean - 3 * sd), abs(mean + 3 * sd)) / 2**3, rel=1e-5)


# ---- affine and symmetric: what ONNX computes ----------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_affine_weights_are_quantize_and_dequantize_linear(bits: int) -> None:
    """ONNX QuantizeLinear: saturate(round(x / scale) + zero), ties to even, scale and zero from the extremes."""
    w = (normal(7, 30) + 0.4).float()
    out = UniformWeight(bits, symmetric=False)(w).numpy()
    levels, values = 2**bits - 1, w.numpy()
    scale = np.float32((values.max() - values.min()) / np.float32(levels))
    zero = np.round(-values.min() / scale)
    codes = np.clip(np.round(values / scale) + zero, 0, levels)
    np.testing.assert_array_equal(out, (codes - zero).astype(np.float32) * scale)


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_symmetric_weights_reach_the_largest_magnitude(bits: int) -> None:
    w = normal(5, 20).float()
    out = UniformWeight(bits, symmetric=True, axis=0, channels=5)(w).numpy()
    scale = np.abs(w.numpy()).max(1, keepdims=True) / np.float32(2 ** (bits - 1) - 1)
    np.testing.assert_allclose(out, np.round(w.numpy() / scale) * scale, rtol=1e-6)


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_range_that_follows_the_weight_passes_the_gradient_and_a_clipping_one_masks_it(symmetric: bool) -> None:
    w = normal(2000).float().requires_grad_()
    UniformWeight(4, symmetric=symmetric)(w).sum().backward()
    assert torch.equal(w.grad, torch.ones_like(w))
    w.grad = None
    clipping = UniformWeight(4, symmetric=symmetric, observer="percentile")
    clipping.initialise(w, None)
    out = clipping(w)
    out.sum().backward()
    outside = (w > out.max()) | (w < out.min())
    assert outside.any()
    assert not w.grad[outside].any()
    assert float(w.grad.mean()) > 0.95
