"""An ONNX file gives the graph of the PyTorch model that it was exported from."""

from __future__ import annotations

import dataclasses
import logging
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from hwmodel.errors import ConfigError, TraceError
from workloads import load_model, load_model_with_input, trace, trace_onnx
from workloads.tracing import Vector, register_op
from workloads.tracing.ops.rules import _RULES

onnx = pytest.importorskip("onnx")
helper, T = onnx.helper, onnx.TensorProto


def export(model, args, path, *, dynamo=False, **options):
    """Write a model with the TorchScript exporter, or with the dynamo one, quietly."""
    if dynamo:
        pytest.importorskip("onnxscript")
        options["verbose"] = False
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(model.eval(), args, path, dynamo=dynamo, **options)
    finally:
        logging.disable(logging.NOTSET)
    return path


def plain(layers):
    """Layers without their biases: exporters fold batch norm into the convolution before it, which adds one."""
    return [dataclasses.replace(layer, has_bias=False) for layer in layers]


def vector_kinds(graph, *, without=()):
    return [(op.kind, op.elements_in, op.elements_out) for op in graph.vector_ops if op.kind not in without]


def links(graph, *, without=()):
    """Layer -> layers and other ops that read it, past ops of the kinds left out; ports left out."""
    skipped = {op.name for op in graph.vector_ops if op.kind in without}

    def readers(name):
        found = set()
        for reader in graph.digraph.successors(name):
            found |= readers(reader) if reader in skipped else {reader}
        return found

    ports = {name for name, data in graph.digraph.nodes(data=True) if type(data["op"]).__name__ == "Port"}
    return {layer.name: readers(layer.name) - ports for layer in graph.layers}


MODELS = ["lenet5", "resnet8", "resnet20", "resnet18", "resnet50", "mobilenetv2", "dscnn", "vgg16"]


@pytest.mark.parametrize(
    ("name", "dynamo"),
    [*((name, False) for name in MODELS), *((name, True) for name in ("resnet8", "mobilenetv2"))],
)
def test_convolutional_models(tmp_path, name, dynamo):
    model, args = load_model_with_input(name)
    expected = trace(model, *args)
    graph = trace_onnx(export(model, args, tmp_path / f"{name}.onnx", dynamo=dynamo), strict=True)
    assert plain(graph.layers) == plain(expected.layers)
    assert (graph.weights, graph.macs) == (expected.weights, expected.macs)
    assert vector_kinds(graph) == vector_kinds(expected, without=["norm"])
    assert links(graph) == links(expected, without=["norm"])
    assert (graph.route, graph.name) == ("onnx", name)


@pytest.mark.parametrize("dynamo", [False, True])
def test_transformer(tmp_path, dynamo):
    """Layers and their biases, heads and all; `masked_fill` becomes `Where`, the same work."""
    model, args = load_model_with_input("transformer")
    expected = trace(model, *args)
    graph = trace_onnx(export(model, args, tmp_path / "m.onnx", dynamo=dynamo), strict=True)
    assert graph.layers == expected.layers
    assert vector_kinds(graph) == vector_kinds(expected)
    renamed = {
        key: {name.replace("masked_fill", "where") for name in names} for key, names in links(expected).items()
    }
    assert links(graph) == renamed


def test_the_fingerprint_is_that_of_the_model(tmp_path):
    """Where the exporter changes nothing, a configuration made for the one is one for the other."""
    model, args = load_model_with_input("lenet5")
    path = export(model, args, tmp_path / "lenet5.onnx", input_names=["x"])
    assert trace_onnx(path).fingerprint == trace(model, *args).fingerprint


