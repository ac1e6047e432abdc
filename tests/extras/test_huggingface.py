"""Hugging Face models built from a configuration: MACs as expressions, and models by name."""

import json

import pytest
import torch

transformers = pytest.importorskip("transformers")

from hwmodel.errors import ConfigError  # noqa: E402
from tests.workloads.tracing.test_trace_crosscheck import flop_counter_macs  # noqa: E402
from workloads.models import load_model, load_model_with_input  # noqa: E402
from workloads.tracing import trace_model  # noqa: E402

B, T, D, F, V, L, HEADS = 2, 12, 32, 48, 50, 2, 4
SIZES = dict(hidden_size=D, intermediate_size=F, num_hidden_layers=L, num_attention_heads=HEADS)
TEXT = dict(vocab_size=V, bos_token_id=1, eos_token_id=2, pad_token_id=0)
IDS = torch.arange(B * T).view(B, T) % V


def counted(model, **kwargs):
    """The graph, after checking that export and dispatch count the same.

    These models write another program when they are exported: keys repeated for grouped queries, masks
    of ones applied. Products and weights are the same.
    """
    graphs = [trace_model(model, (), kwargs, route=route, strict=True) for route in ("export", "dispatch")]
    assert [graph.route for graph in graphs] == ["export", "dispatch"]
    counts = [[(layer.name, layer.macs, layer.weights) for layer in graph.layers] for graph in graphs]
    assert sorted(counts[0]) == sorted(counts[1])
    assert graphs[0].weights == graphs[1].weights
    return graphs[0]


def mixed_macs(keys: int) -> int:
    """Scores and mix of one layer per query, over `keys` keys."""
    return 2 * keys * D


def test_llama_with_grouped_queries():
    """q and o: D^2 each; k and v have half the heads; gate, up, down: 3 D F; the last layer over V words."""
    config = transformers.LlamaConfig(**SIZES, **TEXT, num_key_value_heads=HEADS // 2)
    model = transformers.LlamaForCausalLM(config)
    graph = counted(model, input_ids=IDS)
    assert graph.macs == B * T * (L * (3 * D * D + mixed_macs(T) + 3 * D * F) + D * V)
    assert graph.macs == flop_counter_macs(model.eval(), (IDS,))


def test_bert():
    """The pooler reads one token."""
    graph = counted(transformers.BertModel(transformers.BertConfig(**SIZES, vocab_size=V)), input_ids=IDS)
    assert graph.macs == B * T * L * (4 * D * D + mixed_macs(T) + 2 * D * F) + B * D * D


def test_gpt2_with_tied_words():
    sizes = dict(n_embd=D, n_layer=L, n_head=HEADS, n_positions=T)
    graph = counted(transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **TEXT)), input_ids=IDS)
    assert graph.macs == B * T * (L * (4 * D * D + mixed_macs(T) + 2 * D * 4 * D) + D * V)
    assert graph.weights["lm_head"] == D * V  # tied to the embedding: once


def test_t5_decoder_reads_the_encoder():
    """No biases, heads of their own size; the decoder has a second attention over the encoder's tokens."""
    size, words = 8, 7
    config = transformers.T5Config(
        vocab_size=V, d_model=D, d_kv=size, d_ff=F, num_layers=L, num_heads=HEADS, decoder_start_token_id=0
    )
    model = transformers.T5ForConditionalGeneration(config)
    graph = counted(model, input_ids=IDS, decoder_input_ids=IDS[:, :words])
    inner = HEADS * size
    own = 4 * D * inner
    encoder = T * (own + 2 * T * inner + 2 * D * F)
    decoder = words * (own + 2 * words * inner + 2 * D * F)
    cross = words * 2 * D * inner + T * 2 * D * inner + 2 * words * T * inner
    assert graph.macs == B * (L * (encoder + decoder + cross) + words * D * V)


