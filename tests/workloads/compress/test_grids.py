"""The contract of all quantizers: codes, values, and the bits that live in buffers."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch._dynamo
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import TINY_LAYERS, images, tiny_net
from workloads.compress import (
    ActivationQuantizer,
    CompressionConfig,
    Grid,
    LayerChoice,
    apply,
    calibrate,
    quantized_layers,
    set_bits,
)
from workloads.compress.config import OBSERVERS, QUANTIZERS
from workloads.compress.quantizers import WeightQuantizer, weight_quantizer
from workloads.compress.rounding import round_in_place

BITS = st.integers(0, 16)
#: torch.compile instantiates the Function classes that it traces, and warns of it.
FROM_TORCH = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
WITH_ZERO = ("affine", "symmetric", "lsq")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weights(choice: LayerChoice, w: Tensor, bits: int) -> WeightQuantizer:
    quantizer = weight_quantizer(choice, w).eval()
    quantizer.set_bits(bits, w, None)
    return quantizer


def choices() -> st.SearchStrategy[LayerChoice]:
    return st.builds(
        lambda q, g, o, r: LayerChoice(w_bits=4, a_bits=4, quantizer=q, granularity=g, observer=o, rounding=r),
        st.sampled_from(QUANTIZERS),
        st.sampled_from(["tensor", "channel"]),
        st.sampled_from(OBSERVERS),
        st.sampled_from(["nearest", "floor", "stochastic"]),
    )


def check_codes(grid: Grid, x: Tensor, out: Tensor, bits: int) -> None:
    codes = grid.codes(x)
    assert codes.dtype == torch.int32
    assert torch.equal(grid.values(codes), out), "to the last bit"
    assert grid.qmin <= int(codes.min())
    assert int(codes.max()) <= grid.qmax
    assert grid.qmax - grid.qmin <= 2**bits - 1
    assert (grid.zero_point is None) != (grid.offset is None)


@settings(max_examples=150, deadline=None)
@given(choice=choices(), bits=BITS, seed=st.integers(0, 30), scale=st.sampled_from([1e-3, 1.0, 50.0]))
def test_codes_and_values_are_the_quantizer_of_weights(
    choice: LayerChoice, bits: int, seed: int, scale: float
) -> None:
    w = scale * normal(3, 4, 5, seed=seed)
    quantizer = weights(choice, w, bits)
    grid, out = quantizer.grid(w), quantizer(w)
    check_codes(grid, w, out, bits)
    if bits == 0:
        assert not out.any()
    if grid.zero_point is not None:
        zero = grid.zero_point
        assert bool(((zero >= grid.qmin) & (zero <= grid.qmax)).all()), "0 is on the grid"
    if choice.quantizer in WITH_ZERO and bits > 1:
        assert grid.zero_point is not None
    if choice.quantizer not in ("dorefa", "pact") and choice.rounding != "floor":
        assert torch.equal(quantizer.grid(w).values(grid.codes(out)), out), "idempotent on its own grid"


@settings(max_examples=150, deadline=None)
@given(
    choice=choices(), bits=BITS, seed=st.integers(0, 30), shift=st.sampled_from([-2.0, 0.0, 3.0]),
    positive=st.booleans(), axis=st.sampled_from([None, 1]),
)  # fmt: skip
def test_codes_and_values_are_the_quantizer_of_activations(
    choice: LayerChoice, bits: int, seed: int, shift: float, positive: bool, axis: int | None
) -> None:
    x = normal(6, 4, 5, seed=seed) + shift
    x = x.abs() if positive else x
    quantizer = ActivationQuantizer(
        bits, choice.quantizer, observer=choice.observer, rounding=choice.rounding, axis=axis, channels=4
    ).eval()
    out, grid = quantizer(x), quantizer.grid()
    check_codes(grid, x, out, bits)
    other = 3 * normal(2, 4, 7, seed=seed + 1)
    check_codes(grid, other, quantizer(other), bits)
    if grid.zero_point is not None:
        assert not quantizer(torch.zeros(1, 4, 1)).any()
    if choice.rounding != "floor":
        assert torch.equal(quantizer(out), out), "idempotent"
    rising = torch.linspace(-4, 4, 200)[:, None].expand(200, 4)
    assert bool((quantizer(rising).diff(dim=0) >= 0).all()), "monotone"


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["minmax", "affine", "symmetric", "lsq", "lsq+"]),
    granularity=st.sampled_from(["tensor", "channel"]),
    bits=st.integers(2, 12), seed=st.integers(0, 30), floor=st.booleans(),
)  # fmt: skip
def test_inside_the_range_the_error_is_half_a_step(
    name: str, granularity: str, bits: int, seed: int, floor: bool
) -> None:
    w = normal(4, 60, seed=seed)
    rounding = "floor" if floor else "nearest"
    choice = LayerChoice(w_bits=bits, quantizer=name, granularity=granularity, rounding=rounding)
    quantizer = weights(choice, w, bits)
    grid = quantizer.grid(w)
    codes, step = grid.codes(w), grid.scale.reshape(-1, 1) if grid.axis == 0 else grid.scale
    inside = (codes > grid.qmin) & (codes < grid.qmax)
    error = (w - quantizer(w)) / step
    slack = 2**bits * 1e-6
    low, high = (0.0, 1.0) if floor else (-0.5, 0.5)
    assert bool(((error >= low - slack) & (error <= high + slack))[inside].all())


@settings(max_examples=30, deadline=None)
@given(bits=st.integers(1, 16), name=st.sampled_from(QUANTIZERS))
def test_one_grid_per_channel_is_the_grid_of_every_channel_alone(bits: int, name: str) -> None:
    w = normal(3, 2, 3, 3) * torch.tensor([0.01, 1.0, 30.0])[:, None, None, None]
    together = weights(LayerChoice(w_bits=4, quantizer=name, granularity="channel"), w, bits)(w)
    alone = [weights(LayerChoice(w_bits=4, quantizer=name), row, bits)(row) for row in w]
    assert torch.allclose(together, torch.stack(alone), rtol=1e-5, atol=1e-7)


def test_a_bypass_has_no_grid() -> None:
    w = normal(4, 4)
    quantizer = weights(LayerChoice(w_bits=4), w, 32)
    assert quantizer(w) is w
    with pytest.raises(ConfigError, match="it has no grid"):
        quantizer.grid(w)
    with pytest.raises(ConfigError, match=r"Call calibrate\(model, x\) first"):
        ActivationQuantizer(4, "lsq").grid()
    with pytest.raises(ConfigError, match=r"0\.\.16 \(0 removes\), or 32 for float, but got 17"):
        quantizer.set_bits(17, w, None)


# ---- rounding ------------------------------------------------------------------------------------


def test_rounding_modes_by_hand() -> None:
    x = torch.tensor([-1.5, -0.5, 0.5, 1.5, 2.3])
    assert round_in_place(x.clone(), "nearest").tolist() == [-2, 0, 0, 2, 2]
    assert round_in_place(x.clone(), "floor").tolist() == [-2, -1, 0, 1, 2]


@settings(max_examples=20, deadline=None)
@given(value=st.floats(-3, 3), seed=st.integers(0, 2**31))
def test_stochastic_rounding_is_unbiased_and_seeded(value: float, seed: int) -> None:
    n = 20_000
    x = torch.full((n,), value, dtype=torch.float64)
    draws = [round_in_place(x.clone(), "stochastic", torch.Generator().manual_seed(seed)) for _ in range(2)]
    assert torch.equal(*draws)
    below = torch.tensor(value).double().floor()
    assert set(draws[0].unique().tolist()) <= {float(below), float(below) + 1}
    fraction = value - float(x[0].floor())
    deviation = (fraction * (1 - fraction) / n) ** 0.5
    assert abs(float(draws[0].mean()) - value) <= 6 * (deviation + 1 / n), "1 / n: where few of n are rounded up"


def test_stochastic_layers_are_random_in_training_only() -> None:
    x = normal(400, 5)
    quantizer = ActivationQuantizer(3, "lsq", rounding="stochastic")
    quantizer(x)
    torch.manual_seed(1)
    first = quantizer(x)
    torch.manual_seed(1)
    assert torch.equal(quantizer(x), first)
    assert not torch.equal(quantizer(x), first)
    quantizer.eval()
    plain = ActivationQuantizer(3, "lsq").eval()
    plain.load_state_dict(quantizer.state_dict())
    assert torch.equal(quantizer(x), plain(x))
    assert torch.equal(quantizer.train()(x).clamp(x.min(), x.max()).unique(), first.unique()), "one grid"


# ---- bits in buffers -----------------------------------------------------------------------------


def config(bits: int | tuple[int, ...], name: str, granularity: str = "tensor") -> CompressionConfig:
    widths = itertools.cycle(bits if isinstance(bits, tuple) else (bits,))
    return CompressionConfig.from_bits(
        dict(zip(TINY_LAYERS, widths, strict=False)), a_bits=next(widths), quantizer=name, granularity=granularity
    )


@FROM_TORCH
@pytest.mark.parametrize("name", QUANTIZERS)
def test_bits_change_without_a_recompile_and_compute_what_a_fresh_model_does(name: str) -> None:
    granularity = "channel" if name in ("affine", "lsq") else "tensor"
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    x = images(seed=3)
    model = apply(tiny_net().eval(), config(8, name, granularity))
    calibrate(model, images())
    compiled = torch.compile(model, backend="eager")
    modules = [id(m) for m in model.modules()]
    compiled(x)
    for bits in (4, 32, (2, 3, 8, 1), (32, 4)):
        target = config(bits, name, granularity)
        set_bits(compiled, target)
        compiled(x)  # grids from the earlier calibration
        calibrate(compiled, images())
        fresh = apply(tiny_net().eval(), target)
        calibrate(fresh, images())
        assert torch.equal(model(x), fresh(x))
        assert torch.equal(compiled(x), fresh(x))
    assert [id(m) for m in model.modules()] == modules
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] == 1, counters["stats"]
    assert not counters["graph_break"]


@FROM_TORCH
@pytest.mark.parametrize("name", ["affine", "dorefa", "pact", "lsq+"])
def test_a_compiled_training_step_has_the_gradients_of_an_eager_one(name: str) -> None:
    torch._dynamo.reset()
    grads = []
    for compiling in (False, True):
        model = apply(tiny_net(), config(3, name))
        calibrate(model, images())
        model.train()
        run = torch.compile(model, backend="aot_eager") if compiling else model
        run(images(seed=1)).square().sum().backward()
        grads.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for key in grads[0]:
        assert torch.allclose(grads[0][key], grads[1][key], rtol=1e-3, atol=1e-5), key


def test_zero_bits_remove_a_layer_and_keep_gradients_finite() -> None:
    for name in QUANTIZERS:
        model = apply(tiny_net(), config(4, name))
        calibrate(model, images())
        for _, layer in quantized_layers(model):
            layer.set_bits(w_bits=0, a_bits=4)
            assert not layer.effective_weight().any()
            assert not layer.weight_grid().values(layer.weight_grid().codes(layer.weight)).any()
            layer.set_bits(w_bits=4, a_bits=0)
            assert not layer.effective_input(torch.rand(2, 3)).any()
        model(images()).sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
        set_bits(model, config(4, name))
        assert model(images()).abs().sum() > 0


def test_set_bits_can_quantize_an_operand_that_was_float() -> None:
    model = apply(tiny_net().eval(), CompressionConfig.from_bits({"fc": 4}))
    target = CompressionConfig.from_bits({"fc": 3}, a_bits=5)
    set_bits(model, target)
    fresh = apply(tiny_net().eval(), target)
    for each in (model, fresh):
        calibrate(each, images())
    assert torch.equal(model(images(seed=2)), fresh(images(seed=2)))
    set_bits(model, CompressionConfig({}))
    assert torch.equal(model(images(seed=2)), tiny_net().eval()(images(seed=2))), "left out is float"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"cf": LayerChoice(w_bits=3)}, r"'cf' matched 0 of 1 layers\. Did you mean 'fc'\?"),
        ({"conv1": LayerChoice(w_bits=3)}, r"'conv1' was left float by `apply`"),
        ({"fc": LayerChoice(w_bits=3, quantizer="minmax")}, r"quantizer is 'lsq' in the model and 'minmax'"),
        ({"fc": LayerChoice(w_bits=3, density=0.5)}, r"density is 1\.0 in the model and 0\.5"),
    ],
)
def test_set_bits_refuses_what_it_cannot_do(layers: dict[str, LayerChoice], message: str) -> None:
    model = apply(tiny_net().eval(), CompressionConfig.from_bits({"fc": 4}))
    with pytest.raises(ConfigError, match=message):
        set_bits(model, CompressionConfig(layers))


# ---- half and double models -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_grids_name_the_values_of_half_and_double_models(
    quantizer: str, granularity: str, dtype: torch.dtype
) -> None:
    """At 16 bits half floats could not hold the codes: grids are computed in 32 bits, values are the model's."""
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    for bits in (1, 4, 8, 16):
        for cast_first in (True, False):
            net = torch.nn.Linear(8, 6)
            net = net.to(dtype) if cast_first else net
            choice = LayerChoice(w_bits=bits, a_bits=bits, quantizer=quantizer, granularity=granularity)
            layer = apply(net, CompressionConfig({"": choice})).to(dtype)
            calibrate(layer, x)
            for grid, values, q in (
                (layer.weight_grid(), layer.weight, layer.weight_quantizer),
                (layer.input_grid(), x, layer.input_quantizer),
            ):
                assert torch.equal(grid.values(grid.codes(values)), q(values)), (bits, cast_first)
                assert grid.scale.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
            out = layer(x)
            assert out.dtype == dtype and torch.isfinite(out).all()


