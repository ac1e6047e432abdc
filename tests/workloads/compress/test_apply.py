from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import TINY_LAYERS, images, tiny_graph, tiny_net
from workloads.compress import (
    CompressionConfig,
    LayerChoice,
    QuantConv2d,
    apply,
    calibrate,
    load_weights,
    quantized_layers,
    read_metadata,
    reestimate_norms,
    save_weights,
    uncompressible,
    write_config,
)

MIXED = CompressionConfig({
    "conv1": LayerChoice(w_bits=8, a_bits=8, quantizer="minmax"),
    "block.0": LayerChoice(w_bits=3, a_bits=4, density=0.5, pattern="filter"),
    "block.2": LayerChoice(w_bits=2, a_bits=4, pattern="2:4"),
    "fc": LayerChoice(w_bits=1, a_bits=None, density=0.3),
})  # fmt: skip


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same_state(model: nn.Module, before: dict[str, Tensor]) -> None:
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def calibrated(config: CompressionConfig = MIXED, seed: int = 0) -> nn.Module:
    model = apply(tiny_net(seed).eval(), config)
    calibrate(model, images())
    return model


def test_the_argument_is_not_changed() -> None:
    for mode in (True, False):
        model = tiny_net().train(mode)
        before, kinds = state(model), [type(m) for m in model.modules()]
        compressed = apply(model, MIXED)
        calibrate(compressed, images())
        compressed.train()(images()).sum().backward()
        assert_same_state(model, before)
        assert [type(m) for m in model.modules()] == kinds
        assert all(m.training == mode for m in model.modules())
        assert all(p.grad is None for p in model.parameters())


def test_names_stay_and_modes_carry_over() -> None:
    model = tiny_net().eval()
    compressed = apply(model, MIXED)
    assert [n for n, _ in quantized_layers(compressed)] == list(TINY_LAYERS)
    assert set(model.state_dict()) <= set(compressed.state_dict())
    assert isinstance(compressed.conv1, nn.Conv2d)
    assert not any(m.training for name, m in compressed.named_modules() if name in TINY_LAYERS)
    assert "input_quantizer" not in dict(compressed.fc.named_children()), "float activations need no quantizer"


def test_float_everywhere_computes_the_same() -> None:
    model, x = tiny_net().eval(), images()
    config = CompressionConfig({name: LayerChoice() for name in TINY_LAYERS})
    compressed = apply(model, config)
    assert not list(quantized_layers(compressed))
    assert torch.equal(compressed(x), model(x))


def test_sixteen_bits_come_close_to_float() -> None:
    model, x = tiny_net().eval(), images()
    for quantizer in ("minmax", "lsq"):
        compressed = apply(
            model, CompressionConfig.from_bits(dict.fromkeys(TINY_LAYERS, 16), a_bits=16, quantizer=quantizer)
        )
        calibrate(compressed, x)
        assert torch.allclose(compressed(x), model(x), atol=2e-3)
        assert not torch.equal(compressed(x), model(x))


def test_a_layer_computes_with_its_quantized_operands() -> None:
    """The output of a compressed layer is the plain layer's on quantized input and weight."""
    compressed = calibrated()
    layer = compressed.block[2]
    x = torch.rand(2, 8, 8, 8)
    by_hand = nn.functional.conv2d(
        layer.input_quantizer(x), layer.weight_quantizer(layer.weight) * layer.mask, layer.bias
    )
    assert torch.equal(layer(x), by_hand)


@pytest.mark.parametrize("quantizer", ["minmax", "lsq"])
@pytest.mark.parametrize("pattern", ["unstructured", "filter", "2:4"])
def test_pruned_weights_are_exactly_zero_and_stay_so_in_training(pattern: str, quantizer: str) -> None:
    density = 1.0 if pattern == "2:4" else 0.5
    choice = LayerChoice(w_bits=2, a_bits=4, density=density, pattern=pattern, quantizer=quantizer)
    model = apply(tiny_net(), CompressionConfig({"block.2": choice, "fc": choice}))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    first = {name: layer.mask.expand_as(layer.weight).clone() for name, layer in quantized_layers(model)}
    for step in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images(seed=step)), torch.arange(32) % 4).backward()
        optimizer.step()
    for name, layer in quantized_layers(model):
        weight = layer.effective_weight()
        assert int(first[name].sum()) == weight.numel() // 2
        assert (weight[~first[name]] == 0).all()
        assert len(weight.unique()) <= 2**2 + 1
        if pattern == "filter":
            pruned = ~layer.mask.reshape(-1)
            assert (layer.effective_bias()[pruned] == 0).all()
            assert (layer.effective_bias()[~pruned] != 0).all()