def test_resnet50_by_hand(tmp_path):
    """53 convolutions and a linear layer; He et al., CVPR 2016, table 1, stride on the 3x3 convolutions."""
    model, args = load_model_with_input("resnet50")
    graph = trace_onnx(export(model, args, tmp_path / "m.onnx"))
    macs = 64 * 3 * 49 * 112**2
    inputs = 64
    for stage, (width, blocks) in enumerate(zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True)):
        for block in range(blocks):
            out = 56 // 2**stage
            before = out * 2 if stage and not block else out
            macs += inputs * width * before**2 + 9 * width**2 * out**2 + 4 * width**2 * out**2
            macs += inputs * 4 * width * out**2 if not block else 0
            inputs = 4 * width
    assert [layer.kind for layer in graph.layers].count("conv") == 53
    assert graph.macs == macs + 2048 * 1000
    assert round(graph.macs / 1e9, 2) == 4.09


class Call(nn.Module):
    """A function of the inputs and of some modules and parameters."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args):
        return self.function(self, *args)


def parameter(*shape):
    return nn.Parameter(torch.ones(shape) / 3)


TOYS = {
    "grouped": (
        nn.Sequential(
            nn.Conv2d(8, 12, 3, padding=1, stride=2, groups=4, dilation=2),
            nn.ReLU6(),
            nn.Conv2d(12, 12, (3, 5), groups=12, bias=False),
        ),
        (2, 8, 16, 16),
    ),
    "transposed": (
        nn.Sequential(
            nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, groups=2), nn.Conv2d(4, 2, 1)
        ),
        (1, 6, 7, 7),
    ),
    "conv1d": (
        nn.Sequential(nn.Conv1d(3, 8, 5, padding=2, stride=2), nn.ReLU(), nn.ConvTranspose1d(8, 4, 4, 2)),
        (1, 3, 32),
    ),
    "conv3d": (nn.Sequential(nn.Conv3d(2, 4, (2, 3, 3)), nn.MaxPool3d(2)), (1, 2, 6, 8, 8)),
    "same": (Call(lambda m, x: m.c(x), c=nn.Conv2d(3, 4, 4, padding="same")), (1, 3, 9, 9)),
    "twice": (
        Call(lambda m, x: m.r(m.c(m.r(m.c(x)))), c=nn.Conv2d(4, 4, 3, padding=1), r=nn.ReLU()),
        (1, 4, 8, 8),
    ),
    "concat": (
        Call(lambda m, x: torch.cat([m.c(x), x[:, :2]], 1).mean((2, 3)), c=nn.Conv2d(3, 4, 3, padding=1)),
        (1, 3, 8, 8),
    ),
    "functional": (
        Call(lambda m, x: functional.conv2d(x, m.w, m.b, padding=1), w=parameter(4, 3, 3, 3), b=parameter(4)),
        (1, 3, 8, 8),
    ),
    "batched weight": (Call(lambda m, x: x @ m.w, w=parameter(3, 5, 6)), (2, 3, 4, 5)),
    "weight on the left": (Call(lambda m, x: m.w @ x, w=parameter(7, 5)), (2, 5, 4)),
    "view": (Call(lambda m, x: m.fc(x.view(x.size(0), -1)), fc=nn.Linear(48, 10)), (2, 3, 4, 4)),
    "three dims": (nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2, bias=False)), (2, 3, 6)),
    "einsum": (Call(lambda m, x: torch.einsum("bhid,bhjd->bhij", x, x * 2)), (2, 3, 4, 5)),
    "resize": (
        nn.Sequential(
            nn.Conv2d(3, 4, 1),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.AvgPool2d(3, 2, 1),
            nn.PixelShuffle(2),
            nn.Hardswish(),
        ),
        (1, 3, 8, 8),
    ),
}


@pytest.mark.parametrize("name", TOYS)
def test_toys(tmp_path, name):
    model, shape = TOYS[name]
    x = torch.zeros(shape)
    expected = trace(model, x)
    graph = trace_onnx(export(model, (x,), tmp_path / "m.onnx"), strict=True)
    assert plain(graph.layers) == plain(expected.layers)
    assert vector_kinds(graph) == vector_kinds(expected)
    assert links(graph) == links(expected)


def test_ops_without_macs(tmp_path):
    """Kinds of the vector ops that stand for a chain of ONNX ops, one after the other."""
    ops = {
        "Sigmoid": "activation", "LeakyRelu": "activation", "HardSwish": "activation", "Erf": "elementwise",
        "Softmax": "softmax", "LogSoftmax": "softmax", "LpNormalization": "reduce mul", "Neg": "elementwise",
        "ArgMax": "reduce", "ReduceL2": "reduce", "ReduceProd": "reduce", "Mean": "", "Trilu": "copy",
        "GlobalMaxPool": "pool", "ReduceSumSquare": "mul reduce", "ReduceL1": "elementwise reduce",
    }  # fmt: skip
    for op, kinds in ops.items():
        path = save(tmp_path / "m.onnx", [node("Relu", "x", "r"), node(op, "r", "y")], {"x": (2, 3, 4, 4)})
        graph = trace_onnx(path, strict=True)
        assert " ".join(item.kind for item in graph.vector_ops) == f"activation {kinds}".strip(), op


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent(tmp_path, kind, bidirectional):
    steps, batch, features, hidden, gates = 4, 2, 5, 7, {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}[kind]
    model = Call(lambda m, x: m.net(x)[0], net=kind(features, hidden, num_layers=2, bidirectional=bidirectional))
    x = torch.zeros(steps, batch, features)
    graph = trace_onnx(export(model, (x,), tmp_path / "m.onnx"), strict=True)
    directions = 2 if bidirectional else 1
    inputs = features + hidden * directions  # of the first layer and of the second
    assert graph.macs == steps * batch * gates * hidden * directions * (inputs + 2 * hidden)
    assert plain(graph.layers) == plain(trace(model, x).layers)


def test_attention_heads(tmp_path):
    """nn.MultiheadAttention, decomposed by the exporter, by hand: B batch, L rows, D features, H heads."""
    B, L, D, H = 2, 5, 16, 4
    model = Call(lambda m, x: m.attn(x, x, x)[0], attn=nn.MultiheadAttention(D, H, batch_first=True))
    graph = trace_onnx(export(model, (torch.zeros(B, L, D),), tmp_path / "m.onnx"), strict=True)
    assert graph.macs == 4 * B * L * D * D + 2 * B * L * L * D
    assert graph.weights == {"attn": 3 * D * D, "attn.out_proj": D * D}
    assert [layer.dims.G for layer in graph.layers if layer.kind == "matmul"] == [B * H, B * H]


def test_pruned_weights_keep_their_density(tmp_path):
    model, args = load_model_with_input("lenet5")
    with torch.no_grad():
        model.fc1.weight[: 84 // 4] = 0
    graph = trace_onnx(export(model, args, tmp_path / "m.onnx"))
    assert graph.layer("fc1").density.w == 1 - 21 / 84
    assert graph.layer("fc2").density.w == 1.0


# ---- graphs made by hand -----------------------------------------------------------------------


def save(path, nodes, inputs, initializers=None, *, outputs=("y",), opset=21, domains=(), functions=()):
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(name, T.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, T.FLOAT, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in (initializers or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, functions=list(functions)), path)
    return path


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"n_{outputs.split()[0]}", **attributes)


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize("flat", [False, True])
def test_attention_op(tmp_path, flat):
    """Attention of op set 23 with fewer heads of keys than of queries: B, H over J heads, L rows over S keys."""
    B, H, J, L, S, D = 2, 4, 2, 6, 8, 5
    shapes = {"q": (B, H, L, D), "k": (B, J, S, D), "v": (B, J, S, D)}
    if flat:
        shapes = {"q": (B, L, H * D), "k": (B, S, J * D), "v": (B, S, J * D)}
    heads = {"q_num_heads": H, "kv_num_heads": J} if flat else {}
    path = save(tmp_path / "m.onnx", [node("Attention", "q k v", "y", **heads)], shapes, opset=23)
    graph = trace_onnx(path, strict=True)
    assert graph.macs == 2 * B * H * L * S * D
    assert [layer.dims.G for layer in graph.layers] == [B * J, B * J]


@pytest.mark.parametrize(
    ("op", "inputs", "weights", "attributes", "macs"),
    [
        ("MultiHeadAttention", "x x x", {}, {"num_heads": 4}, 2 * 2 * 5 * 5 * 16),
        ("Attention", "x w b", {"w": ones(16, 48), "b": ones(48)}, {"num_heads": 4},
         2 * 5 * 16 * 48 + 2 * 2 * 5 * 5 * 16),
        ("FusedMatMul", "x w", {"w": ones(7, 16)}, {"transB": 1}, 2 * 5 * 16 * 7),
        ("SkipLayerNormalization", "x x g b", {"g": ones(16), "b": ones(16)}, {}, 0),
        ("FastGelu", "x", {}, {}, 0),
    ],
)  # fmt: skip
def test_fused_ops(tmp_path, op, inputs, weights, attributes, macs):
    fused = node(op, inputs, "y", domain="com.microsoft", **attributes)
    path = save(tmp_path / "m.onnx", [fused], {"x": (2, 5, 16)}, weights, domains=["com.microsoft"])
    assert trace_onnx(path, strict=True).macs == macs


def test_names_of_other_exporters(tmp_path):
    """Without PyTorch's marks a node is its own module; two nodes may share a weight."""
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["a"], name="block/conv/Conv2D", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"], name="block/relu"),
        helper.make_node("Conv", ["r", "kernel"], ["y"], name="block/again/Conv2D"),
    ]
    graph = trace_onnx(save(tmp_path / "m.onnx", nodes, {"x": (1, 4, 8, 8)}, {"kernel": ones(4, 4, 3, 3)}))
    assert [node.name for node in graph.nodes] == [
        "x", "block/conv/Conv2D", "block/relu", "block/conv/Conv2D#2", "output"
    ]  # fmt: skip
    assert graph.weights == {"block/conv/Conv2D": 4 * 4 * 9}