def test_vit():
    patch, size = 8, 32
    config = transformers.ViTConfig(**SIZES, image_size=size, patch_size=patch, num_labels=V)
    graph = counted(transformers.ViTForImageClassification(config), pixel_values=torch.zeros(B, 3, size, size))
    patches = (size // patch) ** 2
    tokens = patches + 1
    layer = 4 * D * D + mixed_macs(tokens) + 2 * D * F
    assert graph.macs == B * (patches * D * 3 * patch**2 + L * tokens * layer + D * V)


def test_whisper():
    """Two convolutions over time (the second halves it), an encoder, and a decoder that reads it."""
    mel, frames = 16, 20
    config = transformers.WhisperConfig(
        d_model=D, encoder_layers=L, decoder_layers=L, encoder_attention_heads=HEADS, decoder_attention_heads=HEADS,
        encoder_ffn_dim=F, decoder_ffn_dim=F, num_mel_bins=mel, max_source_positions=frames, max_target_positions=T,
        decoder_start_token_id=1, **TEXT,
    )  # fmt: skip
    model = transformers.WhisperModel(config)
    graph = counted(model, input_features=torch.zeros(B, mel, 2 * frames), decoder_input_ids=IDS)
    stem = 2 * frames * D * mel * 3 + frames * D * D * 3
    encoder = frames * (4 * D * D + mixed_macs(frames) + 2 * D * F)
    decoder = T * (4 * D * D + mixed_macs(T) + 2 * D * F)
    cross = 2 * T * D * D + 2 * frames * D * D + T * mixed_macs(frames)
    assert graph.macs == B * (stem + L * (encoder + decoder + cross))


@pytest.mark.parametrize("experts", ["grouped_mm", "eager"])
def test_mixture_of_experts_counts_the_experts_that_a_token_visits(experts):
    """Every token visits `top` of the experts, whichever the router picks: 3 D F each, plus the router itself."""
    top, choices = 2, 4
    config = transformers.MixtralConfig(
        **SIZES, **TEXT, num_key_value_heads=HEADS, num_local_experts=choices, num_experts_per_tok=top
    )
    model = transformers.MixtralForCausalLM(config)
    model.set_experts_implementation(experts)
    graph = trace_model(model, (IDS,), strict=True)
    assert graph.macs == B * T * (L * (4 * D * D + mixed_macs(T) + D * choices + top * 3 * D * F) + D * V)


def test_mamba_has_products_in_its_projections():
    config = transformers.MambaConfig(**TEXT, hidden_size=D, state_size=8, num_hidden_layers=L)
    graph = counted(transformers.MambaForCausalLM(config), input_ids=IDS[:, :4])
    inner, rank = config.intermediate_size, config.time_step_rank
    projections = 2 * D * inner + inner * (rank + 2 * 8) + rank * inner + inner * D
    scan = 8 * inner  # C times the state
    taps = 4
    conv = inner * taps
    padded = 4 + taps - 1  # it convolves on both sides and cuts
    assert graph.macs == B * (4 * (L * (projections + scan) + D * V) + L * padded * conv)


# ---- by name -------------------------------------------------------------------------------------


def test_vit_b_16_by_name():
    """17.56 GMACs: 196 patches of 768 x 16 x 16 x 3, twelve layers on 197 tokens, and a classifier."""
    model, args = load_model_with_input("hf:vit", num_labels=1000)
    graph = trace_model(model, args)
    width, tokens, mlp = 768, 197, 3072
    layers = 12 * tokens * (4 * width**2 + 2 * tokens * width + 2 * width * mlp)
    assert graph.macs == 196 * width * 3 * 16**2 + layers + width * 1000
    assert round(graph.macs / 1e9, 2) == 17.56
    assert graph.macs == flop_counter_macs(model, args)


def test_a_large_model_has_shapes_only():
    """Llama 7B but six layers, of 4 D^2 + 3 D F weights, and the last one: 1.5 billion parameters."""
    depth = 6
    model, args = load_model_with_input("hf:llama", [6], num_hidden_layers=depth)
    assert next(model.parameters()).is_meta
    graph = trace_model(model, args)
    width, mlp = 4096, 11008
    assert sum(graph.weights.values()) == depth * (4 * width**2 + 3 * width * mlp) + width * 32000
    assert graph.macs == 6 * sum(graph.weights.values()) + depth * 6 * 2 * 6 * width


def test_options_override_the_configuration(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaModel"], **SIZES, **TEXT}))
    for name in (path, tmp_path):
        model, args = load_model_with_input(f"hf:{name}", batch=3, num_hidden_layers=1)
        assert type(model).__name__ == "LlamaModel"
        assert args[0].shape == (3, 128)
        assert trace_model(model, args).macs == 3 * 128 * (4 * D * D + mixed_macs(128) + 3 * D * F)
    state = [load_model(f"hf:{path}", seed=seed).norm.weight.sum() for seed in (0, 0)]
    assert state[0] == state[1]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("lama", {}, "neither a config.json nor a model type.*Did you mean 'llama'"),
        ("llama", {"hiden_size": 8}, "has no 'hiden_size'. Did you mean 'hidden_size'"),
        ("nowhere/config.json", {}, "cannot be read"),
        ("bert", {"hidden_size": 7}, "makes no model: .*multiple"),
    ],
)
def test_bad_names(text, options, message):
    with pytest.raises(ConfigError, match=message):
        load_model(f"hf:{text}", **options)


@pytest.mark.parametrize("content", ["{", "[]", '{"model_type": "lama"}'])
def test_bad_files(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json: (cannot be read|model_type must be)"):
        load_model(f"hf:{path}")