def test_every_parameter_trains() -> None:
    model = calibrated().train()
    nn.functional.cross_entropy(model(images()), torch.arange(32) % 4).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_a_model_straight_from_apply_trains() -> None:
    model = apply(tiny_net(), MIXED)
    assert not bool(model.conv1.input_quantizer.calibrated)
    model(images())
    assert bool(model.conv1.input_quantizer.calibrated)


def test_calibration_ranges_come_from_all_batches() -> None:
    x = images(64)
    x[40] *= 5
    whole, batched = (apply(tiny_net().eval(), MIXED) for _ in range(2))
    calibrate(whole, x, batch_size=64)
    calibrate(batched, x, batch_size=7)
    quantizer = batched.conv1.input_quantizer
    assert float(quantizer.step) == pytest.approx(float(x.max()) / 255, rel=1e-6)
    assert float(whole.conv1.input_quantizer.step) == float(quantizer.step)


def test_calibration_keeps_modes_and_statistics_and_forgets_earlier_ones() -> None:
    model = apply(tiny_net(), MIXED).train()
    calibrate(model, 100 * images())
    running = model.bn1.running_mean.clone()
    calibrate(model, images())
    assert model.training
    assert model.bn1.training
    assert torch.equal(model.bn1.running_mean, running)
    fresh = apply(tiny_net(), MIXED)
    calibrate(fresh, images())
    assert_same_state(model, state(fresh))


def test_calibration_starts_the_weight_grids_anew() -> None:
    model = calibrated()
    step = model.fc.weight_quantizer.step
    before = step.item()
    with torch.no_grad():
        model.fc.weight.mul_(3)
    calibrate(model, images())
    assert step.item() == pytest.approx(3 * before, rel=1e-5)


def test_norms_are_reestimated_over_the_data() -> None:
    model, x = calibrated(), images(64)
    with torch.no_grad():
        expected = model.conv1(x)
    reestimate_norms(model, x, batch_size=64)
    assert torch.allclose(model.bn1.running_mean, expected.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(model.bn1.running_var, expected.var((0, 2, 3)), atol=1e-6)
    assert model.bn1.momentum == 0.1
    assert not model.bn1.training


# ---- what an ordinary module can do --------------------------------------------------------------


def test_deepcopy_state_dict_and_repr() -> None:
    model, x = calibrated(), images(seed=7)
    expected = model(x)
    assert torch.equal(copy.deepcopy(model)(x), expected)
    other = apply(tiny_net(seed=9).eval(), MIXED)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), expected)
    assert "bits=3" in repr(model)


@pytest.mark.parametrize("strict", [False, True])
def test_export_traces_a_calibrated_model(strict: bool) -> None:
    model, x = calibrated(), images(4)
    program = torch.export.export(model, (x,), strict=strict)
    assert torch.equal(program.module()(x), model(x))
    convolutions = [n for n in program.graph.nodes if "conv" in str(n.target) and n.op == "call_function"]
    assert len(convolutions) == 3


def test_export_without_calibration_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"Call calibrate\(model, x\) before exporting"):
        torch.export.export(apply(tiny_net().eval(), MIXED), (images(2),), strict=False)


