"""Sizes of the registered models from their papers, seeds, names, files and options."""

import numpy as np
import pytest
import torch

from hwmodel.errors import ConfigError
from workloads import load_model, load_model_with_input, model_names, trace
from workloads.compress import load_weights


@pytest.mark.parametrize(
    ("name", "parameters"),
    [  # torchvision's documentation of the three models, "num_params"
        ("resnet18", 11_689_512),
        ("resnet50", 25_557_032),
        ("mobilenetv2", 3_504_872),
    ],
)
def test_parameters_of_imagenet_models(name, parameters):
    assert sum(p.numel() for p in load_model(name).parameters()) == parameters


def resnet_weights(n, w=16, projection=True):
    """He et al. 2016, section 4.2: 3x3 convolutions at widths w, 2w, 4w."""
    stages = [2 * n * 9 * w * w, *((9 * c // 2 * c + (2 * n - 1) * 9 * c * c) for c in (2 * w, 4 * w))]
    shortcuts = (w * 2 * w + 2 * w * 4 * w) if projection else 0
    return 9 * 3 * w + sum(stages) + shortcuts + 4 * w * 10


@pytest.mark.parametrize(("name", "n"), [("resnet8", 1), ("resnet20", 3), ("resnet32", 5), ("resnet56", 9)])
@pytest.mark.parametrize("shortcut", ["projection", "pad"])
def test_weights_of_cifar_resnets(name, n, shortcut):
    graph = trace(load_model(name, shortcut=shortcut), torch.zeros(1, 3, 32, 32))
    assert sum(graph.weights.values()) == resnet_weights(n, projection=shortcut == "projection")
    assert len(graph.weights) == 6 * n + 2 + (2 if shortcut == "projection" else 0)


@pytest.mark.parametrize(("stages", "expected"), [((4, 4, 2), 2.5988), ((4, 2, 4), 3.7328), ((2, 4, 4), 4.0087)])
def test_resnet20_average_weight_precision(stages, expected):
    """First convolution and last linear at 32 bits, every stage, its projection shortcut included, at its own."""
    weights = trace(load_model("resnet20"), torch.zeros(1, 3, 32, 32)).weights
    bits = {name: 32 if name in ("conv1", "fc") else stages[int(name[5]) - 1] for name in weights}
    assert round(sum(weights[n] * bits[n] for n in weights) / sum(weights.values()), 4) == expected


WIDTHS = {
    "dscnn": 64, "lenet5": 6, "mobilenetv2": 32, "resnet8": 16, "resnet20": 16, "resnet32": 16, "resnet44": 16,
    "resnet56": 16, "resnet18": 64, "resnet50": 64, "vgg16": 64,
}  # fmt: skip


def convolutions(model):
    return [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]


@pytest.mark.parametrize(("name", "standard"), WIDTHS.items())
def test_width_is_of_the_first_convolution_and_the_others_follow(name, standard):
    plain, same = load_model(name), load_model(name, width=standard)
    assert all(
        torch.equal(a, b) for a, b in zip(plain.state_dict().values(), same.state_dict().values(), strict=True)
    )
    half, args = load_model_with_input(name, width=standard // 2)
    assert convolutions(half)[0].out_channels == standard // 2
    wide, narrow = (sum(p.numel() for p in model.parameters()) for model in (plain, half))
    linear = 1_280 * 1_000 if name == "mobilenetv2" else 0  # its last layers keep their width
    assert narrow - linear < 0.5 * (wide - linear)
    with torch.no_grad():
        assert half.eval()(*args).shape == plain.eval()(*args).shape


def test_every_network_on_images_has_a_width():
    assert set(WIDTHS) == set(model_names()) - {"transformer"}


def test_channels_of_narrow_networks():
    vgg = [m.out_channels for m in convolutions(load_model("vgg16", width=8))]
    assert vgg == [8, 8, 16, 16, 32, 32, 32, 64, 64, 64, 64, 64, 64]
    lenet = load_model("lenet5", width=3)
    assert [m.out_channels for m in convolutions(lenet)] == [3, 8, 60] and lenet.fc1.out_features == 42
    mobile = load_model("mobilenetv2", width=16)  # torchvision's mobilenet_v2(width_mult=0.5): 1,968,680
    assert sum(p.numel() for p in mobile.parameters()) == 1_968_680
    deep = load_model("resnet50", width=16)
    assert deep.fc.in_features == 16 * 8 * 4


def test_dscnn_macs():
    """MLPerf Tiny keyword spotting: 25x5 pixels, 10x4 filters, then four of 3x3 depthwise and 1x1."""
    pixels, width = 25 * 5, 64
    graph = trace(*_with_input("dscnn"))
    assert graph.macs == pixels * width * 40 + 4 * pixels * width * (9 + width) + width * 12


def test_transformer_macs():
    dim, context, depth, vocab = 32, 10, 3, 50
    model, args = load_model_with_input("transformer", dim=dim, context=context, depth=depth, vocab=vocab, heads=2)
    per_block = context * (4 + 8) * dim * dim + 2 * context * context * dim
    assert trace(model, *args).macs == depth * per_block + context * dim * vocab


def test_transformer_does_not_look_ahead():
    model, (tokens,) = load_model_with_input("transformer", dim=16, context=8)
    changed = tokens.clone()
    changed[:, 5:] = 7
    model.eval()
    torch.testing.assert_close(model(tokens)[:, :5], model(changed)[:, :5])
    assert not torch.allclose(model(tokens)[:, 5:], model(changed)[:, 5:])


def _with_input(name, **options):
    model, args = load_model_with_input(name, **options)
    return model, *args


@pytest.mark.parametrize("name", model_names())
def test_every_model_runs_on_its_example(name):
    model, args = load_model_with_input(name, batch=2)
    with torch.no_grad():
        out = model.eval()(*args)
    assert len(out) == len(args[0]) == 2
    assert torch.isfinite(out).all()


def test_seed_decides_the_weights_and_nothing_else():
    before = torch.random.get_rng_state()
    first, again, other = (load_model("resnet8", seed=seed).conv1.weight for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_options_change_the_model():
    model, (example,) = load_model_with_input("resnet8", in_channels=1, num_classes=7, width=4)
    assert example.shape == (1, 1, 32, 32)
    assert model(example).shape == (1, 7)
    assert model.conv1.weight.shape == (4, 1, 3, 3)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("pool", ["average", "max"])
def test_the_variants_of_lenet5(activation, pool):
    """Convolution, activation, 2x2 pool, twice; then three more layers of weights, the last without activation."""
    model, (x,) = load_model_with_input("lenet5", batch=2, activation=activation, pool=pool)
    act = {"tanh": torch.tanh, "relu": torch.relu}[activation]
    shrink = {"average": torch.nn.functional.avg_pool2d, "max": torch.nn.functional.max_pool2d}[pool]
    hidden = shrink(act(model.conv2(shrink(act(model.conv1(x)), 2))), 2)
    expected = model.fc2(act(model.fc1(act(model.conv3(hidden)).flatten(1))))
    torch.testing.assert_close(model(x), expected)


def test_input_shape_is_without_the_batch():
    _, (example,) = load_model_with_input("resnet8", (3, 8, 8), batch=5)
    assert example.shape == (5, 3, 8, 8)
    _, (tokens,) = load_model_with_input("transformer", (7,))
    assert tokens.shape == (1, 7) and tokens.dtype == torch.long


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet2O", {}, "No model 'resnet2O'. Did you mean 'resnet20'?"),
        ("resnet20", {"shortcuts": "pad"}, "has no option 'shortcuts'. Did you mean 'shortcut'?"),
        ("resnet20", {"shortcut": "padd"}, "must be one of projection, pad, but got 'padd'. Did you mean 'pad'?"),
        ("lenet5", {"num_classes": 0}, "`num_classes >= 1` must hold (an integer), but got num_classes=0"),
        ("lenet5", {"activation": "rely"}, "must be one of tanh, relu, but got 'rely'. Did you mean 'relu'?"),
        ("lenet5", {"pool": "min"}, "must be one of average, max, but got 'min'"),
        ("transformer", {"dim": 10, "heads": 4}, "dim must be a multiple of heads"),
        ("absent.py:net", {}, "no such file"),
        ("net.py", {}, "Write net.py:FUNCTION"),
    ],
)
def test_bad_names_and_options(name, options, message):
    with pytest.raises(ConfigError) as caught:
        load_model(name, **options)
    assert message in str(caught.value)


def test_timm_is_optional(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[timm\]'"):
        load_model("timm:resnet18")


USER_FILE = """
import dataclasses
import torch
from torch import nn

def net(width=3):
    return nn.Linear(4, width)

def with_example(width=3):
    return nn.Linear(4, width), (torch.zeros(2, 4),)

def needy(width):
    return nn.Linear(4, width)

def wrong():
    return 3
"""


@pytest.fixture
def user_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(USER_FILE)
    return path


def test_models_from_a_file(user_file):
    assert load_model(f"{user_file}:net", width=5).weight.shape == (5, 4)
    model, (example,) = load_model_with_input(f"{user_file}:with_example")
    assert trace(model, example).macs == 2 * 4 * 3
    model, (example,) = load_model_with_input(f"{user_file}:net", (4,), batch=6)
    assert example.shape == (6, 4)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("nett", {}, "has no function 'nett'. Did you mean 'net'?"),
        ("net", {"widht": 3}, "has no option 'widht'. Did you mean 'width'?"),
        ("net", {}, "has no example input"),
        ("needy", {}, "needs the option 'width'"),
        ("wrong", {}, "but got int"),
        ("with_example", {"batch": 4}, "brings its own example"),
    ],
)
def test_bad_functions_in_a_file(user_file, function, options, message):
    with pytest.raises(ConfigError) as caught:
        load_model_with_input(f"{user_file}:{function}", **options)
    assert message in str(caught.value)


def test_a_file_that_does_not_import(tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    with pytest.raises(ConfigError, match="cannot be imported: ModuleNotFoundError"):
        load_model(f"{tmp_path / 'broken.py'}:net")


# ---- weights from arrays -------------------------------------------------------------------------


def saved(model, path, rename="linear."):
    arrays = {
        key.replace("fc.", rename): value.numpy()
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    np.savez(path, **arrays)
    return arrays


def test_published_arrays_load(tmp_path):
    source, target = (load_model("resnet8", shortcut="pad", seed=seed) for seed in (1, 2))
    saved(source, tmp_path / "weights.npz")
    load_weights(tmp_path / "weights.npz", target)
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value)


def test_published_arrays_load_refuses_other_models(tmp_path):
    saved(load_model("resnet8", shortcut="pad"), tmp_path / "weights.npz")
    with pytest.raises(ConfigError, match=r"lacks 'layer1\.1\.bn1\.bias'"):
        load_weights(tmp_path / "weights.npz", load_model("resnet20", shortcut="pad"))
    with pytest.raises(ConfigError, match=r"'conv1\.weight' must have shape \(16, 1, 3, 3\)"):
        load_weights(tmp_path / "weights.npz", load_model("resnet8", shortcut="pad", in_channels=1))
    (tmp_path / "text.npz").write_text("not arrays")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_weights(tmp_path / "text.npz", load_model("resnet8"))
