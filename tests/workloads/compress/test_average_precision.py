from __future__ import annotations

import pytest

from hwmodel.errors import ConfigError, GraphError
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Dims, Layer
from tests.workloads.compress.compress_models import chain
from workloads.compress import CompressionConfig, LayerChoice, average_precision, precision_definition


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
        ConfigError, match=r"count must be one of all, nonzero, but got 'nonzeros'\. Did you mean 'nonz"
    ):
        average_precision(two_layers(), count="nonzeros")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"by must be one of weights, macs"):
        average_precision(two_layers(), by="flops")  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="Did you mean 'conv'"):
        average_precision(two_layers(), CompressionConfig.from_bits({"comv": 2}))


def test_the_definition_says_what_was_counted() -> None:
    assert "n_l = all weights" in precision_definition()
    assert "n_l = non-zero MACs" in precision_definition("nonzero", "macs")
