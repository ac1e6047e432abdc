"""Compressed models as ONNX files, run by other people's code, read back by our own."""

from __future__ import annotations

import importlib.util
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import TINY_LAYERS, images, tiny_net
from workloads import load_model_with_input, trace_onnx
from workloads.compress import CompressionConfig, LayerChoice, apply, calibrate
from workloads.compress.grid import Grid
from workloads.compress.layers import QuantLayer
from workloads.export import compare_onnx, export_onnx, layer_names, run_onnx
from workloads.export.marking import WeightSite
from workloads.export.norms import scaled
from workloads.export.running import REFERENCE

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
QUANTIZERS = ("minmax", "affine", "symmetric", "dorefa", "pact", "lsq", "lsq+")


def compressed(model, x, bits, **options):
    """Quantized, calibrated, in eval mode."""
    qmodel = apply(model, CompressionConfig.from_bits(bits, **options))
    calibrate(qmodel, x)
    return qmodel.eval()


def tiny(w_bits=4, x=None, **options):
    return compressed(
        tiny_net().eval(), images() if x is None else x, dict.fromkeys(TINY_LAYERS, w_bits), **options
    )


def ops(path):
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("name", ["lenet5", "resnet8", "dscnn"])
def test_onnxruntime_computes_what_we_do(tmp_path, name):
    """A flipped rounding moves an output by a step of one input; anything else would move all of them."""
    pytest.importorskip("onnxruntime")
    model, (x,) = load_model_with_input(name, batch=32)
    qmodel = compressed(
        model.eval(), x, dict.fromkeys(layer_names(model), 8), a_bits=8, quantizer="affine", granularity="channel"
    )
    made = export_onnx(tmp_path / "m.onnx", qmodel, x[:1])
    onnx.checker.check_model(onnx.load(made.path))
    found = compare_onnx(made.path, qmodel, x)
    assert (found.runner, found.count) == ("onnxruntime", len(x))
    assert found.same_top1 >= 31 / 32
    assert found.mean_abs <= 1e-3 * found.spread
    assert found.max_abs <= 1e-2 * found.spread