def test_two_weights_of_one_module_stay_two(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "onnx::MatMul_1"], ["a"], name="/mix/MatMul"),
        helper.make_node("MatMul", ["a", "onnx::MatMul_2"], ["y"], name="/mix/MatMul_1"),
    ]
    weights = {"onnx::MatMul_1": ones(3, 5), "onnx::MatMul_2": ones(5, 7)}
    graph = trace_onnx(save(tmp_path / "m.onnx", nodes, {"x": (2, 3)}, weights))
    assert graph.weights == {"mix": 3 * 5 + 5 * 7}


def test_functions_are_inlined(tmp_path):
    body = helper.make_function(
        "local", "block", ["a", "w"], ["b"], [node("MatMul", "a w", "m"), node("Relu", "m", "b")],
        [helper.make_opsetid("", 21)],
    )  # fmt: skip
    nodes = [node("block", "x w", "h", domain="local"), node("block", "h w", "y", domain="local")]
    path = save(tmp_path / "m.onnx", nodes, {"x": (2, 3)}, {"w": ones(3, 3)}, domains=["local"], functions=[body])
    assert trace_onnx(path, strict=True).macs == 2 * (2 * 3 * 3)


@pytest.mark.parametrize(("taken", "macs"), [(True, 2 * 3 * 4), (False, 2 * 3 * 5)])
def test_a_branch_that_is_decided(tmp_path, taken, macs):
    branches = {
        name: helper.make_graph([node("MatMul", f"x {weight}", f"{name}_y")], name, [],
                                [helper.make_tensor_value_info(f"{name}_y", T.FLOAT, None)])
        for name, weight in (("then_branch", "w4"), ("else_branch", "w5"))
    }  # fmt: skip
    nodes = [node("If", "c", "y", **branches)]
    weights = {"c": np.array(taken), "w4": ones(3, 4), "w5": ones(3, 5)}
    assert trace_onnx(save(tmp_path / "m.onnx", nodes, {"x": (2, 3)}, weights), strict=True).macs == macs


