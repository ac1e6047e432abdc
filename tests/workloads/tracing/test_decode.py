"""Prefill and decode of language models: how many products, of what size, and what the cache costs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import evaluate, load_accelerator
from hwmodel.errors import ConfigError
from hwmodel.network.attention import attention_summary
from hwmodel.network.graph import Port
from workloads import load_model, trace
from workloads.decode import decode_workloads

#: vocabulary, width, blocks, heads, context, batch
V, D, N, H, L, B = 64, 32, 3, 4, 24, 2


def language_model(**options):
    sizes = {"vocab": V, "dim": D, "depth": N, "heads": H, "context": L, **options}
    return load_model("transformer", **sizes)


def counts(graph):
    return {item.role: (item.layers, item.products, item.macs) for item in attention_summary(graph).counts}


@pytest.fixture(scope="module")
def phases():
    return decode_workloads(language_model(), context=L, batch=B)


def test_prefill_multiplies_matrices_of_all_tokens(phases):
    assert counts(phases.prefill) == {
        "projection": (4 * N, 4 * N, 4 * N * B * L * D * D),
        "scores": (N, N * B * H, N * B * H * L * L * (D // H)),
        "mix": (N, N * B * H, N * B * H * L * L * (D // H)),
        "linear": (2 * N + 1, 2 * N + 1, B * L * (2 * N * D * 4 * D + D * V)),
    }


def test_a_decode_step_multiplies_one_token_and_reads_the_cache(phases):
    assert counts(phases.decode) == {
        "projection": (4 * N, 4 * N, 4 * N * B * D * D),
        "scores": (N, N * B * H, N * B * H * L * (D // H)),
        "mix": (N, N * B * H, N * B * H * L * (D // H)),
        "linear": (2 * N + 1, 2 * N + 1, B * (2 * N * D * 4 * D + D * V)),
    }
    assert phases.cache_elements == N * 2 * B * (L - 1) * D
    ports = [node.name for node in phases.decode.nodes if isinstance(node, Port) and node.kind == "input"]
    assert ports == ["tokens", *(f"cache.{block}.{kv}" for block in range(N) for kv in range(2))]


@settings(max_examples=5, deadline=None)
@given(st.sampled_from([1, 2, 4, 8]), st.integers(2, 40), st.integers(1, 3))
def test_macs_of_a_step_follow_the_formula(heads, context, batch):
    graph = decode_workloads(language_model(heads=heads, context=40), context=context, batch=batch).decode
    attention = 2 * batch * heads * context * (D // heads)
    assert graph.macs == N * (batch * (4 * D * D + 8 * D * D) + attention) + batch * D * V
    assert attention_summary(graph).products == N * (6 + 2 * batch * heads) + 1


def test_the_cached_step_computes_what_the_whole_pass_does():
    model = language_model().eval()
    tokens = torch.randint(V, (B, L), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = model(tokens)
        empty = model.example_cache(0, B)
        first, cache = model(tokens[:, : L - 1], empty)
        last, cache = model(tokens[:, L - 1 :], cache)
    torch.testing.assert_close(torch.cat((first, last), dim=1), whole)
    assert [tuple(keys.shape) for keys, _ in cache] == [(B, H, L, D // H)] * N


def test_keys_and_values_are_read_from_memory(phases):
    """W of the two products is the cache and the new token; it is read once, and appending adds nothing."""
    chip = load_accelerator("tpu_like")
    outer = chip.levels[-1].memories[0].name
    cost = evaluate(phases.decode, chip)
    read = {
        item.name: item.traffic_bits[outer, "W"] / chip.native_bits.w
        for item in cost.layers
        if item.layer.kind == "matmul"
    }
    assert read == {
        f"blocks.{block}.attention.{name}": B * L * D for block in range(N) for name in ("matmul", "matmul_1")
    }
    assert sum(read.values()) == phases.cache_elements + N * 2 * B * D
    appends = [op for op in phases.decode.vector_ops if op.kind == "append"]
    assert [(op.elements_in, op.elements_out, op.fused) for op in appends] == [(B * D, B * D, True)] * 2 * N


def test_a_longer_context_costs_more_traffic_and_the_same_weights():
    model, chip = language_model(context=512), load_accelerator("edge_npu")
    short, long = (evaluate(decode_workloads(model, context=c).decode, chip) for c in (16, 512))
    assert short.weight_bits == long.weight_bits
    outer = chip.levels[-1].memories[0].name

    def read(cost):
        return sum(item.traffic_bits[outer, "W"] for item in cost.layers)

    assert read(long) - read(short) >= N * 2 * (512 - 16) * D * chip.native_bits.w


def test_bad_contexts_and_models():
    with pytest.raises(ConfigError, match="context >= 2"):
        decode_workloads(language_model(), context=1)
    with pytest.raises(ConfigError, match=f"has {L} positions, but got context={L + 1}"):
        decode_workloads(language_model(), context=L + 1)
    with pytest.raises(ConfigError, match="LeNet5 takes none"):
        decode_workloads(load_model("lenet5"), context=8)


def test_a_network_without_attention_has_none():
    model = load_model("lenet5")
    summary = attention_summary(trace(model, torch.zeros(1, *model.input_shape)))
    assert summary.attentions == ()
    assert {item.role for item in summary.counts} == {"conv", "linear"}