def test_a_half_model_is_quantized_as_its_values_are_in_float() -> None:
    """bfloat16 values are exact in float32, so the grid and codes are those of the same weight there."""
    net = torch.nn.Linear(64, 16).bfloat16()
    half = apply(net, CompressionConfig.from_bits({"": 8}, quantizer="affine"))
    full = apply(net.float(), CompressionConfig.from_bits({"": 8}, quantizer="affine"))
    assert torch.equal(half.weight_grid().codes(half.weight), full.weight_grid().codes(full.weight))
    assert torch.equal(half.effective_weight(), full.effective_weight().bfloat16())


# ---- one stochastic draw --------------------------------------------------------------------------


def drawn(seed: int, quantizer: str = "affine", **options: object) -> torch.nn.Module:
    net = torch.nn.Linear(64, 64, bias=False).eval()
    with torch.no_grad():
        net.weight.copy_(torch.rand(64, 64, generator=torch.Generator().manual_seed(9)))
        net.weight[0, 0], net.weight[0, 1] = 0.0, 1.0
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        choice = LayerChoice(w_bits=2, quantizer=quantizer, rounding="stochastic", **options)
        return apply(net, CompressionConfig({"": choice}))


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("quantizer", ["affine", "minmax", "lsq", "dorefa"])
def test_a_stochastic_draw_is_made_once_and_by_its_seed(quantizer: str, granularity: str) -> None:
    models = [drawn(seed, quantizer, granularity=granularity) for seed in (0, 0, 1)]
    one, same, other = (model.effective_weight().detach() for model in models)
    assert torch.equal(one, same) and torch.equal(one, models[0].effective_weight())
    assert not torch.equal(one, other)
    grid = models[0].weight_grid()
    assert torch.equal(grid.values(grid.codes(models[0].weight)), one)
    loaded = drawn(2, quantizer, granularity=granularity)
    loaded.load_state_dict(models[0].state_dict())
    assert torch.equal(loaded.effective_weight(), one), "the state dict holds the draw"