def test_a_loop_is_said_to_be_uncounted(tmp_path):
    """Its body is not run; what it reads from outside keeps it, and the layers behind it, in the graph."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("MatMul", "h w", "next"), node("Identity", "going", "still")],
        "body",
        [value("i", T.INT64, []), value("going", T.BOOL, []), value("state", T.FLOAT, [2, 3])],
        [value("still", T.BOOL, []), value("next", T.FLOAT, [2, 3])],
    )
    nodes = [
        node("Relu", "x", "h"),
        node("Loop", "count yes start", "end", body=body),
        node("MatMul", "end w", "y"),
    ]
    weights = {"count": np.int64(4), "yes": np.array(True), "start": ones(2, 3), "w": ones(3, 3)}
    graph = trace_onnx(save(tmp_path / "m.onnx", nodes, {"x": (2, 3)}, weights), shapes={"end": (2, 3)})
    assert [(item.op, item.calls) for item in graph.uncounted] == [("onnx::Loop", 1)]
    assert (graph.macs, graph.is_lower_bound) == (2 * 3 * 3, True)
    assert "n_h" in {item.name for item in graph.nodes}


def test_shapes_that_are_computed(tmp_path):
    """Shape -> Gather -> Concat -> Reshape: known before the network runs, whatever the batch."""
    nodes = [
        node("Shape", "x", "s"), node("Gather", "s zero", "b", axis=0), node("Unsqueeze", "b zeros", "b1"),
        node("Concat", "b1 rest", "t", axis=0), node("Reshape", "x t", "f"), node("Gemm", "f w", "y"),
    ]  # fmt: skip
    weights = {"zero": np.int64(0), "zeros": np.array([0]), "rest": np.array([-1]), "w": ones(12, 5)}
    path = save(tmp_path / "m.onnx", nodes, {"x": ["N", 3, 2, 2]}, weights)
    assert trace_onnx(path, strict=True).macs == 12 * 5
    assert trace_onnx(path, shapes={"N": 7}, strict=True).macs == 7 * 12 * 5


@pytest.mark.parametrize(
    "shapes", [{"x": (2, 9, 4)}, {"": (2, 9, 4)}, {"batch": 2, "time": 9}, {"x": (2, 9, 4), "time": 9}]
)
def test_symbols(tmp_path, shapes):
    path = save(tmp_path / "m.onnx", [node("MatMul", "x w", "y")], {"x": ["batch", "time", 4]}, {"w": ones(4, 3)})
    assert trace_onnx(path, shapes=shapes).macs == 2 * 9 * 4 * 3


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, r"input 'x' has the shape \(batch, time, 4\): dim 1 is not known.*--input x=1,N,4.*--input time=N"),
        ({"xx": (1, 9, 4)}, r"'xx' is no input of the network. Did you mean 'x'\?"),
        ({"x": (1, 9)}, r"must have 3 dims, \(batch, time, 4\), but got \(1, 9\)"),
        ({"x": (1, 9, 5)}, r"must have the shape \(batch, time, 4\), but got \(1, 9, 5\): dim 2 is fixed"),
        ({"x": (1, 0, 4)}, r"every dim must be an integer >= 1"),
        ({"x": (1, 9, 4), "time": 8}, r"'time' is 8"),
    ],
)
def test_shapes_that_do_not_fit(tmp_path, shapes, message):
    path = save(tmp_path / "m.onnx", [node("MatMul", "x w", "y")], {"x": ["batch", "time", 4]}, {"w": ones(4, 3)})
    with pytest.raises(TraceError, match=message):
        trace_onnx(path, shapes=shapes)


def custom(tmp_path, **options):
    """A convolution, an op of somebody's domain, a linear layer."""
    nodes = [
        node("Conv", "x w", "a"), node("Warp", "a", "b", domain="com.acme"), node("Flatten", "b", "f"),
        node("Gemm", "f v", "y"),
    ]  # fmt: skip
    weights = {"w": ones(2, 3, 3, 3), "v": ones(2 * 6 * 6, 5)}
    return save(tmp_path / "m.onnx", nodes, {"x": (1, 3, 8, 8)}, weights, domains=["com.acme"], **options)


