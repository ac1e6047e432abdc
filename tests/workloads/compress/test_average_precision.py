from __future__ import annotations

import pytest
import torch
from torch import nn

from hwmodel.errors import ConfigError, GraphError
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Dims, Layer
from tests.workloads.compress.compress_models import chain
from workloads import trace
from workloads.compress import CompressionConfig, LayerChoice, apply, average_precision, precision_definition
from workloads.tracing import trace_model


def conv(name: str, k: int, c: int, size: int, filter_size: int = 3) -> Layer:
    dims = Dims(K=k, C=c, OY=size, OX=size, FY=filter_size, FX=filter_size)
    return Layer(name=name, module=name, dims=dims)


def resnet20() -> LayerGraph:
    """CIFAR ResNet-20 with projection shortcuts, in the order of its layers; edges do not matter here."""
    layers = [conv("conv1", 16, 3, 32)]
    before = 16
    for stage, width in enumerate((16, 32, 64), start=1):
        size = 32 // 2 ** (stage - 1)
        for block in range(3):
            place = f"layer{stage}.{block}"
            layers += [conv(f"{place}.conv1", width, before, size), conv(f"{place}.conv2", width, width, size)]
            if before != width:
                layers.append(conv(f"{place}.shortcut", width, before, size, 1))
            before = width
    return chain("resnet20", [*layers, Layer(name="fc", module="fc", kind="linear", dims=Dims(K=10, C=64))])


@pytest.mark.parametrize(
    ("stage_bits", "expected"), [((4, 4, 2), 2.5988), ((4, 2, 4), 3.7328), ((2, 4, 4), 4.0087)]
)
def test_resnet20_of_the_issue(stage_bits: tuple[int, int, int], expected: float) -> None:
    graph = resnet20()
    bits = {m: stage_bits[int(m[5]) - 1] for m in graph.modules if m.startswith("layer")}
    assert round(average_precision(graph, CompressionConfig.from_bits(bits)), 4) == expected


N_A, N_B = 8 * 2 * 9, 10 * 8  # weights of the two layers below
MACS_A, MACS_B = N_A * 16, N_B


def two_layers() -> LayerGraph:
    fc = Layer(name="fc", module="fc", kind="linear", dims=Dims(K=10, C=8), has_bias=True)
    return chain("two", [conv("conv", 8, 2, 4), fc])


def test_weights_and_macs_weigh_differently() -> None:
    config = CompressionConfig.from_bits({"conv": 2, "fc": 8})
    assert average_precision(two_layers(), config) == (N_A * 2 + N_B * 8) / (N_A + N_B)
    assert average_precision(two_layers(), config, by="macs") == (MACS_A * 2 + MACS_B * 8) / (MACS_A + MACS_B)


def test_layers_left_out_count_as_float() -> None:
    config = CompressionConfig.from_bits({"conv": 2})
    assert average_precision(two_layers(), config) == (N_A * 2 + N_B * 32) / (N_A + N_B)
    assert average_precision(two_layers()) == 32.0


def test_nonzero_counts_surviving_weights() -> None:
    config = CompressionConfig({
        "conv": LayerChoice(w_bits=2, density=0.25), "fc": LayerChoice(w_bits=8, density=0.3, pattern="filter"),
    })  # fmt: skip
    kept_a, kept_b = N_A // 4, 3 * 8
    assert average_precision(two_layers(), config, count="nonzero") == (kept_a * 2 + kept_b * 8) / (kept_a + kept_b)
    macs = (MACS_A / 4, MACS_B * 3 / 10)
    expected = (macs[0] * 2 + macs[1] * 8) / sum(macs)
    assert average_precision(two_layers(), config, count="nonzero", by="macs") == pytest.approx(expected, rel=1e-12)
    assert average_precision(two_layers(), config) == (N_A * 2 + N_B * 8) / (N_A + N_B)


