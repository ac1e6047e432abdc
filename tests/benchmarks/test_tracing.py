"""The models of the scale benchmark are what their names say; no times are asserted."""

import torch

from benchmarks import tracing
from hwmodel import evaluate, load_accelerator, repeated_blocks
from workloads import trace
from workloads.models.transformer import TransformerLM
from workloads.tracing import trace_model


def test_the_large_model_has_the_parameters_and_macs_of_gpt3():
    vocab, dim, depth, context = (tracing.GPT3[name] for name in ("vocab", "dim", "depth", "context"))
    row = tracing.trace_gpt3()
    block = 4 * (dim * dim + dim) + (4 * dim * dim + 4 * dim) + (4 * dim * dim + dim) + 4 * dim
    assert row["parameters"] == 2 * vocab * dim + context * dim + depth * block + 2 * dim
    assert row["parameters"] > 100e9
    assert row["macs"] == context * (depth * (12 * dim * dim + 2 * context * dim) + dim * vocab)
    assert row["layers"] == depth * 8 + 1
    assert row["route"] == "dispatch"


def test_the_large_model_is_one_block_and_a_count():
    with torch.device("meta"):
        model = TransformerLM(**{**tracing.GPT3, "depth": 12})
    (block,) = repeated_blocks(trace(model, model.example_input()))
    assert block.names == tuple(f"blocks.{index}" for index in range(12))


def test_a_deep_network_is_the_same_when_it_is_exported():
    for build, shape in ((tracing.linear_network, (1, 64)), (tracing.residual_network, (1, 16, 8, 8))):
        called = trace(build(20), torch.zeros(shape))
        exported = trace_model(build(20), (torch.zeros(shape),), route="export")
        assert (called.route, exported.route) == ("dispatch", "export")
        assert {**called.to_dict(), "route": ""} == {**exported.to_dict(), "route": ""}


def test_every_layer_of_a_deep_network_is_priced():
    depth = 1000
    graph = trace(tracing.linear_network(depth), torch.zeros(1, 64))
    assert (len(graph.layers), graph.macs) == (depth, depth * 64 * 64)
    cost = evaluate(graph, load_accelerator("edge_npu"))
    one = evaluate(graph.layer("500.0"), load_accelerator("edge_npu"))
    assert len(cost.layers) == len(cost.to_dataframe()) == depth
    assert cost.weight_bits == depth * one.weight_bits