def test_an_op_without_a_rule(tmp_path):
    """Its shape is asked for; then it is said, and in strict mode refused."""
    path = custom(tmp_path)
    with pytest.raises(TraceError, match=r"n_b.*no rule, and the shape of its output 'b' is not in the file"):
        trace_onnx(path)
    graph = trace_onnx(path, shapes={"b": (1, 2, 6, 6)})
    assert [(item.op, item.calls) for item in graph.uncounted] == [("com_acme::Warp", 1)]
    assert graph.is_lower_bound and graph.macs == 2 * 3 * 9 * 36 + 72 * 5
    with pytest.raises(TraceError, match="com_acme::Warp"):
        trace_onnx(path, shapes={"b": (1, 2, 6, 6)}, strict=True)


def test_a_registered_op_is_priced(tmp_path):
    register_op("com_acme::Warp", Vector(kind="resize", ops=3))
    try:
        graph = trace_onnx(custom(tmp_path), shapes={"b": (1, 2, 6, 6)}, strict=True)
    finally:
        del _RULES["com_acme::Warp"]
    (op,) = graph.vector_ops
    assert (op.kind, op.elements_out, op.ops_per_element) == ("resize", 72, 3.0)


def test_shapes_agree_with_onnx(tmp_path):
    """The shapes on the edges are those that onnx.shape_inference finds, an independent implementation."""
    model, args = load_model_with_input("mobilenetv2")
    path = export(model, args, tmp_path / "m.onnx")
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True).graph.value_info
    theirs = {tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in inferred}
    graph = trace_onnx(path)
    ours = {data["tensor"].shape for _, target, data in graph.digraph.edges(data=True) if target != "output"}
    assert ours - {(1, 3, 224, 224)} <= theirs


