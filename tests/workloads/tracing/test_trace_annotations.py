"""Bits and densities that a model carries reach its graph."""

import copy
import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize, prune

from hwmodel import Bits
from hwmodel.errors import TraceError
from workloads import load_model, trace
from workloads.compress import CompressionConfig, LayerChoice, apply, calibrate
from workloads.compress.config import QUANTIZERS
from workloads.compress.pruning.sparse_layers import to_sparse
from workloads.compress.quantizers.base import Quantizer
from workloads.tracing import measure_activation_density, measure_weight_density, trace_model

LENET = load_model("lenet5")
IMAGES = LENET.example_input() if hasattr(LENET, "example_input") else torch.randn(1, 1, 28, 28)
FLOAT_GRAPH = trace(LENET, IMAGES)

bits = st.sampled_from([1, 2, 3, 4, 8, 16, 32])
choices = st.builds(
    LayerChoice,
    w_bits=bits,
    a_bits=bits,
    density=st.sampled_from([1.0, 0.9, 0.5, 0.33, 0.01]),
    pattern=st.sampled_from(["unstructured", "filter"]),
    quantizer=st.sampled_from(["lsq", "minmax"]),
)


def two_layers():
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(st.sampled_from(FLOAT_GRAPH.modules), choices, min_size=1), st.booleans())
def test_a_compressed_model_is_traced_as_its_configuration_says(layers, calibrated):
    """Same nodes, edges and bits; a density is that of the mask, the nearest count to what was asked for.

    Where nothing is quantized, the bits stay open, as in any float model.
    """
    quantizes = any(min(choice.w_bits or 32, choice.a_bits or 32) < 32 for choice in layers.values())
    config = CompressionConfig(layers)
    model = apply(LENET, config)
    if calibrated:
        calibrate(model, IMAGES)
    found, expected = trace(model, IMAGES), config.annotate(FLOAT_GRAPH)
    if all(choice.is_float for choice in layers.values()):
        assert found.to_dict() == FLOAT_GRAPH.to_dict()
        return
    assert found.fingerprint == expected.fingerprint
    assert [node.name for node in found.nodes] == [node.name for node in expected.nodes]
    for ours, theirs in zip(found.layers, expected.layers, strict=True):
        assert ours.bits == (theirs.bits if quantizes else None)
        assert ours.density.pattern == theirs.density.pattern
        groups = ours.dims.K * ours.dims.G if ours.density.pattern == "filter" else ours.weights
        assert ours.density.w == pytest.approx(theirs.density.w, abs=(0.5 + 1e-6) / groups) or (
            ours.density.w == 1 / groups  # at least one stays
        )


@pytest.mark.parametrize("route", ["export", "dispatch"])
def test_the_routes_see_the_same_bits(route):
    config = CompressionConfig(
        {"conv1": LayerChoice(w_bits=4, a_bits=8), FLOAT_GRAPH.modules[-1]: LayerChoice(w_bits=2, pattern="2:4")}
    )
    model = apply(LENET, config)
    calibrate(model, IMAGES)
    graph = trace_model(model, (IMAGES,), route=route)
    annotated = {layer.name: (layer.bits, layer.density) for layer in config.annotate(FLOAT_GRAPH).layers}
    assert {layer.name: (layer.bits, layer.density) for layer in graph.layers} == annotated


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_tracing_needs_none_of_the_arithmetic_of_a_quantizer(quantizer, calibrated):
    """On fake tensors, calibrated or not: nothing of a quantizer is an op, and its grid is not set on the way."""
    choice = LayerChoice(w_bits=4, a_bits=3, quantizer=quantizer, granularity="channel", density=0.5)
    config = CompressionConfig(dict.fromkeys(("conv1", FLOAT_GRAPH.modules[-1]), choice))
    model = apply(LENET, config)
    if calibrated:
        calibrate(model, IMAGES)
    before = copy.deepcopy(model.state_dict())
    graphs = [trace_model(model, (IMAGES,), route=route) for route in ("auto", "export")]
    assert [graph.route for graph in graphs] == ["dispatch", "export"]
    layers = config.annotate(FLOAT_GRAPH).layers
    for graph in graphs:
        assert [(layer.name, layer.bits) for layer in graph.layers] == [(item.name, item.bits) for item in layers]
        assert (graph.free_ops, graph.data_reads) == (FLOAT_GRAPH.free_ops, {})
        assert graph.folded_macs == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any("forward" in vars(module) for module in model.modules())