def test_a_module_called_twice_counts_once_by_weights_and_twice_by_macs() -> None:
    twice = [Layer(name=f"shared.{i}", module="shared", dims=Dims(K=4, C=4, OY=2, OX=2)) for i in range(2)]
    graph = chain("shared", [*twice, Layer(name="fc", module="fc", kind="linear", dims=Dims(K=4, C=4))])
    config = CompressionConfig.from_bits({"shared": 2, "fc": 8})
    assert average_precision(graph, config) == (16 * 2 + 16 * 8) / 32
    assert average_precision(graph, config, by="macs") == (2 * 64 * 2 + 16 * 8) / (2 * 64 + 16)


def test_products_of_activations_are_left_out() -> None:
    matmul = Layer(name="m", module="attend", kind="matmul", dims=Dims(B=9, K=9, C=9))
    graph = chain("a", [Layer(name="fc", module="fc", kind="linear", dims=Dims(K=4, C=4)), matmul])
    assert average_precision(graph, CompressionConfig.from_bits({"fc": 3}), by="macs") == 3.0
    with pytest.raises(ConfigError, match="needs a layer with weights, but 'b' has none"):
        average_precision(chain("b", [matmul]))


def test_bad_arguments_are_answered() -> None:
    with pytest.raises(
        ConfigError, match=r"count must be one of all, nonzero, measured, but got 'nonzeros'\. Did you mean 'nonz"
    ):
        average_precision(two_layers(), count="nonzeros")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"by must be one of weights, macs"):
        average_precision(two_layers(), by="flops")  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="Did you mean 'conv'"):
        average_precision(two_layers(), CompressionConfig.from_bits({"comv": 2}))


def test_the_definition_says_what_was_counted() -> None:
    assert "n_l = all weights" in precision_definition()
    assert "n_l = non-zero MACs" in precision_definition("nonzero", "macs")


def test_measured_counts_zeros_that_rounding_makes() -> None:
    """Weights -1..1 in four values: at 2 bits, step 1, 0.4 rounds to 0 and 0.6 to 1."""
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 1, bias=False)).eval()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([-1.0, 0.4, 0.6, 2.0]).expand(4, 4))
        net[1].weight.copy_(torch.tensor([[3.0, 0.1, 0.1, 0.1]]))
    model = apply(net, CompressionConfig.from_bits({"0": 2, "1": 8}, quantizer="affine"))
    x = torch.ones(1, 4)
    graph = trace(model, x)
    assert average_precision(graph) == (16 * 2 + 4 * 8) / 20 == average_precision(graph, count="nonzero")
    assert average_precision(graph, count="measured", model=model) == (12 * 2 + 4 * 8) / 16
    assert average_precision(graph, count="measured", by="macs", model=model) == (12 * 2 + 4 * 8) / 16
    measured = trace_model(model, (x,), zeros="measured")
    assert [layer.density.w for layer in measured.layers] == [12 / 16, 1.0]
    assert [layer.density.w for layer in trace(net, x).layers] == [1.0, 1.0]
    for arguments in ({"count": "measured"}, {"model": model}):
        with pytest.raises(ConfigError, match="Pass model=qmodel with count='measured' only"):
            average_precision(graph, **arguments)
    assert "not zero behind mask and rounding" in precision_definition("measured")
    assert "what masks leave" in precision_definition("nonzero")


def test_measured_rows_of_a_stacked_weight_are_those_of_their_layer() -> None:
    """An attention's in_proj holds the weights of three projections, each with zeros of its own."""
    attention = nn.MultiheadAttention(4, 1, batch_first=True).eval()
    with torch.no_grad():
        attention.in_proj_weight.fill_(1.0)
        attention.in_proj_weight[:4, :2] = 0  # queries: half
        attention.in_proj_weight[8:, 0] = 0  # values: a quarter
        attention.out_proj.weight.fill_(1.0)
    x, y = torch.ones(1, 3, 4), torch.full((1, 2, 4), 2.0)
    graph = trace_model(attention, (x, y, y), zeros="measured")
    total = sum(layer.weights * layer.density.w for layer in graph.weight_layers)
    assert total == 8 + 16 + 12 + 16