# ---- weights that are absent, files that are not ONNX ------------------------------------------


def test_weights_may_be_absent(tmp_path):
    """External data that was not copied, initializers whose data was cleared, weights listed as inputs."""
    model, args = load_model_with_input("resnet8")
    path = export(model, args, tmp_path / "m.onnx")
    expected = trace_onnx(path)
    loaded = onnx.load(path)
    onnx.save_model(
        loaded, tmp_path / "external.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    whole = trace_onnx(tmp_path / "external.onnx", name="m")
    (tmp_path / "w.bin").unlink()
    alone = trace_onnx(tmp_path / "external.onnx", name="m")

    stripped = onnx.load(path)
    for tensor in stripped.graph.initializer:
        tensor.ClearField("raw_data")
    onnx.save(stripped, tmp_path / "stripped.onnx")

    listed = onnx.load(path)
    for tensor in list(listed.graph.initializer):
        listed.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    del listed.graph.initializer[:]
    onnx.save(listed, tmp_path / "listed.onnx")
    for graph in (whole, alone, trace_onnx(tmp_path / "stripped.onnx", name="m")):
        assert graph.to_dict() == expected.to_dict()
    assert trace_onnx(tmp_path / "listed.onnx").macs == expected.macs


def test_a_removed_weight_may_be_given(tmp_path):
    path = save(tmp_path / "m.onnx", [node("MatMul", "x w", "y")], {"x": (2, 3)})
    with pytest.raises(TraceError, match=r"reads 'w', which nothing writes before"):
        trace_onnx(path)
    assert trace_onnx(path, shapes={"w": (3, 5)}).macs == 2 * 3 * 5


def external(tmp_path, **entries):
    """A product whose weight lies in an external file, as `entries` say."""
    path = save(tmp_path / "m.onnx", [node("MatMul", "x w", "y")], {"x": (2, 3)}, {"w": ones(3, 5)})
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    onnx.save(model, path)
    (tmp_path / "w.bin").write_bytes(np.arange(15, dtype=np.float32).tobytes())
    (tmp_path / "link.bin").symlink_to(tmp_path / "w.bin")
    return path


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd"])
def test_external_data_stays_in_the_folder(tmp_path, location):
    with pytest.raises(ConfigError, match=r"'w' lies at .*, but must lie in the folder"):
        trace_onnx(external(tmp_path, location=location))


@pytest.mark.parametrize(
    ("entries", "density"),
    [
        ({"location": "w.bin"}, 14 / 15),
        ({"location": "w.bin", "offset": "0", "length": "60"}, 14 / 15),
        ({"location": "w.bin", "length": "lots"}, 1),
        ({"location": "w.bin", "offset": "-5"}, 1),
        ({"location": "w.bin", "offset": "32", "length": "60"}, 1),
        ({"location": "absent.bin"}, 1),
        ({"location": "link.bin"}, 1),
        ({}, 1),
    ],
)
def test_external_data_that_cannot_be_read_is_absent(tmp_path, entries, density):
    assert trace_onnx(external(tmp_path, **entries)).layers[0].density.w == density


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"import torch\nprint('no model')\n", "is not an ONNX file"),
        (b"\x00" * 4096, "is not an ONNX file"),
        (b"PK\x03\x04" + b"\x01" * 200, "is not an ONNX file"),
        (b"\x08", "is truncated"),
        (b"\x08\x0a", "holds no graph"),
        (b"\x08\x0a\x3a\x02\xff\xff", "is damaged"),
        (b"\x08\x0a\x3a\x00", "has no node"),
        (b"\x08" + b"\xff" * 20, "is truncated"),
        (b"\x08\x0a" * 600_000, "is not an ONNX file"),
    ],
)
def test_files_that_are_not_onnx(tmp_path, content, message):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        trace_onnx(path)
    assert str(caught.value).startswith(str(path))