@pytest.mark.parametrize(
    "make",
    [
        lambda: (nn.Conv1d(4, 6, 3, stride=2, padding="valid", dilation=2, groups=2), (2, 4, 12)),
        lambda: (nn.Conv2d(4, 6, (3, 1), padding=(1, 0), padding_mode="circular"), (2, 4, 5, 5)),
        lambda: (nn.Conv2d(4, 4, 3, padding="same", groups=4, bias=False), (2, 4, 5, 5)),
        lambda: (nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
        lambda: (nn.Linear(5, 3, bias=False), (2, 7, 5)),
    ],
)  # fmt: skip
def test_every_kind_keeps_its_geometry(make: object) -> None:
    layer, shape = make()  # type: ignore[operator]
    model, x = nn.Sequential(layer), torch.rand(shape)
    compressed = apply(model, CompressionConfig.from_bits({"0": 16}, a_bits=16))
    calibrate(compressed, x)
    assert torch.allclose(compressed(x), model(x), atol=1e-2)
    assert repr(compressed[0]).split("\n")[0].removeprefix("Quant").rstrip("(") in f"Quant{layer!r}"
    alone = apply(layer, CompressionConfig.from_bits({"": 16}, a_bits=16))
    assert torch.equal(alone(x), compressed(x)), "a lone layer has the empty name"


# ---- sharing -------------------------------------------------------------------------------------


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = self.first
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.tied(self.second(self.first(x)))


def test_a_shared_module_is_replaced_everywhere() -> None:
    model = Shared()
    compressed = apply(model, CompressionConfig.from_bits({"second": 4}, a_bits=8))
    assert compressed.first is compressed.second
    assert type(compressed.first).__name__ == "QuantLinear"
    assert compressed.tied.weight is compressed.first.weight
    assert compressed.first.weight is not model.first.weight
    with pytest.raises(ConfigError, match="'second' and 'first' are one module, but are given different choices"):
        apply(model, CompressionConfig.from_bits({"first": 4, "second": 2}))


def test_tied_weights_are_stored_once_and_come_back(tmp_path: Path) -> None:
    config = CompressionConfig.from_bits({"first": 4, "tied": 4}, a_bits=8)
    model, x = apply(Shared(), config), torch.rand(3, 4)
    calibrate(model, x)
    path = save_weights(tmp_path / "shared.safetensors", model)
    assert sorted(n for n in load_file(path) if n.endswith("weight")) == ["first.weight"]
    other = apply(Shared(), config)
    load_weights(path, other)
    assert torch.equal(other(x), model(x))
    assert other.tied.weight is other.first.weight


# ---- what is refused -----------------------------------------------------------------------------


class Twice(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(super().forward(x))


class Refused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)
        self.up = nn.ConvTranspose2d(3, 3, 1)
        self.own = Twice(3, 3, 1)
        self.wn = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("comv", r"^'comv' matched 0 of 3 layers\. Did you mean 'conv'\?"),
        ("norm", r"^'norm' must be one of Linear, Conv1d, Conv2d, Conv3d to be compressed, but is a BatchNorm2d"),
        ("up", r"^'up' must be one of .* but is a ConvTranspose2d\. Leave it float"),
        (
            "own",
            r"^'own' is a Twice, and its forward must multiply by its weight once, but does so 2 times\. Leave it",
        ),
        ("wn", r"^'wn': its weight is computed by a parametrization"),
    ],
)
def test_modules_that_cannot_be_compressed_are_named(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apply(Refused(), CompressionConfig.from_bits({name: 4}))


def test_other_refusals() -> None:
    with pytest.raises(ConfigError, match=r"'conv1' is compressed already \(QuantConv2d\)"):
        apply(apply(tiny_net(), MIXED), MIXED)
    with pytest.raises(ConfigError, match=r"^'conv1': pattern '2:4' needs input channels .* got 1"):
        apply(tiny_net(), CompressionConfig.from_bits({"conv1": 4}, pattern="2:4"))


class Functional(nn.Module):
    """Uses the weight of a layer without calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(3, 3)
        self.borrowed = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.used(x), self.borrowed.weight)


def test_a_weight_used_without_its_layer_is_noticed() -> None:
    model = apply(Functional(), CompressionConfig.from_bits({"used": 4, "borrowed": 4}))
    with pytest.raises(ConfigError, match=r"^'borrowed' did not run on the calibration data"):
        calibrate(model, torch.rand(4, 3))


def test_calibration_refuses_bad_data() -> None:
    model = apply(tiny_net(), MIXED)
    with pytest.raises(ConfigError, match="at least one input"):
        calibrate(model, images(0))
    with pytest.raises(ConfigError, match="not finite"):
        calibrate(model, images() / 0)
    assert model.conv1.input_quantizer.observer is None, "a failed calibration leaves no observer behind"
    with pytest.raises(ConfigError, match="batch_size >= 1"):
        calibrate(model, images(), batch_size=0)


# ---- checkpoints ---------------------------------------------------------------------------------

NEW_PROCESS = """
import sys, torch
from safetensors.torch import load_file, save_file
from tests.workloads.compress.compress_models import tiny_graph, tiny_net
from workloads.compress import apply, check_model, load_weights, read_config
folder = sys.argv[1]
file = read_config(f"{folder}/best.yaml")
check_model(file, tiny_graph())
model = apply(tiny_net(seed=123), file.config).eval()
load_weights(f"{folder}/best.safetensors", model)
save_file({"y": model(load_file(f"{folder}/x.safetensors")["x"])}, f"{folder}/y.safetensors")
"""


def test_configuration_and_checkpoint_give_the_same_outputs_in_a_new_process(tmp_path: Path) -> None:
    model = calibrated().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images(seed=step)), torch.arange(32) % 4).backward()
        optimizer.step()
    model.eval()
    x = images(seed=11)
    write_config(tmp_path / "best.yaml", MIXED, tiny_graph())
    save_weights(tmp_path / "best.safetensors", model, {"note": "kept"})
    save_file({"x": x}, tmp_path / "x.safetensors")
    root = Path(__file__).parents[3]
    with torch.no_grad():
        subprocess.run([sys.executable, "-c", NEW_PROCESS, str(tmp_path)], check=True, cwd=root)
        assert torch.equal(load_file(tmp_path / "y.safetensors")["y"], model(x))
    assert read_metadata(tmp_path / "best.safetensors") == {"note": "kept"}


def test_the_initial_weights_do_not_matter(tmp_path: Path) -> None:
    model, x = calibrated(), images(seed=3)
    path = save_weights(tmp_path / "a.safetensors", model)
    outputs = []
    for seed in (4, 5):
        other = apply(tiny_net(seed).eval(), MIXED)
        load_weights(path, other)
        outputs.append(other(x))
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], model(x))


def test_a_checkpoint_that_does_not_fit_is_explained(tmp_path: Path) -> None:
    path = save_weights(tmp_path / "a.safetensors", calibrated())
    changed = dict(MIXED.layers) | {"block.2": LayerChoice(w_bits=4, a_bits=4, pattern="2:4")}
    with pytest.raises(
        ConfigError, match=r"'block\.2\.weight_quantizer\.bits' must be 4 bits as configured, but is 2"
    ):
        load_weights(path, apply(tiny_net(), CompressionConfig(changed)))
    with pytest.raises(
        ConfigError, match=r"a\.safetensors does not fit the model \(12 names\): it has '.*'.* and \d+ mo"
    ):
        load_weights(path, tiny_net())
    plain = save_weights(tmp_path / "b.safetensors", tiny_net())
    with pytest.raises(ConfigError, match=r"it lacks 'block\.0\.input_quantizer\.bits'"):
        load_weights(plain, apply(tiny_net(), MIXED))
    with pytest.raises(ConfigError, match=r"'fc\.weight' must have shape \(4, 12\), but has \(7, 12\)"):
        load_weights(save_weights(tmp_path / "c.safetensors", type(tiny_net())(7)), tiny_net())


def test_only_whole_safetensors_are_written_and_read(tmp_path: Path) -> None:
    model = tiny_net()
    with pytest.raises(ConfigError, match=r"^best\.pth must end in \.safetensors$"):
        save_weights(tmp_path / "best.pth", model)
    with pytest.raises(ConfigError, match=r"must end in \.safetensors"):
        save_weights(tmp_path / "best.npz", model)
    with pytest.raises(ConfigError, match="cannot be read as safetensors"):
        load_weights(tmp_path / "absent.safetensors", model)
    torn = save_weights(tmp_path / "torn.safetensors", model)
    torn.write_bytes(torn.read_bytes()[:-10])
    with pytest.raises(ConfigError, match="cannot be read as safetensors"):
        load_weights(torn, model)


def test_layers_can_be_made_by_hand() -> None:
    layer = QuantConv2d(4, 4, 3).compress(LayerChoice(w_bits=2, density=0.25))
    assert int(layer.mask.sum()) == 4 * 4 * 9 // 4
    assert layer(torch.rand(1, 4, 5, 5)).shape == (1, 4, 3, 3)


def test_what_apply_refuses_is_known_beforehand() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.MultiheadAttention(4, 2), nn.ConvTranspose2d(1, 1, 2))
    reasons = uncompressible(model, ["0", "1", "1.out_proj", "2"])
    assert list(reasons) == ["1", "1.out_proj", "2"]
    for name, reason in reasons.items():
        with pytest.raises(ConfigError) as caught:
            apply(model, CompressionConfig.from_bits({name: 4}))
        assert str(caught.value) == reason
        apply(model, CompressionConfig.from_bits({name: None}, a_bits=None))  # float: nothing to refuse