class Straight(nn.Module):
    """No batch norm: with powers of two as scales, every sum is exact in float32, in any order."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, bias=False)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2, bias=False)
        self.fc = nn.Linear(8 * 9, 4, bias=False)

    def forward(self, x):
        return self.fc(torch.relu(self.conv2(torch.relu(self.conv1(x)))).flatten(1))


@pytest.mark.parametrize("dialect", ["qdq", "qonnx"])
@pytest.mark.parametrize(("w_bits", "a_bits", "rounding"), [(3, 5, "nearest"), (4, 4, "floor"), (8, 2, "nearest")])
def test_equal_to_the_last_bit_where_sums_are_exact(tmp_path, dialect, w_bits, a_bits, rounding):
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        model = Straight().eval()
    x = torch.randint(-40, 40, (5, 1, 8, 8), generator=torch.Generator().manual_seed(0)) / 32
    bits = dict.fromkeys(("conv1", "conv2", "fc"), w_bits)
    qmodel = compressed(model, x, bits, a_bits=a_bits, density=0.5, rounding=rounding)
    with torch.no_grad():
        for layer in qmodel.modules():
            if isinstance(layer, QuantLayer):
                for quantizer in (layer.weight_quantizer, layer.input_quantizer):
                    quantizer.step.copy_(2.0 ** quantizer.step.log2().round())
    path = export_onnx(tmp_path / "m.onnx", qmodel, x[:1], dialect=dialect).path
    theirs, _ = run_onnx(path, (x,))
    assert qmodel(x).abs().max() > 0
    np.testing.assert_array_equal(theirs[0], qmodel(x).detach().numpy())


@pytest.mark.parametrize(("quantizer", "dialect"), list(itertools.product(QUANTIZERS, ["qdq", "qonnx"])))
def test_every_quantizer(tmp_path, quantizer, dialect):
    """Mixed widths, masks off and on the grid, one grid per channel: bits and outputs come back."""
    widths = dict(zip(TINY_LAYERS, (1, 3, 5, 11), strict=True))
    choices = {
        name: LayerChoice(w_bits=bits, a_bits=a_bits, quantizer=quantizer, density=0.6, granularity=granularity)
        for (name, bits), a_bits, granularity in zip(
            widths.items(), (8, 4, 2, 12), ("tensor", "channel", "channel", "tensor"), strict=True
        )
    }
    qmodel = apply(tiny_net().eval(), CompressionConfig(choices))
    calibrate(qmodel, images())
    made = export_onnx(tmp_path / "m.onnx", qmodel, images(1), dialect=dialect)
    found = compare_onnx(made.path, qmodel, images(8, seed=3))
    assert found.max_abs <= 0.05 * found.spread + 1e-6
    assert found.mean_abs <= 0.01 * found.spread + 1e-6
    graph = trace_onnx(made.path, strict=True)
    assert {layer.module: (layer.bits.w, layer.bits.i) for layer in graph.layers} == {
        name: (choice.w_bits, choice.a_bits) for name, choice in choices.items()
    }
    assert {name: (item["w_bits"], item["a_bits"]) for name, item in made.layers.items()} == {
        name: (choice.w_bits, choice.a_bits) for name, choice in choices.items()
    }


def test_weights_are_stored_as_their_codes(tmp_path):
    qmodel = tiny(8, a_bits=8, granularity="channel", density=0.5)
    path = export_onnx(tmp_path / "m.onnx", qmodel, images(1)).path
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    for name in TINY_LAYERS:
        layer = qmodel.get_submodule(name)
        codes = layer.weight_grid().codes(layer.weight) * layer.mask
        assert stored[f"{name}.weight_codes"].dtype == np.int8
        np.testing.assert_array_equal(stored[f"{name}.weight_codes"], codes.numpy())
        assert stored[f"{name}.weight_scale"].shape == (codes.shape[0],)
        assert f"{name}.weight" not in stored


@pytest.mark.parametrize(
    ("quantizer", "w_bits", "kind", "low"),
    [("lsq", 4, "INT4", -8), ("affine", 3, "UINT4", 0), ("symmetric", 6, "INT8", -31), ("affine", 9, "UINT16", 0)],
)
def test_the_narrowest_type_that_onnx_has(tmp_path, quantizer, w_bits, kind, low):
    qmodel = tiny(w_bits, quantizer=quantizer)
    path = export_onnx(tmp_path / "m.onnx", qmodel, images(1)).path
    (codes,) = [t for t in onnx.load(path).graph.initializer if t.name == "block.2.weight_codes"]
    assert codes.data_type == onnx.TensorProto.DataType.Value(kind)
    layer = qmodel.get_submodule("block.2")
    numbers = onnx.numpy_helper.to_array(codes).astype(np.int32)
    np.testing.assert_array_equal(numbers, layer.weight_grid().codes(layer.weight).numpy())
    assert numbers.min() >= low


def test_clip_only_where_codes_do_not_fill_their_type(tmp_path):
    """4 and 8 bits fill a type; 5 are clipped in 8; values of 12 are bounded before they are rounded."""
    widths = dict(zip(TINY_LAYERS, (4, 5, 8, 12), strict=True))
    choices = {name: LayerChoice(w_bits=8, a_bits=bits, quantizer="affine") for name, bits in widths.items()}
    qmodel = apply(tiny_net().eval(), CompressionConfig(choices))
    calibrate(qmodel, images())
    found = ops(export_onnx(tmp_path / "m.onnx", qmodel, images(1)).path)
    assert (found.count("Clip"), found.count("Min")) == (1, 1)


@pytest.mark.parametrize("dialect", ["qdq", "qonnx"])
@pytest.mark.parametrize("quantizer", ["lsq", "affine", "dorefa"])
def test_folded_norms(tmp_path, dialect, quantizer):
    """Scales take the norm in, negative and zero factors too; the outputs stay."""
    model = tiny_net().eval()
    with torch.no_grad():
        model.bn1.weight.copy_(torch.tensor([1.5, -0.7, 0.0, 2.0, -1.0, 0.1, -3.0, 1.0]))
        model.bn1.bias.uniform_(-1, 1)
        model.bn1.running_mean.uniform_(-0.2, 0.2)
        model.bn1.running_var.uniform_(0.5, 2)
    qmodel = compressed(model, images(), dict.fromkeys(TINY_LAYERS, 4), quantizer=quantizer)
    folded = export_onnx(tmp_path / "folded.onnx", qmodel, images(1), dialect=dialect, fold=True)
    assert ("BatchNormalization" in ops(folded.path), folded.folded) == (False, ("conv1",))
    made = [folded]
    if quantizer == "lsq":
        made += [export_onnx(tmp_path / "kept.onnx", qmodel, images(1), dialect=dialect)]
        assert ("BatchNormalization" in ops(made[1].path), made[1].folded) == (True, ())
    for export in made:
        found = compare_onnx(export.path, qmodel, images(8))
        assert found.max_abs <= 1e-5 * max(1.0, found.spread)


@settings(deadline=None, max_examples=30)
@given(
    bits=st.integers(2, 8), zero=st.integers(-3, 3), seed=st.integers(0, 99), affine=st.booleans(),
    factor=st.lists(st.sampled_from([-2.5, -1.0, 0.0, 0.3, 4.0]), min_size=3, max_size=3),
)  # fmt: skip
def test_a_scaled_weight_is_the_weight_times_the_factor(bits, zero, seed, affine, factor):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    codes = torch.randint(low, high + 1, (3, 5), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)
    zero_point = torch.tensor(max(low, min(high, zero)), dtype=torch.int32) if affine else None
    grid = Grid(scale=torch.tensor(0.1), qmin=low, qmax=high, zero_point=zero_point,
                offset=None if affine else torch.tensor(0.05))  # fmt: skip
    site = WeightSite(module="m", grid=grid, bits=bits, codes=codes, kept=None, value=grid.values(codes))
    result = scaled(site, torch.tensor(factor, dtype=torch.float64))
    assert low <= int(result.codes.min()) <= int(result.codes.max()) <= high
    assert bool((result.grid.scale > 0).all())
    torch.testing.assert_close(result.value, site.value * torch.tensor(factor)[:, None], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dialect", ["qdq", "qonnx"])
def test_the_batch_is_open(tmp_path, dialect):
    qmodel = tiny(4, a_bits=4)
    path = export_onnx(tmp_path / "m.onnx", qmodel, images(1), dialect=dialect).path
    assert onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    for count in (1, 3):
        assert compare_onnx(path, qmodel, images(count)).count == count
    fixed = export_onnx(tmp_path / "f.onnx", qmodel, images(3), dialect=dialect, dynamic_batch=False).path
    assert onnx.load(fixed).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 3


def test_qonnx_says_widths_signs_and_two_values(tmp_path):
    choices = {"conv1": LayerChoice(w_bits=1, a_bits=3), "fc": LayerChoice(w_bits=4, quantizer="symmetric")}
    qmodel = apply(tiny_net().eval(), CompressionConfig(choices))
    calibrate(qmodel, images())
    model = onnx.load(export_onnx(tmp_path / "m.onnx", qmodel, images(1), dialect="qonnx").path)
    assert ("qonnx.custom_op.general", 1) in [(o.domain, o.version) for o in model.opset_import]
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes = {n.input[0]: n for n in model.graph.node if n.domain}
    assert nodes["conv1.weight_on_grid"].op_type == "BipolarQuant"
    step = qmodel.conv1.weight_quantizer.step.item()
    np.testing.assert_allclose(stored["conv1.weight_scale"], step / 2)
    narrow = {a.name: a.i for a in nodes["fc.weight_on_grid"].attribute if a.name != "rounding_mode"}
    assert narrow == {"signed": 1, "narrow": 1}
    assert stored[nodes["fc.weight_on_grid"].input[3]] == 4
    stream = next(n for n in nodes.values() if n.input[3:] and stored[n.input[3]] == 3)
    assert {a.name: a.i for a in stream.attribute if a.name != "rounding_mode"} == {"signed": 0, "narrow": 0}


def test_the_qonnx_package_computes_what_we_do(tmp_path, monkeypatch):
    if importlib.util.find_spec("qonnx") is None:
        pytest.skip("qonnx is not installed")
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    qmodel = tiny(3, a_bits=5, granularity="channel", density=0.6)
    x = images(4)
    path = export_onnx(tmp_path / "m.onnx", qmodel, x, dialect="qonnx", dynamic_batch=False).path
    monkeypatch.setattr(onnx, "IR_VERSION", 10)  # of the one-node models that it builds
    wrapper = ModelWrapper(str(path))
    (theirs,) = execute_onnx(wrapper, {wrapper.graph.input[0].name: x.numpy()}).values()
    np.testing.assert_allclose(theirs, qmodel(x).detach().numpy(), atol=1e-5)


def test_without_quantizers_masks_and_float_layers_are_baked_in(tmp_path):
    qmodel = apply(tiny_net().eval(), CompressionConfig({"block.2": LayerChoice(density=0.25)}))
    made = export_onnx(tmp_path / "m.onnx", qmodel, images(1))
    assert made.layers == {}
    assert compare_onnx(made.path, qmodel, images(4)).max_abs <= 1e-6
    graph = trace_onnx(made.path)
    (layer,) = [layer for layer in graph.layers if layer.module == "block.2"]
    assert layer.density.w == 0.25


def test_the_model_stays_as_it_was(tmp_path):
    qmodel = tiny(4, a_bits=8, density=0.5).train()
    before = {key: value.clone() for key, value in qmodel.state_dict().items()}
    export_onnx(tmp_path / "m.onnx", qmodel, images(1), fold=True)
    assert qmodel.training
    assert all(torch.equal(before[key], value) for key, value in qmodel.state_dict().items())
    text = (tmp_path / "m.onnx").read_bytes()
    assert b"stack_trace" not in text


def test_what_cannot_be_exported_says_why(tmp_path):
    config = CompressionConfig.from_bits({"conv1": 4}, a_bits=4)
    with pytest.raises(ConfigError, match=r"'conv1': .*no range yet. Call calibrate"):
        export_onnx(tmp_path / "m.onnx", apply(tiny_net(), config), images(1))
    removed = tiny(4)
    removed.get_submodule("block.2").set_bits(w_bits=0, a_bits=32)
    with pytest.raises(ConfigError, match=r"'block.2' has w_bits=0: it is removed"):
        export_onnx(tmp_path / "m.onnx", removed, images(1))
    with pytest.raises(ConfigError, match=r"must end in \.onnx"):
        export_onnx(tmp_path / "m.pb", tiny(), images(1))
    with pytest.raises(ConfigError, match="Did you mean 'qdq'"):
        export_onnx(tmp_path / "m.onnx", tiny(), images(1), dialect="qdc")
    assert not list(tmp_path.iterdir())


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(x) if x.sum() > 0 else x


def test_what_torch_cannot_export_gives_its_reason(tmp_path):
    qmodel = apply(Branching().eval(), CompressionConfig.from_bits({"fc": 4}))
    with pytest.raises(ConfigError, match=r"torch cannot export Branching to ONNX: .+"):
        export_onnx(tmp_path / "m.onnx", qmodel, torch.rand(2, 4))


def test_a_file_that_computes_something_else_is_noticed(tmp_path):
    """The comparison can fail: one scale doubled."""
    qmodel = tiny(4, a_bits=8)
    path = export_onnx(tmp_path / "m.onnx", qmodel, images(1), dialect="qonnx").path
    assert compare_onnx(path, qmodel, images(8)).runner == REFERENCE
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "fc.weight_on_grid":
            tensor.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(tensor), tensor.name))
    onnx.save(model, path)
    assert compare_onnx(path, qmodel, images(8)).max_abs > 0.1