def test_a_truncated_file(tmp_path):
    """Cut anywhere: never a stack trace of protobuf, never a graph."""
    model, args = load_model_with_input("lenet5")
    whole = export(model, args, tmp_path / "m.onnx").read_bytes()
    for part in (0.001, 0.1, 0.5, 0.9, 0.9999):
        (tmp_path / "cut.onnx").write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(ConfigError, match=r"truncated|not ONNX|no graph"):
            trace_onnx(tmp_path / "cut.onnx")


@pytest.mark.parametrize(("size", "message"), [(2**31, "at most"), (2**31 - 1, "truncated|is not an ONNX file")])
@pytest.mark.parametrize("start", [b"", b"\x08\x0a\x3a\x04"])
def test_a_file_of_two_gigabytes_is_refused_unread(tmp_path, monkeypatch, size, message, start):
    path = tmp_path / "big.onnx"
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)  # sparse: takes no space
    monkeypatch.setattr(type(path), "read_bytes", lambda self: pytest.fail("the file was read"))
    with pytest.raises(ConfigError, match=message):
        trace_onnx(path)


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        trace_onnx(tmp_path / "absent.onnx")
    with pytest.raises(ConfigError, match="is a folder"):
        trace_onnx(tmp_path)


def test_nodes_that_do_not_fit(tmp_path):
    """The node, its shapes and the reason; no stack trace of torch."""
    path = save(tmp_path / "m.onnx", [node("MatMul", "x w", "y")], {"x": (2, 4)}, {"w": ones(3, 5)})
    with pytest.raises(TraceError, match=r"n_y.*\(MatMul\) fails on inputs of the shapes \(2, 4\), \(3, 5\)"):
        trace_onnx(path)


def test_an_onnx_file_is_not_trained():
    with pytest.raises(ConfigError, match="give the PyTorch model for that"):
        load_model("resnet.onnx")
