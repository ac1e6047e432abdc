"""The prefill and the decode step of causal language models of Hugging Face."""

from __future__ import annotations

import pytest

from hwmodel.errors import ConfigError
from workloads import decode_workloads

transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("kv_heads", [1, 2, 8])
def test_grouped_queries_of_hugging_face(kv_heads):
    """Keys and values are read once per key head, however many queries share them."""
    d, heads, depth, inner, vocab, context, batch = 64, 8, 2, 96, 128, 32, 3
    config = transformers.LlamaConfig(
        vocab_size=vocab,
        hidden_size=d,
        intermediate_size=inner,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
    )
    model = transformers.LlamaForCausalLM(config)
    forward = model.forward
    phases = decode_workloads(model, context=context, batch=batch)
    assert model.forward == forward
    width = d // heads
    kv = kv_heads * width
    weights = depth * (2 * d * d + 2 * d * kv + 3 * d * inner) + d * vocab
    assert phases.prefill.macs == batch * (context * weights + depth * 2 * heads * context * context * width)
    assert phases.decode.macs == batch * (weights + depth * 2 * heads * context * width)
    assert phases.cache_elements == depth * 2 * batch * (context - 1) * kv
    products = [layer for layer in phases.decode.layers if layer.kind == "matmul"]
    assert {layer.elements("W") for layer in products} == {batch * context * kv}
    assert phases.decode.modules == phases.prefill.modules


CONTEXT, WIDTH, HEADS, DEPTH = 8, 16, 4, 2
SIZES = dict(vocab_size=50, hidden_size=HEADS * WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS)


def gpt(config_type, **options):
    names = dict(n_embd=HEADS * WIDTH, n_head=HEADS, n_layer=DEPTH, n_positions=64, vocab_size=50)
    return config_type(**names, bos_token_id=0, eos_token_id=0, **options)


@pytest.mark.parametrize(
    ("make", "key_heads"),
    [
        (lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, num_key_value_heads=2)), 2),
        (lambda: transformers.GPT2LMHeadModel(gpt(transformers.GPT2Config)), HEADS),
        (lambda: transformers.GPTBigCodeForCausalLM(gpt(transformers.GPTBigCodeConfig, multi_query=True)), 1),
    ],
    ids=["llama", "gpt2", "gpt_bigcode"],
)
def test_the_cache_is_what_the_model_caches(make, key_heads):
    """Keys and values of J heads, whatever the names in its configuration."""
    phases = decode_workloads(make(), context=CONTEXT)
    assert phases.cache_elements == DEPTH * 2 * key_heads * (CONTEXT - 1) * WIDTH
    products = [layer for layer in phases.decode.layers if layer.kind == "matmul"]
    assert sum(layer.macs for layer in products) == DEPTH * 2 * HEADS * CONTEXT * WIDTH


@pytest.mark.parametrize("argument", ["past_key_values", "past_key_value"])
def test_the_name_of_the_cache_is_the_models(argument):
    """It changed between versions of transformers."""

    class Renamed(transformers.LlamaForCausalLM):
        pass

    if argument != "past_key_values":

        def forward(self, input_ids, past_key_value=None, use_cache=None):
            whole = transformers.LlamaForCausalLM.forward
            out = whole(self, input_ids=input_ids, past_key_values=past_key_value, use_cache=use_cache)
            out[argument] = out.past_key_values
            return out

        Renamed.forward = forward
    phases = decode_workloads(Renamed(transformers.LlamaConfig(**SIZES)), context=CONTEXT)
    assert phases.cache_elements == DEPTH * 2 * HEADS * (CONTEXT - 1) * WIDTH


def test_another_state_is_refused():
    config = transformers.MambaConfig(vocab_size=50, hidden_size=32, num_hidden_layers=1)
    with pytest.raises(ConfigError, match="MambaForCausalLM takes none"):
        decode_workloads(transformers.MambaForCausalLM(config), context=CONTEXT)
