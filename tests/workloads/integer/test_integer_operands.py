"""The integers of a layer against arithmetic by hand, and its partial sums against the model's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.integer.integer_models import Chain, Everything, batch, quantized, seeded
from workloads.compress import CompressionConfig, LayerChoice, apply, calibrate
from workloads.integer import fold_batchnorms, integerize, layer_integers, psum_error_table, psum_errors


def test_a_layer_by_hand():
    """w = (1, -2) and x = (3, 7) on grids whose steps are powers of two: 1/64 (8 bit, |w| <= 127/64) and 1/32."""
    model = nn.Sequential(nn.Linear(2, 1, bias=False))
    step_w, step_x = 1 / 64, 1 / 32
    model[0].weight.data = torch.tensor([[127 * step_w, -100 * step_w]])
    choice = LayerChoice(w_bits=8, a_bits=8, quantizer="symmetric")
    qmodel = apply(model, CompressionConfig({"0": choice})).eval()
    x = torch.tensor([[255 * step_x, 9 * step_x]])
    calibrate(qmodel, x)
    found = layer_integers(qmodel, "0", x)
    assert found.w_int.tolist() == [[127, -100]] and found.x_int.tolist() == [[255, 9]]
    assert float(found.scale_w) == step_w and float(found.scale_x) == step_x
    assert found.psum_int.tolist() == [[127 * 255 - 100 * 9]]
    assert found.psum.tolist() == [[(127 * 255 - 100 * 9) * step_w * step_x]]
    assert found.computed.tolist() == found.psum.tolist()
    assert psum_errors(qmodel, x) == (found.error,) and found.error.max_error == 0.0


def test_psums_beside_those_of_a_layer_with_a_bias():
    """w = 1/2 (code 1 of the step 1/2), x = 3, bias 5: the psum is 3/2, the layer's output 13/2."""
    model = nn.Sequential(nn.Linear(1, 1))
    model[0].weight.data, model[0].bias.data = torch.tensor([[0.5]]), torch.tensor([5.0])
    qmodel = apply(model, CompressionConfig({"0": LayerChoice(w_bits=2, a_bits=2, quantizer="symmetric")}))
    x = torch.tensor([[3.0]])
    calibrate(qmodel, x)
    found = layer_integers(qmodel.train(), "0", x)
    assert qmodel(x).item() == 6.5 and qmodel[0].training
    assert found.computed.tolist() == found.psum.tolist() == [[1.5]]
    assert (found.error.psums, found.error.max_psum, found.error.mean_error) == (1, 1.5, 0.0)


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize(
    ("quantizer", "bits"), [("affine", 8), ("symmetric", 4), ("lsq", 3), ("pact", 4), ("lsq", 1)]
)
def test_psums_are_recovered(quantizer, bits, granularity):
    """float32 sums of n products have a relative error of a few 2^-24 of the sum of magnitudes."""
    x = batch()
    for build in (Chain, Everything):
        qmodel = quantized(seeded(build), x, bits, quantizer, granularity=granularity)
        errors = psum_errors(qmodel, x)
        assert len(errors) == sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in qmodel.modules())
        for error in errors:
            assert 0 <= error.mean_error <= error.max_error <= 1e-5 * max(error.max_psum, 1e-3)
    frame = psum_error_table(errors)
    assert list(frame["layer"]) == [error.layer for error in errors] and (frame["relative"] < 1e-5).all()


def test_a_pruned_weight_is_the_integer_zero():
    model = seeded(Chain)
    choice = LayerChoice(w_bits=4, a_bits=8, density=0.5, quantizer="affine")
    qmodel = apply(model, CompressionConfig({"conv1": choice})).eval()
    calibrate(qmodel, batch())
    found = layer_integers(qmodel, "conv1", batch())
    assert int((found.w_int == 0).sum()) >= found.w_int.numel() // 2
    assert ((found.w_int == 0) | qmodel.conv1.mask).all()


def test_grids_without_a_zero_are_refused():
    qmodel = quantized(seeded(Chain), batch(), 4, "minmax")
    with pytest.raises(ConfigError, match=r"'conv1'.*steps from code 0. Use quantizer 'affine'"):
        layer_integers(qmodel, "conv1", batch())
    with pytest.raises(ConfigError, match="Did you mean 'conv1'"):
        layer_integers(qmodel, "conv_1", batch())


