"""Three known answers, derived in the open, through the public API alone."""

from __future__ import annotations

import pytest
import torch

from hwmodel import Choice, evaluate, load_accelerator
from workloads import load_model, trace
from workloads.compress import CompressionConfig, average_precision, minmax_affine

#: ResNet-20 (He et al., CVPR 2016, section 4.2) with 1x1 projection shortcuts: weights per stage.
FIRST, LAST = 3 * 3 * 3 * 16, 64 * 10
STAGES = (
    6 * 9 * 16 * 16,
    9 * 16 * 32 + 5 * 9 * 32 * 32 + 16 * 32,
    9 * 32 * 64 + 5 * 9 * 64 * 64 + 32 * 64,
)


@pytest.mark.parametrize(("bits", "expected"), [((4, 4, 2), 2.5988), ((4, 2, 4), 3.7328), ((2, 4, 4), 4.0087)])
def test_average_precision_of_resnet20(bits, expected):
    graph = trace(load_model("resnet20", shortcut="projection"), torch.zeros(1, 3, 32, 32))
    config = CompressionConfig.from_bits(
        {name: bits[int(name.removeprefix("layer")[0]) - 1] for name in graph.modules if name.startswith("layer")}
    )
    total = 32 * (FIRST + LAST) + sum(n * b for n, b in zip(STAGES, bits, strict=True))
    assert average_precision(graph, config) == pytest.approx(total / (FIRST + sum(STAGES) + LAST), rel=1e-12)
    assert round(average_precision(graph, config), 4) == expected


def test_minmax_ladder():
    """w_q = alpha * round((2^b - 1)(w - beta)/alpha)/(2^b - 1) + beta; the gradient passes straight through."""
    weight = torch.linspace(-1.5, 2.5, 41, dtype=torch.float64, requires_grad=True)
    assert torch.equal(minmax_affine(weight, None), weight)
    assert not minmax_affine(weight, 0).any()
    alpha, beta = 4.0, -1.5
    for bits in (1, 2, 3, 8):
        steps = 2**bits - 1
        expected = [alpha * round(steps * (w - beta) / alpha) / steps + beta for w in weight.tolist()]
        quantized = minmax_affine(weight, bits)
        assert quantized.tolist() == pytest.approx(expected, abs=1e-12)
        (gradient,) = torch.autograd.grad(quantized.sum(), weight)
        assert torch.equal(gradient, torch.ones_like(weight))


@pytest.mark.parametrize(
    ("sums", "total"), [((18, 18, 18, 18, 18), 402_692_880), ((18, 16, 16, 18, 16), 395_774_080)]
)
@pytest.mark.parametrize(
    ("options", "has_bias"), [({}, True), ({}, False), ({"activation": "relu", "pool": "max"}, True)]
)
def test_loop_nest_energy_of_lenet5(sums, total, options, has_bias):
    """N_mul * b_mul^2 + N_add * b_add at batch 4: 3 and 3 per MAC of a convolution, 1 and 1 of a linear layer.

    The biases of the last layer count even where the model has none.
    """
    batch, products = 4, 8
    model = load_model("lenet5", **options)
    if not has_bias:
        model.fc2.bias = None
    graph = trace(model, torch.zeros(batch, 1, 32, 32))
    macs = (28 * 28 * 6 * 25, 10 * 10 * 16 * 150, 120 * 400, 120 * 84, 84 * 10)
    per_mac = (3, 3, 3, 1, 1)
    expected = [batch * n * k * (products**2 + b) for n, k, b in zip(macs, per_mac, sums, strict=True)]
    expected[-1] += batch * 10 * sums[-1]  # the biases of the last layer
    config = {
        module: Choice(w_bits=products, a_bits=products, acc_bits=acc)
        for module, acc in zip(graph.modules, sums, strict=True)
    }
    cost = evaluate(graph, load_accelerator("loop_nest"), config)
    assert [layer.energy_pj for layer in cost.layers] == expected
    assert cost.energy_pj == sum(expected) == total
