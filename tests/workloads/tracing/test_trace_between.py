"""What lies between the MACs of traced models: pools, norms, padding and concatenations, priced."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn

from hwmodel import LayerGraph, evaluate, load_accelerator
from hwmodel.network.attention import fused_attentions
from hwmodel.network.layout import in_place
from tests.hwmodel.chips import without_residents
from workloads import trace
from workloads.onnx_import import trace_onnx
from workloads.tracing import trace_model

onnx = pytest.importorskip("onnx")

BYTE = 8


class Pooled(nn.Module):
    """3 x 32 x 32 -> 16 x 32 x 32 -> batch norm -> ReLU -> max pool 2 -> 1x1."""

    def __init__(self, *, skips: bool = False) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.pool, self.point = nn.MaxPool2d(2), nn.Conv2d(16, 8, 1)
        self.skips = skips

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        before = torch.relu(self.norm(self.conv(x)))
        after = self.point(self.pool(before))
        return (after, before) if self.skips else after


def test_a_traced_pool_is_fused_behind_its_convolution():
    whole, pooled = 16 * 32 * 32, 16 * 16 * 16
    npu = without_residents("edge_npu")
    graph = trace(Pooled(), torch.zeros(1, 3, 32, 32))
    cost = evaluate(graph, npu)
    assert cost.layers[0].traffic_bits["dram", "O"] == pooled * BYTE == 4_096 * BYTE
    assert cost.layers[0].traffic_bits["dram", "vector"] == 0
    assert cost.activation_bits == 7_168 * BYTE
    apart = evaluate(graph, npu, fuse=False).layers[0]
    assert apart.traffic_bits["dram", "O"] == whole * BYTE
    assert apart.traffic_bits["dram", "vector"] == 20_480 * BYTE
    kept = evaluate(trace(Pooled(skips=True), torch.zeros(1, 3, 32, 32)), npu).layers[0]
    assert kept.traffic_bits["dram", "O"] == whole * BYTE
    assert kept.traffic_bits["dram", "vector"] == 20_480 * BYTE


def stored_rows(conv: nn.Module, x: torch.Tensor) -> int:
    """Input elements that some output depends on, or that lie between such: by gradients, and so not by formula."""
    x = x.clone().requires_grad_()
    weight = next(conv.parameters())
    nn.init.ones_(weight)
    conv(x).sum().backward()
    read = x.grad[0, 0] != 0
    rows, columns = read.any(-1).nonzero()[:, 0], read.any(-2).nonzero()[:, 0]
    return int(rows.max() - rows.min() + 1) * int(columns.max() - columns.min() + 1) * x[:, :, 0, 0].numel()


@pytest.mark.parametrize(
    ("conv", "size"),
    [
        (lambda: nn.Conv2d(2, 3, 3, padding=1), (7, 7)),
        (lambda: nn.Conv2d(2, 3, 7, padding=3, stride=2), (20, 17)),
        (lambda: nn.Conv2d(2, 3, (2, 4), padding="same"), (6, 5)),
        (lambda: nn.Conv2d(2, 3, (4, 2), padding="same", dilation=(1, 3)), (9, 8)),
        (lambda: nn.Conv2d(2, 2, 3, padding=(0, 2), dilation=2, groups=2), (9, 4)),
        (lambda: nn.Conv2d(2, 3, 3, padding="valid"), (5, 6)),
    ],
)
@pytest.mark.parametrize("form", ["export", "dispatch", "onnx"])
def test_the_stored_input_is_what_the_outputs_depend_on(conv, size, form, tmp_path):
    torch.manual_seed(0)
    model, x = nn.Sequential(conv()), torch.zeros(1, 2, *size)
    if form == "onnx":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(model.eval(), (x,), tmp_path / "model.onnx", dynamo=False)
        (layer,) = trace_onnx(tmp_path / "model.onnx").layers
    else:
        (layer,) = trace_model(model, (x,), route=form).layers
    assert layer.stored_inputs == stored_rows(model, x)


def test_padding_along_one_axis():
    conv = nn.Conv1d(2, 3, 3, padding=1, stride=2)
    (layer,) = trace(
        conv, torch.zeros(1, 2, 8)
    ).layers  # outputs at -1, 1, 3, 5: the zero at the end is not reached
    assert layer.padding == ((0, 0), (1, 0))
    assert layer.stored_inputs == 2 * 8


def test_rows_that_a_stride_skips_are_moved_with_the_others():
    """Outputs of a 1x1 filter lie at -2, 1 and 4: row 0 lies between the first two, so 5 rows move (Timeloop's)."""
    (layer,) = trace(nn.Conv2d(2, 3, 1, padding=2, stride=3), torch.zeros(1, 2, 5, 5)).layers
    assert layer.padding == ((2, 0), (2, 0))
    assert layer.stored_inputs == 2 * 5 * 5


def test_512_channels_of_7x7():
    (layer,) = trace(nn.Conv2d(512, 512, 3, padding=1), torch.zeros(1, 512, 7, 7)).layers
    assert (layer.stored_inputs, layer.elements("I")) == (25_088, 41_472)


def asymmetric(op: str, **attributes: object) -> Any:
    """One node on x (1, 2, 7, 7), which a weight (3, 2, 3, 3) follows where it is a convolution."""
    float_type = onnx.TensorProto.FLOAT
    inputs = ["x"] if op == "MaxPool" else ["x", "w"]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, inputs, ["y"], name=op, **attributes)],
        "g",
        [onnx.helper.make_tensor_value_info("x", float_type, (1, 2, 7, 7))],
        [onnx.helper.make_tensor_value_info("y", float_type, None)],
        [onnx.helper.make_tensor("w", float_type, (3, 2, 3, 3), [1.0] * 54)] if op == "Conv" else [],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])