def test_ten_draws_at_two_bits_have_the_mean_and_spread_of_the_fraction() -> None:
    """On 0..1 the step is 1/3; a value between two of them goes up with p = frac(3 w), sd sqrt(p (1 - p)) / 3."""
    weight = drawn(0).weight.detach().double()
    draws = torch.stack([drawn(seed).effective_weight().detach().double() for seed in range(10)])
    p = (3 * weight).frac()
    variance = p * (1 - p) / 9
    noise = (variance.mean() / 10 / weight.numel()).sqrt()
    assert abs(float((draws - weight).mean())) < 4 * float(noise)
    assert float(draws.var(0).mean()) == pytest.approx(float(variance.mean()), rel=0.05)


def test_a_seed_given_to_apply_leaves_torchs_own_generator_alone() -> None:
    net = torch.nn.Linear(8, 8).eval()
    config = CompressionConfig.from_bits({"": 2}, quantizer="affine", rounding="stochastic")
    state = torch.get_rng_state()
    one, two, other = (apply(net, config, seed=seed).effective_weight() for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_after_training_a_stochastic_weight_is_rounded_to_the_nearest() -> None:
    model = drawn(0)
    model.train()
    assert not torch.equal(model.effective_weight(), model.effective_weight())
    model.eval()
    nearest = (3 * model.weight).round() / 3
    torch.testing.assert_close(model.effective_weight(), nearest)
