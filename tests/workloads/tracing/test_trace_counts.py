"""MACs of every kind of op, as expressions over the dims, on both routes."""

import math

import pytest
import torch
from torch import Tensor, nn

from tests.workloads.tracing.trace_models import Call, Wrap, both_routes, only
from workloads.tracing import trace_model

B, C, K, H, W = 2, 4, 6, 9, 7


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv2d(stride, dilation, groups):
    conv = nn.Conv2d(C, K, (3, 2), stride=stride, padding=1, dilation=dilation, groups=groups)
    out = conv(torch.zeros(B, C, H, W)).shape
    graph = both_routes(nn.Sequential(conv), torch.zeros(B, C, H, W))
    layer = only(graph)
    assert layer.macs == B * K * out[2] * out[3] * (C // groups) * 3 * 2
    assert layer.weights == conv.weight.numel()
    assert (B, groups, K // groups, C // groups) == (layer.dims.B, layer.dims.G, layer.dims.K, layer.dims.C)
    assert (out[2], out[3], 3, 2) == (layer.dims.OY, layer.dims.OX, layer.dims.FY, layer.dims.FX)
    assert layer.stride == (stride, stride) and layer.dilation == (dilation, dilation)
    assert layer.has_bias and layer.kind == "conv" and layer.name == layer.module == "0"


def test_depthwise_conv_has_one_channel_per_group():
    layer = only(both_routes(nn.Conv2d(C, C, 3, padding="same", groups=C, bias=False), torch.zeros(B, C, H, W)))
    assert (layer.dims.G, layer.dims.K, layer.dims.C) == (C, 1, 1)
    assert layer.macs == B * C * H * W * 9
    assert not layer.has_bias


def test_circular_padding_leaves_the_name_to_the_convolution():
    model = nn.Sequential(nn.Conv2d(C, K, 3, padding=1, padding_mode="circular"))
    assert only(both_routes(model, torch.zeros(B, C, H, W))).name == "0"


def test_unbatched_conv2d():
    layer = only(both_routes(nn.Conv2d(C, K, 3), torch.zeros(C, H, W)))
    assert layer.dims.B == 1
    assert layer.macs == K * C * (H - 2) * (W - 2) * 9


def test_conv1d_runs_along_x():
    layer = only(both_routes(nn.Conv1d(C, K, 3, stride=2, dilation=2), torch.zeros(B, C, 20)))
    out = (20 - 2 * 2 - 1) // 2 + 1
    assert (1, out, 1, 3) == (layer.dims.OY, layer.dims.OX, layer.dims.FY, layer.dims.FX)
    assert layer.stride == (1, 2) and layer.dilation == (1, 2)
    assert layer.macs == B * K * C * 3 * out


def test_conv3d_folds_depth_into_batch_and_channels():
    conv = nn.Conv3d(C, K, (2, 3, 3))
    layer = only(both_routes(conv, torch.zeros(B, C, 5, H, W)))
    assert layer.macs == B * K * C * (5 - 1) * (H - 2) * (W - 2) * 2 * 3 * 3
    assert layer.weights == conv.weight.numel()


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_conv_multiplies_every_input_pixel_by_every_tap(groups):
    conv = nn.ConvTranspose2d(C, K, 3, stride=2, groups=groups)
    layer = only(both_routes(conv, torch.zeros(B, C, H, W)))
    assert layer.macs == B * H * W * C * (K // groups) * 9
    assert layer.weights == conv.weight.numel()


def test_convolution_with_computed_filters_is_a_matmul():
    model = Call(nn.functional.conv2d)
    layer = only(both_routes(model, torch.zeros(B, C, H, W), torch.zeros(K, C, 3, 3)))
    assert layer.kind == "matmul" and layer.weights == 0
    assert layer.macs == B * K * C * (H - 2) * (W - 2) * 9


@pytest.mark.parametrize("leading", [(), (B,), (B, 5), (1, 5), (B, 3, 5)])
def test_linear_takes_the_first_dim_as_batch(leading):
    layer = only(both_routes(nn.Sequential(nn.Linear(C, K)), torch.zeros(*leading, C)))
    assert layer.kind == "linear" and layer.has_bias
    assert (leading[0] if leading else 1) == layer.dims.B
    assert math.prod(leading[1:]) == layer.dims.OX
    assert (layer.dims.C, layer.dims.K) == (C, K)


M, N, S = 5, 6, 3


@pytest.mark.parametrize(
    ("function", "shapes", "macs", "groups"),
    [
        (torch.matmul, [(M, C), (C, N)], M * C * N, 1),
        (torch.matmul, [(B, S, M, C), (B, S, C, N)], B * S * M * C * N, B * S),
        (torch.matmul, [(B, M, C), (C, N)], B * M * C * N, 1),
        (torch.matmul, [(B, 1, M, C), (S, C, N)], B * S * M * C * N, 1),
        (torch.matmul, [(M, C), (C,)], M * C, 1),
        (torch.mm, [(M, C), (C, N)], M * C * N, 1),
        (torch.bmm, [(B, M, C), (B, C, N)], B * M * C * N, B),
        (torch.mv, [(M, C), (C,)], M * C, 1),
        (torch.dot, [(C,), (C,)], C, 1),
        (torch.addmm, [(M, N), (M, C), (C, N)], M * C * N, 1),
        (torch.baddbmm, [(B, M, N), (B, M, C), (B, C, N)], B * M * C * N, B),
        (
            lambda a, b: torch.einsum("bhmc,bhnc->bhmn", a, b),
            [(B, S, M, C), (B, S, N, C)],
            B * S * M * N * C,
            B * S,
        ),
        (lambda a, b: torch.tensordot(a, b, dims=1), [(M, C), (C, N)], M * C * N, 1),
    ],
)
def test_products_of_activations(function, shapes, macs, groups):
    layer = only(both_routes(Call(function), *(torch.zeros(shape) for shape in shapes)))
    assert layer.kind == "matmul" and layer.weights == 0
    assert layer.macs == macs
    assert groups == layer.dims.G


@pytest.mark.parametrize(
    ("function", "x", "weight", "macs"),
    [
        (torch.matmul, (B, M, C), (C, N), B * M * C * N),
        (lambda x, w: torch.matmul(w, x), (B, C, M), (N, C), B * M * C * N),
        (torch.bmm, (B, M, C), (B, C, N), B * M * C * N),
        (lambda x, w: torch.bmm(x, w.expand(B, C, N)), (B, M, C), (1, C, N), B * M * C * N),
        (torch.matmul, (1, M, C), (S, C, N), S * M * C * N),
        (lambda x, w: torch.einsum("bmc,cn->bmn", x, w), (B, M, C), (C, N), B * M * C * N),
        (lambda x, w: nn.functional.linear(x, 2 * w.abs()), (M, C), (N, C), M * C * N),
    ],
)
def test_products_with_functional_weights_are_linear(function, x, weight, macs):
    model = Wrap(inner=Call(function, weight))
    layer = only(both_routes(model, torch.zeros(x)))
    assert layer.kind == "linear"
    assert layer.module == "inner.weights"
    assert layer.macs == macs
    assert layer.weights == math.prod(weight)


def test_bilinear_is_a_product_with_weights_and_one_of_activations():
    model = Wrap(mix=nn.Bilinear(C, S, K))
    graph = both_routes(model, torch.zeros(B, C), torch.zeros(B, S))
    assert [layer.macs for layer in graph.layers] == [B * C * K * S, B * K * S]
    assert graph.weights == {"mix": K * C * S}


T, D, HEADS = 10, 16, 4


@pytest.mark.parametrize("kwargs", [{}, {"is_causal": True}, {"attn_mask": torch.zeros(T, T)}])
def test_attention_is_two_matmuls(kwargs):
    shape = (B, HEADS, T, D)
    model = Call(lambda q, k, v: nn.functional.scaled_dot_product_attention(q, k, v, **kwargs))
    graph = both_routes(model, *(torch.zeros(shape) for _ in range(3)))
    assert [layer.macs for layer in graph.layers] == [B * HEADS * T * T * D] * 2
    assert [op.kind for op in graph.vector_ops].count("softmax") == 1


def test_grouped_query_attention_shares_keys():
    shared = 2
    model = Call(lambda q, k, v: nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True))
    keys = torch.zeros(B, HEADS // shared, T, D)
    graph = both_routes(model, torch.zeros(B, HEADS, T, D), keys, keys)
    assert [layer.macs for layer in graph.layers] == [B * HEADS * T * T * D] * 2
    assert {layer.dims.G for layer in graph.layers} == {B * HEADS // shared}


def test_the_math_form_of_attention_is_attention():
    from workloads.tracing.ops.rewrites import attention, bilinear

    torch.manual_seed(0)
    query, key = torch.randn(B, HEADS, T, D), torch.randn(B, 2, T, D)
    expected = nn.functional.scaled_dot_product_attention(query, key, key, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(attention(query, key, key, is_causal=True, enable_gqa=True), expected)
    layer = nn.Bilinear(C, S, K)
    x, y = torch.randn(B, C), torch.randn(B, S)
    torch.testing.assert_close(bilinear(x, y, layer.weight, layer.bias), layer(x, y))


def test_transformer_encoder_layer_is_counted_in_eval_mode():
    """q, k, v, out: 4 D^2 per token; scores and mix: 2 T D per token; perceptron: 2 D F per token."""
    feedforward = 32
    model = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(D, HEADS, feedforward, batch_first=True), 2, enable_nested_tensor=False
    ).eval()
    graph = both_routes(model, torch.zeros(B, T, D))
    assert graph.macs == 2 * B * T * (4 * D * D + 2 * T * D + 2 * D * feedforward)
    assert "layers.0.self_attn.out_proj" in graph.modules and "layers.0.self_attn" in graph.modules
    assert "layers.1.self_attn.matmul_1" in [layer.name for layer in graph.layers]


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers(kind, gates):
    """Per token: gates * hidden * (inputs + hidden)."""
    graph = both_routes(kind(C, K, batch_first=True), torch.zeros(B, 5, C))
    assert graph.macs == B * 5 * gates * K * (C + K)


def test_data_decide_what_runs():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.often, self.rarely = nn.Linear(C, K), nn.Linear(C, 2 * K)

        def forward(self, x: Tensor) -> Tensor:
            return self.often(x) if x.sum().item() > 0 else self.rarely(x)

    graph = trace_model(Branch(), (torch.ones(B, C),))
    assert graph.route == "dispatch"
    assert graph.modules == ("often",)
    assert trace_model(Branch(), (-torch.ones(B, C),)).modules == ("rarely",)


def test_a_model_without_inputs_is_counted():
    graph = both_routes(Call(torch.mm, (M, C), (C, N)))
    assert graph.macs == M * C * N


def test_meta_device():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(C, K), nn.ReLU(), nn.Linear(K, C))
    assert both_routes(model, torch.zeros(B, C)).macs == 2 * B * C * K


def test_every_weight_of_a_module_is_stored_once() -> None:
    """An LSTM reads weight_hh at every step; attention over other keys reads three slices of one weight."""
    hidden, inputs, steps, width = 6, 4, 5, 16
    lstm = trace_model(nn.LSTM(inputs, hidden), (torch.zeros(steps, 1, inputs),))
    assert sum(lstm.weights.values()) == 4 * hidden * inputs + 4 * hidden * hidden
    prints = set()
    for batch in (1, 3):
        query, other = torch.zeros(steps, batch, width), torch.zeros(steps + 2, batch, width)
        graph = trace_model(nn.MultiheadAttention(width, 2), (query, other, other))
        assert sum(graph.weights.values()) == 4 * width * width
        prints.add(graph.fingerprint)
    assert len(prints) == 1