def test_what_a_quantizer_shares_with_its_layer_is_still_the_layers():
    """Its values are not read, but those of the weight that it holds too are."""

    class Shares(Quantizer):
        def __init__(self, weight):
            super().__init__(4)
            self.held = weight

        def quantize(self, x):
            return torch.round(x / self.held.abs().max()) * self.held.abs().max()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            fc = nn.Linear(16, 8)
            self.quantizer, self.fc = Shares(fc.weight), fc

        def forward(self, x):
            return nn.functional.linear(x, self.quantizer(self.fc.weight))

    for route in ("dispatch", "export"):
        (layer,) = trace_model(Net(), (torch.zeros(1, 16),), route=route).layers
        assert (layer.weights, layer.bits, layer.module) == (16 * 8, Bits(w=4, i=32), "fc")


def test_a_quantizer_at_32_bits_is_none():
    layers = dict.fromkeys(("conv1", FLOAT_GRAPH.modules[-1]), LayerChoice(w_bits=4, a_bits=4))
    model = apply(LENET, CompressionConfig(layers))
    model.conv1.set_bits(w_bits=32, a_bits=32)
    found = {layer.name: layer.bits for layer in trace(model, IMAGES).layers}
    assert found["conv1"] == Bits(w=32, i=32) and found[FLOAT_GRAPH.modules[-1]] == Bits(w=4, i=4)


def test_a_float_model_has_no_bits():
    assert {layer.bits for layer in FLOAT_GRAPH.layers} == {None}
    assert {layer.bits for layer in trace(two_layers().half(), torch.zeros(1, 16).half()).layers} == {None}


def test_masks_of_torch_are_counted():
    model = two_layers()
    prune.l1_unstructured(model[0], "weight", amount=128)
    prune.ln_structured(model[2], "weight", amount=2, n=2, dim=0)
    first, second = trace(model, torch.zeros(1, 16)).layers
    assert (first.density.w, second.density.w) == (1 - 128 / (16 * 32), 1 - 2 / 8)
    assert (first.bits, first.density.pattern, second.density.pattern) == (None, "unstructured", "unstructured")


def test_a_pruned_recurrent_weight_is_its_own():
    model = nn.LSTM(8, 8)
    prune.random_unstructured(model, "weight_hh_l0", amount=64)
    densities = {layer.density.w for layer in trace(model, torch.zeros(2, 1, 8)).layers if "hh" in layer.parameter}
    assert densities == {1 - 64 / (4 * 8 * 8)}


def test_a_mask_in_a_parametrization_is_counted():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mask", torch.eye(8, 16))

        def forward(self, weight):
            return weight * self.mask

    model = nn.Linear(16, 8)
    parametrize.register_parametrization(model, "weight", Masked())
    assert trace(nn.Sequential(model), torch.zeros(1, 16)).layers[0].density.w == 8 / (8 * 16)


def test_a_mask_without_numbers_is_an_error():
    model = two_layers()
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    with pytest.raises(TraceError, match="0: its mask is on the meta device"):
        trace(model.to("meta"), torch.zeros(1, 16))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_simulated_quantization_of_torch_costs_nothing_and_gives_bits():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

        def forward(self, x):
            def weight(conv, low, high):
                return torch.fake_quantize_per_tensor_affine(conv.weight, 0.1, 0, low, high)

            x = torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 255)
            x = torch.relu(nn.functional.conv2d(x, weight(self.conv1, -8, 7)))
            x = torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 63)
            return nn.functional.conv2d(nn.functional.max_pool2d(x, 2), weight(self.conv2, -127, 127))

    for route in ("export", "dispatch"):
        graph = trace_model(Net(), (torch.randn(1, 3, 16, 16),), route=route)
        assert [layer.bits for layer in graph.layers] == [Bits(w=4, i=8), Bits(w=8, i=6)]
        assert [op.kind for op in graph.vector_ops] == ["activation", "pool"]


def test_any_module_may_say_that_it_rounds():
    class Rounding(nn.Module):
        simulated_bits = 5

        def forward(self, x):
            return torch.round(x * 31) / 31

    graph = trace(nn.Sequential(Rounding(), nn.Linear(4, 4)), torch.zeros(1, 4))
    assert [layer.bits for layer in graph.layers] == [Bits(w=32, i=5)]
    assert graph.vector_ops == ()


def test_integers_stored_as_bytes_have_eight_bits():
    class Stored(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weight", torch.ones(4, 8, dtype=torch.int8))
            self.register_buffer("scale", torch.ones(4, 1))

        def forward(self, x):
            return nn.functional.linear(x, self.weight.float() * self.scale)

    assert trace(Stored(), torch.zeros(1, 8)).layers[0].bits == Bits(w=8, i=32)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("config", "options", "expected"),
    [
        ("Int8WeightOnlyConfig", {}, Bits(w=8, i=32)),
        ("IntxWeightOnlyConfig", {"weight_dtype": torch.int4}, Bits(w=4, i=32)),
        ("Int8DynamicActivationInt8WeightConfig", {}, Bits(w=8, i=8)),
    ],
)
def test_torchao_tensors_are_read(config, options, expected):
    quantization = pytest.importorskip("torchao.quantization")
    model = two_layers()
    plain = trace(model, torch.zeros(1, 16))
    quantization.quantize_(model, getattr(quantization, config)(**options))
    graph = trace(model, torch.zeros(1, 16))
    assert [layer.bits for layer in graph.layers] == [expected] * 2
    stripped = {layer.name: dataclasses.replace(layer, bits=None) for layer in graph.layers}
    assert graph.with_layers(stripped).layers == plain.layers
    assert [node.name for node in graph.nodes] == [node.name for node in plain.nodes]


