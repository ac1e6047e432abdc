"""Ops of every kind: MACs as expressions where there are any, and no op of torch.nn without a rule."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.workloads.tracing.torch_nn import CASES, WITHOUT_RULE
from tests.workloads.tracing.trace_models import Call, both_routes, only
from workloads.tracing import trace_model

B, C, K, T = 2, 4, 6, 5


@pytest.mark.filterwarnings("ignore")  # torch deprecates and advises
@pytest.mark.parametrize("name", sorted(CASES))
def test_every_module_of_torch_nn_is_counted(name):
    """No op without a rule, and export, dispatch and hooks agree wherever each works."""
    model, args = CASES[name]()
    graph = trace_model(model, args)
    assert [item.op for item in graph.uncounted] == WITHOUT_RULE.get(name, [])
    if graph.route == "export":
        dispatched = trace_model(model, args, route="dispatch")
        assert {**dispatched.to_dict(), "route": ""} == {**graph.to_dict(), "route": ""}
        assert trace_model(model, args, route="hooks").macs == graph.macs


def test_the_list_of_modules_is_whole():
    public = {name for name, value in vars(nn).items() if isinstance(value, type) and issubclass(value, nn.Module)}
    containers = {"Module", "Container", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"}
    bases = {"RNNBase", "RNNCellBase", "DataParallel"}
    lazy = {name for name in public if name.startswith("Lazy")}
    assert public - containers - bases - lazy <= set(CASES)


# ---- convolutions --------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_in_every_number_of_axes(axes, groups):
    """Every output pixel and filter: C / groups * taps products."""
    size, kernel, stride, dilation = 9, 3, 2, 2
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    conv = kind(C, K, kernel, stride=stride, dilation=dilation, groups=groups)
    out = (size - dilation * (kernel - 1) - 1) // stride + 1
    layer = only(both_routes(conv, torch.zeros(B, C, *[size] * axes)))
    assert layer.macs == B * K * out**axes * (C // groups) * kernel**axes
    assert layer.weights == K * (C // groups) * kernel**axes


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions_in_every_number_of_axes(axes, groups):
    """Every input pixel meets every tap of every filter of its group once."""
    size, kernel = 4, 3
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 1]
    conv = kind(C, K, kernel, stride=2, output_padding=1, dilation=2, groups=groups)
    layer = only(both_routes(conv, torch.zeros(B, C, *[size] * axes)))
    assert layer.macs == B * size**axes * C * (K // groups) * kernel**axes
    assert layer.weights == C * (K // groups) * kernel**axes


def test_conv_tbc_is_a_convolution_along_x():
    model = Call(torch.conv_tbc, (3, C, K), (K,))
    layer = only(both_routes(model, torch.zeros(T, B, C)))
    assert layer.macs == (T - 2) * B * K * C * 3


# ---- recurrent -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_networks_of_two_layers(kind, gates, directions):
    """Per token, direction and layer: gates * K * (inputs + K); the second reads the outputs of all directions."""
    model = kind(C, K, num_layers=2, bidirectional=directions == 2)
    inputs = (C, directions * K)
    expected = T * B * directions * sum(gates * K * (size + K) for size in inputs)
    assert both_routes(model, torch.zeros(T, B, C)).macs == expected


def test_lstm_with_projection():
    """The state that is fed back has `proj` elements, made by a product of the K hidden ones."""
    proj = 3
    model = nn.LSTM(C, K, proj_size=proj)
    assert both_routes(model, torch.zeros(T, B, C)).macs == T * B * (4 * K * (C + proj) + K * proj)


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTMCell, 4), (nn.GRUCell, 3), (nn.RNNCell, 1)])
def test_recurrent_cells(kind, gates):
    assert both_routes(kind(C, K), torch.zeros(B, C)).macs == B * gates * K * (C + K)


def test_packed_sequences_are_counted_by_their_tokens():
    lengths = [5, 2]

    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(C, K)

        def forward(self, x):
            return self.rnn(nn.utils.rnn.pack_padded_sequence(x, lengths))[0].data

    graph = trace_model(Packed(), (torch.rand(T, B, C),), strict=True)
    assert graph.macs == sum(lengths) * 4 * K * (C + K)


# ---- attention -----------------------------------------------------------------------------------

D, HEADS = 16, 4


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
def test_multi_head_attention(training, need_weights):
    """Projections 4 D^2 per token, scores and mix 2 S D per token, with or without a fast path."""
    model = nn.MultiheadAttention(D, HEADS, batch_first=True).train(training)
    x = torch.zeros(B, T, D)
    graph = both_routes(model, x, x, x, need_weights=need_weights)
    assert graph.macs == B * T * (4 * D * D + 2 * T * D)


def test_attention_over_other_keys():
    model = nn.MultiheadAttention(D, HEADS, kdim=C, vdim=K, batch_first=True)
    source = 7
    graph = both_routes(model, torch.zeros(B, T, D), torch.zeros(B, source, C), torch.zeros(B, source, K))
    assert graph.macs == B * (2 * T * D * D + source * D * (C + K) + 2 * T * source * D)


@pytest.mark.parametrize("backend", ["MATH", "FLASH_ATTENTION", "EFFICIENT_ATTENTION"])
def test_the_kernel_of_attention_does_not_matter(backend):
    class Fused(nn.Module):
        def forward(self, q, k, v):
            with nn.attention.sdpa_kernel(getattr(nn.attention.SDPBackend, backend)):
                return functional.scaled_dot_product_attention(q, k, v)

    q = torch.zeros(B, HEADS, T, D)
    assert trace_model(Fused(), (q, q, q), strict=True).macs == 2 * B * HEADS * T * T * D


def test_flex_attention_is_counted_dense():
    from torch.nn.attention.flex_attention import flex_attention

    class Flex(nn.Module):
        def forward(self, q):
            return flex_attention(q, q, q)

    assert trace_model(Flex(), (torch.zeros(B, HEADS, 16, D),), strict=True).macs == 2 * B * HEADS * 16 * 16 * D


# ---- products ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "shapes", "macs"),
    [
        (torch.addbmm, [(T, K), (B, T, C), (B, C, K)], B * T * C * K),
        (torch.addmv, [(T,), (T, C), (C,)], T * C),
        (torch.vdot, [(C,), (C,)], C),
        (torch.inner, [(T, C), (K, C)], T * C * K),
        # the cheaper order, (C, K) with (K, B) first: torch chooses it
        (lambda *abc: torch.linalg.multi_dot(abc), [(T, C), (C, K), (K, B)], C * K * B + T * C * B),
        (
            lambda a, b: torch.einsum("bij,bjk,bk->ik", a, b, b[:, 0]),
            [(B, T, C), (B, C, K)],
            B * T * C * K + B * T * K,
        ),
        (lambda theta: functional.affine_grid(theta, (B, 3, 7, 9), False), [(B, 2, 3)], B * 7 * 9 * 3 * 2),
    ],
)
def test_products(function, shapes, macs):
    assert both_routes(Call(function), *(torch.zeros(shape) for shape in shapes)).macs == macs


def test_a_complex_product_is_four_real_ones():
    model = Call(lambda x: torch.matmul(x, model.table))
    model.table = nn.Parameter(torch.zeros(C, K, dtype=torch.complex64))
    layer = only(both_routes(model, torch.zeros(T, C, dtype=torch.complex64)))
    assert layer.macs == 4 * T * C * K
    assert layer.weights == 2 * C * K  # real and imaginary parts


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_of_numbers_does_not_matter(dtype):
    model = nn.Sequential(nn.Conv2d(3, C, 3), nn.ReLU(), nn.Flatten(), nn.Linear(C * 4, K)).to(dtype)
    graph = both_routes(model, torch.zeros(B, 3, 4, 4, dtype=dtype))
    assert graph.macs == B * (C * 4 * 27 + C * 4 * K)


@pytest.mark.parametrize("experts", [2, 3])
@pytest.mark.parametrize("rows", [6, 7])
def test_grouped_products_count_every_row_once(experts, rows):
    """Whichever expert a row goes to, it meets one matrix (C, K)."""
    offsets = torch.linspace(1, rows, experts).to(torch.int32)
    model = Call(lambda x, w: torch.ops.aten._grouped_mm(x, w, offsets), (experts, 16, 8)).bfloat16()
    layer = only(trace_model(model, (torch.zeros(rows, 16, dtype=torch.bfloat16),), strict=True))
    assert layer.macs == rows * 16 * 8
    assert experts >= layer.dims.G and rows == layer.dims.B * layer.dims.G


def test_int8_products():
    model = Call(lambda x, w: torch._int_mm(x.to(torch.int8), w.to(torch.int8)), (16, 8))
    assert both_routes(model, torch.zeros(32, 16)).macs == 32 * 16 * 8


@pytest.mark.filterwarnings("ignore")  # torch.ao.quantization is on its way out
def test_eager_mode_quantized_modules():
    float_model = nn.Sequential(nn.Linear(C, K), nn.ReLU(), nn.Linear(K, 3))
    quantized = torch.ao.quantization.quantize_dynamic(float_model, {nn.Linear})
    graph = trace_model(quantized, (torch.zeros(B, C),), strict=True)
    assert [layer.name for layer in graph.layers] == ["0", "2"]
    assert graph.macs == B * (C * K + K * 3)
    assert graph.weights == {"0": C * K, "2": K * 3}


# ---- without MACs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "kind", "operations"),
    [
        (lambda x: torch.fft.fft(x.to(torch.complex64)), "fft", 5 * 16 * math.log2(16) * B),
        (torch.fft.rfft, "fft", 2.5 * 16 * math.log2(16) * B),
        (lambda x: torch.sort(x)[0], "sort", B * 16 * math.log2(16)),
        (lambda x: torch.topk(x, 3)[0], "sort", B * 16 * math.log2(16)),
        (lambda x: x.cumsum(-1), "scan", B * 16),
        (lambda x: x.gather(1, torch.zeros(B, 3, dtype=torch.long)), "gather", 0),
        (lambda x: torch.zeros(B, 16).scatter_add(1, torch.zeros(B, 16, dtype=torch.long), x), "copy", B * 16),
        (lambda x: torch.searchsorted(torch.linspace(0, 1, 8), x), "elementwise", B * 16 * math.log2(8)),
        (lambda x: functional.pixel_shuffle(x.view(B, 4, 2, 2), 2), "copy", 0),
        (lambda x: functional.softmax(x, -1), "softmax", B * 16 * 5),
        (lambda x: functional.mse_loss(x, x + 0), "loss", B * 16 * 3),
        (lambda x: torch.cdist(x[:, None], x[:, None], p=1.0), "distance", B * 3 * 16),
    ],
)
def test_vector_ops_by_their_operations(function, kind, operations):
    graph = both_routes(Call(function), torch.rand(B, 16))
    assert graph.macs == 0
    (op,) = [op for op in graph.vector_ops if op.kind == kind]
    assert op.ops_per_element * op.elements_out == pytest.approx(operations)


def test_embeddings_gather_rows():
    tokens = torch.arange(6).view(B, 3)
    (op,) = both_routes(nn.Embedding(10, C), tokens).vector_ops
    assert (op.kind, op.elements_in, op.elements_out) == ("embedding", 6 + 6 * C, 6 * C)
    (bag,) = both_routes(nn.EmbeddingBag(10, C), tokens).vector_ops
    assert (bag.kind, bag.elements_out) == ("embedding", B * C)
    assert bag.elements_in >= 6 * C and bag.ops_per_element == 3