def test_onnx_pads_more_on_one_side(tmp_path):
    """7 rows and two zeros below, a zero and 7 columns, 3 taps at stride 2."""
    path = tmp_path / "model.onnx"
    onnx.save(asymmetric("Conv", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 2, 0]), path)
    (layer,) = trace_onnx(path).layers  # rows 7 + 2: four outputs reach 9; columns 1 + 7: three reach 7
    assert layer.padding == ((0, 2), (1, 0))
    assert layer.stored_inputs == 2 * 7 * 6
    onnx.save(asymmetric("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 2, 0]), path)
    (pool,) = trace_onnx(path).vector_ops
    assert pool.elements_in == 2 * 7 * 7


class Normed(nn.Module):
    """A layer, then a norm over what it makes."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 16, 1), norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.norm(y.flatten(2).transpose(1, 2) if isinstance(self.norm, (nn.LayerNorm, nn.RMSNorm)) else y)


@pytest.mark.parametrize(
    ("norm", "elements"),
    [
        (lambda: nn.LayerNorm(16), 16 + 16),
        (lambda: nn.LayerNorm(16, bias=False), 16),
        (lambda: nn.LayerNorm(16, elementwise_affine=False), 0),
        (lambda: nn.RMSNorm(16), 16),
        (lambda: nn.GroupNorm(4, 16), 16 + 16),
        (lambda: nn.GroupNorm(4, 16, affine=False), 0),
        (lambda: nn.InstanceNorm2d(16, affine=True), 16 + 16),
    ],
)
@pytest.mark.parametrize("route", ["export", "dispatch", "hooks"])
def test_a_norm_reads_its_weights(norm, elements, route):
    """As 32-bit floats, beside its input and its output, which 8 bits hold."""
    graph = trace_model(Normed(norm()), (torch.zeros(1, 4, 6, 6),), route=route)
    (op,) = graph.vector_ops
    assert op.parameters == elements
    cost = evaluate(graph, without_residents("edge_npu")).layers[0]
    assert cost.traffic_bits["dram", "vector"] == 2 * 16 * 36 * 8 + elements * 32
    assert LayerGraph.from_json(graph.to_json()).vector_ops == (op,)


@pytest.mark.parametrize("route", ["export", "dispatch", "hooks"])
def test_a_batch_norm_is_folded_where_a_layer_alone_feeds_it(route):
    """Before the layer, a scale and a shift for each of 4 channels are read; behind it they are in its weights."""
    behind = trace_model(Normed(nn.BatchNorm2d(16)), (torch.zeros(1, 4, 6, 6),), route=route)
    assert behind.vector_ops[0].parameters == 2 * 16
    assert evaluate(behind, without_residents("edge_npu")).layers[0].traffic_bits["dram", "vector"] == 0
    before = trace_model(
        nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 16, 1)), (torch.zeros(1, 4, 6, 6),), route=route
    )
    cost = evaluate(before, without_residents("edge_npu")).layers[0]
    assert cost.traffic_bits["dram", "vector"] == 2 * 4 * 36 * 8 + 2 * 4 * 32


class Spelled(nn.Module):
    """RMSNorm as Llama writes it, and a table of positions that is added."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.weight = nn.Linear(4, 16), nn.Parameter(torch.ones(16))
        self.position = nn.Parameter(torch.zeros(1, 10, 16))
        self.register_buffer("mask", torch.zeros(10, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc(x) + self.position + self.mask
        return self.weight * (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6))


@pytest.mark.parametrize("route", ["export", "dispatch"])
def test_other_learned_tensors_are_read_too(route):
    graph = trace_model(Spelled(), (torch.zeros(1, 10, 4),), route=route)
    assert sorted(op.parameters for op in graph.vector_ops if op.parameters) == [16, 160]


def test_onnx_norms_read_their_weights(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for norm, elements in ((nn.LayerNorm(16), 32), (nn.InstanceNorm2d(16, affine=True), 32)):
            torch.onnx.export(
                Normed(norm).eval(), (torch.zeros(1, 4, 6, 6),), tmp_path / "m.onnx", dynamo=False, opset_version=17
            )
            graph = trace_onnx(tmp_path / "m.onnx")
            assert sum(op.parameters for op in graph.vector_ops) == elements


class UNet(nn.Module):
    """Two levels: 8 x 32 x 32, its half, and back; the skip and what comes up are concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.pool = nn.Conv2d(1, 8, 3, padding=1), nn.MaxPool2d(2)
        self.middle, self.up = nn.Conv2d(8, 8, 3, padding=1), nn.Upsample(scale_factor=2)
        self.last = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = torch.relu(self.down(x))
        return self.last(torch.cat([skip, self.up(self.middle(self.pool(skip)))], 1))


class Dense(nn.Module):
    """Three layers of a DenseNet without norms: each reads all that came before."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(4 * n if n else 4, 4, 3, padding=1) for n in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: list[torch.Tensor] = [self.layers[0](x)]
        for layer in list(self.layers)[1:]:
            made.append(layer(torch.cat(made, 1) if len(made) > 1 else made[0]))
        return torch.cat(made, 1)


class Inception(nn.Module):
    """Branches of 4, 8 and 2 channels side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(4, width, 1) for width in (4, 8, 2))
        self.last = nn.Conv2d(14, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([torch.relu(branch(x)) for branch in self.branches], 1))


@pytest.mark.parametrize("route", ["export", "dispatch"])
def test_concatenations_of_a_unet_a_densenet_and_an_inception_block_are_in_place(route):
    npu = without_residents("edge_npu")
    for model, size, peak in (
        # while the last convolution runs: 16 x 32 x 32 read, as much written
        (UNet(), (1, 1, 32, 32), 2 * 16 * 1024),
        # while the last layer runs: 12 channels read, 4 written, and these 16 are the output
        (Dense(), (1, 4, 32, 32), 16 * 1024),
        (Inception(), (1, 4, 32, 32), 18 * 1024),
    ):
        graph = trace_model(model, (torch.zeros(size),), route=route)
        concats = [op for op in graph.vector_ops if op.kind == "concat"]
        assert set(in_place(graph)) == {op.name for op in concats} != set()
        cost = evaluate(graph, npu)
        assert cost.activation_bits == peak * 8
        copied = evaluate(graph, npu, fuse=False)
        moved = [
            sum(item.traffic_bits.get(("dram", "vector"), 0.0) for item in found.layers) for found in (cost, copied)
        ]
        assert moved[1] - moved[0] == sum(2 * op.elements_out for op in concats) * 8
        copy = sum(op.elements_out for op in concats[-1:])
        assert copied.activation_bits == max(peak, 2 * copy) * 8  # while the last is copied


class Joined(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.a, self.b, self.how = nn.Linear(4, 4), nn.Linear(4, 4), how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.a(x), self.b(x)
        if self.how == "features":
            return torch.cat([a, b], -1)
        if self.how == "input":
            return torch.cat([a, x], 1)
        if self.how == "halves":
            return torch.cat([a[..., 2:], a[..., :2]], 1)
        if self.how == "stack":
            return torch.stack([a, b])
        return torch.cat([a, b], 1)


@pytest.mark.parametrize(
    ("how", "lies"), [("tokens", True), ("stack", True), ("features", False), ("halves", False), ("input", False)]
)
def test_pieces_are_whole_tensors_along_an_outer_axis(how, lies):
    graph = trace(Joined(how), torch.zeros(2, 5, 4))
    last = next(op for op in reversed(graph.vector_ops) if op.kind == "concat")
    assert (last.name in in_place(graph)) is lies


class Attends(nn.Module):
    """Torch's own attention; with `need_weights` its result holds the mean of the softmax over the heads."""

    def __init__(self, *, weights: bool) -> None:
        super().__init__()
        self.attention, self.weights = nn.MultiheadAttention(64, 4, batch_first=True), weights

    def forward(self, x: torch.Tensor) -> Any:
        found = self.attention(x, x, x, need_weights=self.weights)
        return found if self.weights else found[0]


class Causal(nn.Module):
    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def test_a_traced_attention_is_one_kernel_unless_its_weights_are_asked_for():
    tokens = torch.zeros(2, 10, 64)
    assert len(fused_attentions(trace(Attends(weights=False), tokens))) == 1
    assert fused_attentions(trace(Attends(weights=True), tokens)) == ()
    graph = trace(Causal(), *(torch.zeros(2, 4, 10, 16) for _ in "qkv"))
    (found,) = fused_attentions(graph)
    kinds = [graph.digraph.nodes[name]["op"].kind for name in found.between]
    assert kinds[-1] == "softmax" and len(kinds) == 2
    scores, mix = evaluate(graph, load_accelerator("a100")).layers
    words = 2 * 4 * 10 * 16
    traffic = [scores.traffic_bits["hbm2e", o] for o in "WIO"] + [mix.traffic_bits["hbm2e", o] for o in "WIO"]
    assert traffic == [16 * n for n in (words, words, 0, words, 0, words)]