def test_activation_density_is_that_of_the_batch():
    """The inputs of the second layer are what the ReLU leaves; an independent count by hooks."""
    model, batch = two_layers(), torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    batch[:, :4] = 0
    seen = {}
    handles = [
        layer.register_forward_pre_hook(
            lambda layer, args: seen.update({layer: (args[0] != 0).float().mean().item()})
        )
        for layer in (model[0], model[2])
    ]
    model(batch)
    for handle in handles:
        handle.remove()
    graph = measure_activation_density(model, trace(model, batch[:1]), batch)
    assert [layer.density.i for layer in graph.layers] == pytest.approx([seen[model[0]], seen[model[2]]])
    assert graph.layer("0").density.i == 12 / 16
    assert [layer.density.w for layer in graph.layers] == [1.0, 1.0]
    assert [layer.dims for layer in graph.layers] == [layer.dims for layer in trace(model, batch[:1]).layers]


def test_both_operands_of_a_product_of_activations_are_measured():
    class Product(nn.Module):
        def forward(self, x, y):
            return x @ y

    x, y = torch.ones(1, 4, 8), torch.ones(1, 8, 2)
    x[:, 0], y[:, :, 0] = 0, 0
    graph = measure_activation_density(Product(), trace(Product(), x, y), x, y)
    (layer,) = graph.layers
    assert (layer.density.i, layer.density.w) == (3 / 4, 1 / 2)


def test_zeros_among_plain_weights_are_counted_on_request():
    model = two_layers()
    with torch.no_grad():
        model[0].weight[:8] = 0
    x = torch.randn(2, 16)
    graph = trace(model, x)
    assert [layer.density.w for layer in graph.layers] == [1.0, 1.0]
    assert [layer.density.w for layer in measure_weight_density(model, graph, x).layers] == [1 - 8 / 32, 1.0]


def test_measuring_another_model_is_an_error():
    graph = trace(two_layers(), torch.zeros(1, 16))
    with pytest.raises(TraceError, match="1 of 2 layers did not run, the first '2'"):
        measure_activation_density(nn.Sequential(nn.Linear(16, 32)), graph, torch.zeros(1, 16))
    with pytest.raises(TraceError, match="expected 16 features, got 3"):
        measure_activation_density(two_layers(), graph, torch.zeros(1, 3))
    with pytest.raises(TraceError, match="meta device"):
        measure_activation_density(two_layers().to("meta"), graph, torch.zeros(1, 16))


@pytest.mark.filterwarnings("ignore")
def test_quantized_kernels_of_torch_have_eight_bits():
    model = torch.ao.quantization.quantize_dynamic(two_layers(), {nn.Linear}, dtype=torch.qint8)
    first, second = trace(model, torch.randn(1, 16)).layers
    assert (first.bits, second.bits) == (Bits(w=8, i=8), Bits(w=8, i=8))
    assert (first.macs, second.macs) == (16 * 32, 32 * 8)


def test_two_values_in_a_byte_have_four_bits():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            weight = torch.zeros(32, 32, dtype=torch.uint8)
            self.register_buffer("weight", torch.ops.aten._convert_weight_to_int4pack_for_cpu(weight.int(), 1))
            self.register_buffer("scales", torch.zeros(1, 32, 2))

        def forward(self, x):
            return torch.ops.aten._weight_int4pack_mm_for_cpu(x, self.weight, 32, self.scales)

    assert trace(Packed(), torch.zeros(2, 32)).layers[0].bits == Bits(w=4, i=32)


def test_layers_with_a_mask_beside_their_weight_are_counted():
    mask = torch.zeros(32, 16, dtype=torch.bool)
    mask[:, :4] = True
    model = to_sparse(two_layers(), {"0": mask})
    assert [layer.density.w for layer in trace(model, torch.zeros(1, 16)).layers] == [4 / 16, 1.0]


def test_bits_changed_in_place_are_those_of_the_graph():
    model = apply(LENET, CompressionConfig({"conv1": LayerChoice(w_bits=8, a_bits=8)}))
    model.conv1.set_bits(w_bits=3, a_bits=32)
    assert trace(model, IMAGES).layer("conv1").bits == Bits(w=3, i=32)