def test_folded_norms_change_nothing():
    model, x = seeded(Everything), batch()
    folded = fold_batchnorms(model)
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {n for n, m in folded.named_modules() if isinstance(m, nn.Conv2d)} == {"stem", "left", "right"}
    with torch.no_grad():
        torch.testing.assert_close(folded.double()(x.double()), model.double()(x.double()), rtol=1e-6, atol=1e-6)


def test_norms_that_cannot_be_folded_stay():
    class Shared(nn.Module):
        """The convolution's output is read twice, so its norm belongs to one reader only."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1)
            self.norm = nn.BatchNorm2d(2)

        def forward(self, x):
            x = self.conv(x)
            return self.norm(x) + x

    model = seeded(Shared)
    folded = fold_batchnorms(model)
    assert isinstance(folded.norm, nn.BatchNorm2d)
    assert torch.equal(folded(batch()), model(batch()))
    quantized_model = quantized(seeded(Everything), batch())
    assert isinstance(fold_batchnorms(quantized_model).norm, nn.BatchNorm2d)


def test_a_model_without_calibration_is_refused_and_stays_as_it_is():
    """Running it would take the ranges from whatever is looked at first."""
    names = [name for name, module in Chain().named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    qmodel = apply(seeded(Chain), CompressionConfig.from_bits(dict.fromkeys(names, 4), a_bits=4))
    before = {name: value.clone() for name, value in qmodel.state_dict().items()}
    x = batch()
    for look in (lambda: layer_integers(qmodel, names[0], x), lambda: psum_errors(qmodel, x),
                 lambda: integerize(qmodel, x)):  # fmt: skip
        with pytest.raises(ConfigError, match=r"its input has no range yet\. Call calibrate"):
            look()
    assert all(torch.equal(value, before[name]) for name, value in qmodel.state_dict().items())


def statistics(norm):
    norm.running_mean.normal_(generator=torch.Generator().manual_seed(1))
    norm.running_var.uniform_(0.1, 2, generator=torch.Generator().manual_seed(2))
    return norm


@pytest.mark.parametrize("features", [7, 6])
def test_a_norm_over_tokens_is_not_folded(features):
    net = nn.Sequential(nn.Linear(4, features), statistics(nn.BatchNorm1d(7))).eval()
    x = torch.randn(5, 7, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fold_batchnorms(net, x)(x), net(x))
    with pytest.warns(UserWarning, match=r"'1' stays behind '0': .* Pass one"):
        assert torch.equal(fold_batchnorms(net)(x), net(x))
    if features == 7:
        qmodel = apply(net, CompressionConfig.from_bits({"0": 8}, a_bits=8, quantizer="affine"))
        calibrate(qmodel, x)
        with pytest.raises(ConfigError, match=r"'0': the batch norm behind it does not normalise its output"):
            integerize(qmodel, x)


@pytest.mark.parametrize(
    ("layer", "norm", "shape", "folds"),
    [
        (lambda: nn.Linear(4, 7), nn.BatchNorm1d, (5, 4), True),
        (lambda: nn.Conv1d(4, 7, 1), nn.BatchNorm1d, (5, 4, 3), True),
        (lambda: nn.Conv1d(4, 7, 1), nn.BatchNorm1d, (4, 7), False),  # one item: dim 1 is the length, 7 too
        (lambda: nn.Linear(4, 4), nn.BatchNorm2d, (5, 7, 3, 4), False),
        (lambda: nn.Conv2d(4, 7, 1), nn.BatchNorm2d, (5, 4, 3, 3), True),
    ],
)
def test_shapes_decide_what_is_folded(layer, norm, shape, folds):
    net = nn.Sequential(layer(), statistics(norm(7))).eval()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    folded = fold_batchnorms(net, x)
    assert isinstance(folded[1], nn.Identity) == folds
    with torch.no_grad():
        torch.testing.assert_close(folded(x), net(x), rtol=1e-5, atol=1e-5)


def test_shared_and_computed_weights_and_shared_norms_are_not_folded():
    class Twice(nn.Module):
        def __init__(self, share):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
            self.norm = statistics(nn.BatchNorm2d(3))
            self.other = self.norm if share == "norm" else nn.ReLU()
            if share == "weight":
                self.b.weight = self.a.weight
            if share == "computed":
                nn.utils.parametrizations.spectral_norm(self.a)

        def forward(self, x):
            return self.other(self.b(self.norm(self.a(x))))

    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    for share in ("weight", "norm", "computed"):
        net = Twice(share).eval()
        with torch.no_grad():
            torch.testing.assert_close(fold_batchnorms(net, x)(x), net(x), rtol=1e-5, atol=1e-5)
