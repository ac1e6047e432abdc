"""Layers that pad, cast or standardise in a forward of their own are compressed where it multiplies."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from hwmodel.errors import ConfigError
from tests.workloads.own_forwards import (
    MACS,
    CastLinear,
    PaddedConv,
    StandardisedConv,
    padded,
    small_network,
    standardised,
)
from workloads import trace
from workloads.compress import CompressionConfig, LayerChoice, apply, calibrate, minmax_affine, uncompressible


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def quantized(model: nn.Module, **choice: object) -> nn.Module:
    """Weights alone, on the grid between their extremes."""
    return apply(model, CompressionConfig({"*": LayerChoice(a_bits=None, quantizer="minmax", **choice)}))


def test_the_weight_that_multiplies_is_quantized() -> None:
    x, conv = normal(2, 3, 6, 6), StandardisedConv(3, 4, 3)
    layer = quantized(nn.Sequential(conv), w_bits=3)[0]
    called = standardised(conv.weight, conv.gain)
    torch.testing.assert_close(layer.effective_weight(), minmax_affine(called, 3))
    torch.testing.assert_close(layer(x), conv2d(x, minmax_affine(called, 3), conv.bias))
    assert layer.effective_weight().unique().numel() <= 2**3
    layer(x).sum().backward()
    assert layer.weight.grad is not None and layer.gain.grad is not None, "both train"


def test_the_input_that_multiplies_is_quantized_and_padding_stays() -> None:
    x, conv, fc = normal(2, 3, 6, 6), PaddedConv(3, 4, 3), CastLinear(5, 2)
    layer, last = quantized(nn.Sequential(conv, fc), w_bits=2)
    torch.testing.assert_close(layer(x), conv2d(padded(x), minmax_affine(conv.weight, 2), conv.bias))
    torch.testing.assert_close(last(x[..., :5]), linear(x[..., :5], minmax_affine(fc.weight, 2), fc.bias))
    both = apply(nn.Sequential(conv), CompressionConfig.from_bits({"0": None}, a_bits=2))
    calibrate(both, [x])
    assert both.eval()[0].effective_input(x).unique().numel() <= 2**2
    torch.testing.assert_close(both(x), conv2d(both[0].effective_input(padded(x)), conv.weight, conv.bias))


def test_masks_prune_what_multiplies() -> None:
    conv = StandardisedConv(4, 6, 3)
    layer = quantized(nn.Sequential(conv), w_bits=8, density=0.25)[0]
    assert int(layer.effective_weight().count_nonzero()) <= 6 * 4 * 9 // 4 == int(layer.mask.sum())
    largest = standardised(conv.weight, conv.gain).abs().flatten().topk(6 * 4 * 9 // 4).indices
    assert bool(layer.mask.flatten()[largest].all()), "magnitudes of the weight that multiplies"
    filters = quantized(nn.Sequential(conv), w_bits=8, density=0.5, pattern="filter")[0]
    assert int(filters(normal(1, 4, 5, 5)).flatten(2).any(2).sum()) == 3, "biases too"


def test_every_module_of_the_graph_takes_bits() -> None:
    model, x = small_network(), normal(1, 3, 8, 8)
    graph = trace(model, x)
    assert graph.macs == MACS
    assert uncompressible(model, graph.modules) == {}
    qmodel = apply(model, CompressionConfig.from_bits(dict.fromkeys(graph.modules, 4), a_bits=8))
    calibrate(qmodel, [x])
    again = trace(qmodel, x)
    assert (again.macs, again.weights) == (MACS, graph.weights)
    assert {(layer.bits.w, layer.bits.i) for layer in again.layers} == {(4, 8)}
    assert set(model.state_dict()) <= set(qmodel.state_dict())


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_copies_and_pickles_compute_the_same() -> None:
    x = normal(2, 3, 8, 8)
    qmodel = apply(small_network(), CompressionConfig.from_bits({"*": 4}, a_bits=8)).eval()
    calibrate(qmodel, [x])
    for other in (copy.deepcopy(qmodel), pickle.loads(pickle.dumps(qmodel))):
        assert torch.equal(other(x), qmodel(x))
    compiled = torch.compile(qmodel, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), qmodel(x))


def test_the_exported_network_is_the_one_that_runs(tmp_path: Path) -> None:
    onnx = pytest.importorskip("workloads.export")
    x = normal(2, 3, 8, 8)
    qmodel = apply(small_network(), CompressionConfig.from_bits({"*": 8}, a_bits=8, quantizer="affine")).eval()
    calibrate(qmodel, [x])
    onnx.export_onnx(tmp_path / "net.onnx", qmodel, x)
    (out,), _ = onnx.run_onnx(tmp_path / "net.onnx", [x])
    torch.testing.assert_close(torch.from_numpy(out), qmodel(x), atol=1e-4, rtol=1e-4)


def test_files_of_weights_refuse_codes_that_a_forward_would_change(tmp_path: Path) -> None:
    from workloads.export import save_packed

    qmodel = apply(small_network(), CompressionConfig.from_bits({"6": 8}, a_bits=None))
    with pytest.raises(ConfigError, match="'6': the forward of StandardisedConv multiplies by what it makes"):
        save_packed(tmp_path / "net.safetensors", qmodel)
    save_packed(
        tmp_path / "net.safetensors", apply(small_network(), CompressionConfig.from_bits({"0": 8}, a_bits=None))
    )


class Twice(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return linear(super().forward(x), self.weight)


class OfTheInput(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * x.abs().mean())


class Transposed(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Another(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return linear(x, torch.ones_like(self.weight))


class Centred(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight - self.weight.mean())


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Twice(4, 4), "must multiply by its weight once, but does so 2 times"),
        (Transposed(4, 4), "must multiply by its weight once, but does so 0 times"),
        (OfTheInput(4, 4), "multiplies by a weight that changes with the input"),
        (Another(4, 4), "multiplies by a tensor that does not depend on its weight"),
        (nn.LazyLinear(4), "without a shape as yet. Run the model once"),
    ],
)
def test_what_cannot_be_met_is_refused_by_both(layer: nn.Module, reason: str) -> None:
    model = nn.Sequential(layer)
    with pytest.raises(ConfigError) as caught:
        apply(model, CompressionConfig.from_bits({"0": 4}))
    assert reason in str(caught.value) and str(caught.value).startswith("'0'")
    assert uncompressible(model, ["0"]) == {"0": str(caught.value)}


def test_a_replaced_forward_is_not_passed_over() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    plain = model[0].forward
    model[0].forward = lambda x: plain(x) + 1  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="'0': the forward of this Linear was replaced by another function"):
        apply(model, CompressionConfig.from_bits({"0": 4}))


def test_a_shared_weight_must_be_what_multiplies() -> None:
    model = nn.Sequential(nn.Linear(4, 4), Centred(4, 4))
    model[1].weight = model[0].weight
    with pytest.raises(
        ConfigError, match="its weight is shared, but its forward multiplies by what it makes of it"
    ):
        apply(model, CompressionConfig.from_bits({"0": 4, "1": 4}))
    model[1] = CastLinear(4, 4)
    model[1].weight = model[0].weight
    qmodel = apply(model, CompressionConfig.from_bits({"0": 4, "1": 4}))
    assert qmodel[0].weight_quantizer is qmodel[1].weight_quantizer


def test_torch_s_generator_is_left_alone() -> None:
    model = nn.Sequential(StandardisedConv(3, 4, 3))
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    uncompressible(model, ["0"])
    assert torch.equal(torch.rand(3), expected)
