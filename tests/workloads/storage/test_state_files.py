"""Compressed state files: packing, forms, true sizes, exact returns; Huffman codes against their theorems."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import TINY_LAYERS, images, tiny_net
from workloads import load_model
from workloads.compress import (
    CompressionConfig,
    HuffmanCode,
    apply,
    calibrate,
    entropy_bits,
    huffman_table,
    load_compressed,
    read_metadata,
    save_compressed,
    save_weights,
)
from workloads.compress.pruning import to_sparse
from workloads.storage.coding import decode, encode
from workloads.storage.weights import read_tensors

PROPERTY = settings(deadline=None, max_examples=40)


# --- one tensor -------------------------------------------------------------------------------------------


@PROPERTY
@given(st.integers(1, 8), st.integers(1, 6), st.integers(40, 90), st.integers(0, 99))
def test_the_error_is_at_most_half_a_step_of_its_row(bits, rows, columns, seed):
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    coded = encode(weight, bits)
    assert coded.form == "rows"
    assert coded.size_bytes == math.ceil(rows * columns * bits / 8) + rows * 8
    step = (weight.amax(1) - weight.amin(1)) / (2**bits - 1)
    error = (decode(coded.note, coded.parts) - weight).abs().amax(1)
    assert (error <= step / 2 * (1 + 1e-5) + 1e-6).all()


@PROPERTY
@given(st.floats(0.05, 1), st.integers(2, 8), st.integers(0, 99))
def test_zeros_stay_zeros_and_cost_one_bit(share, bits, seed):
    generator = torch.Generator().manual_seed(seed)
    dropped = torch.rand(8, 100, generator=generator) < share
    weight = torch.randn(8, 100, generator=generator).masked_fill(dropped, 0)
    coded = encode(weight, bits)
    assert torch.equal(decode(coded.note, coded.parts) == 0, dropped)
    assert coded.size_bytes == 100 + math.ceil(int((~dropped).sum()) * bits / 8) + 8 * 8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_number_format_returns(dtype):
    weight = torch.linspace(-1, 1, 128).reshape(2, 64).to(dtype)
    back = decode((coded := encode(weight, 8)).note, coded.parts)
    assert (back.dtype, back.shape) == (dtype, weight.shape)
    torch.testing.assert_close(back.double(), weight.double(), rtol=0, atol=0.02)


def test_what_would_not_be_smaller_stays():
    depthwise = torch.randn(5, 1, 1, 1)
    for tensor in (depthwise, torch.randn(7), torch.arange(6).reshape(2, 3), torch.zeros(0, 3)):
        coded = encode(tensor, 8)
        assert coded.form == "plain"
        assert torch.equal(decode(coded.note, coded.parts), tensor)
    mask = torch.rand(3, 7) < 0.5
    coded = encode(mask, 8)
    assert (coded.form, coded.size_bytes) == ("mask", 3)
    assert torch.equal(decode(coded.note, coded.parts), mask)


# --- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 4, 3, 1])
def test_the_true_size_and_error_of_a_file(tmp_path, bits):
    model, again = load_model("resnet20"), load_model("resnet20")
    state = save_compressed(tmp_path / "m.safetensors", model, bits)
    assert state.size_bytes == (tmp_path / "m.safetensors").stat().st_size
    assert state.megabytes == state.size_bytes / 1e6
    plain = save_weights(tmp_path / "plain.safetensors", model).stat().st_size
    assert plain * 0.9 < state.memory_bytes < plain
    assert state.ratio == state.memory_bytes / state.size_bytes
    weights = sum(p.numel() for p in model.parameters() if p.dim() > 1)
    rows = sum(len(p) for p in model.parameters() if p.dim() > 1)
    rest = state.memory_bytes - 4 * weights
    payload = sum(math.ceil(p.numel() * bits / 8) for p in model.parameters() if p.dim() > 1) + 8 * rows + rest
    assert sum(record.size_bytes for record in state.tensors) == payload
    assert payload < state.size_bytes < payload + 40_000, "names and notes cost the rest"
    load_compressed(tmp_path / "m.safetensors", again)
    own, loaded = model.state_dict(), again.state_dict()
    worst = max(float((own[name].double() - loaded[name].double()).abs().max()) for name in own)
    assert state.max_error == pytest.approx(worst)
    frame = state.to_dataframe().set_index("name")
    first = (own["conv1.weight"].double() - loaded["conv1.weight"].double()).square().mean().sqrt()
    assert frame.loc["conv1.weight", "rms_error"] == pytest.approx(float(first))
    assert torch.equal(own["bn1.weight"], loaded["bn1.weight"])


def test_bits_by_name(tmp_path):
    rules = {"conv1": 32, "block.0.weight": 3, "block.*": 5}
    state = save_compressed(tmp_path / "m.safetensors", tiny_net(), rules)
    found = {record.name: (record.form, record.bits) for record in state.tensors}
    assert found["conv1.weight"] == ("plain", 32)
    assert found["block.0.weight"] == ("rows", 3), "the first rule counts"
    assert found["block.2.weight"] == ("rows", 5)
    assert found["fc.weight"] == ("plain", 32), "no rule"


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("quantizer", ["minmax", "lsq", "affine", "symmetric", "lsq+", "dorefa", "pact"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_quantized_model_returns_exactly_in_its_own_bits(tmp_path, quantizer, granularity, bits):
    x = images(16)
    choices = dict.fromkeys(TINY_LAYERS, bits)
    config = CompressionConfig.from_bits(
        choices, a_bits=8, quantizer=quantizer, granularity=granularity, density=0.5
    )
    model = apply(tiny_net(), config).eval()
    calibrate(model, x)
    state = save_compressed(tmp_path / "m.safetensors", model)
    forms = {record.name: (record.form, record.bits) for record in state.tensors}
    assert {forms[f"{name}.weight"] for name in ("block.2", "fc")} == {("grid", bits)}
    again = apply(tiny_net(seed=1), config).eval()
    load_compressed(tmp_path / "m.safetensors", again)
    torch.testing.assert_close(again(x), model(x), rtol=1e-5, atol=1e-6)


def test_dorefa_returns_its_codes_where_tanh_is_nearly_one(tmp_path):
    config = CompressionConfig.from_bits({"fc": 8}, a_bits=None, quantizer="dorefa", granularity="channel")
    float_model = tiny_net()
    with torch.no_grad():
        float_model.fc.weight[0] *= 1e3
        float_model.fc.weight[1] *= 1e-3
    model, again = apply(float_model, config), apply(tiny_net(seed=1), config)
    save_compressed(tmp_path / "m.safetensors", model)
    load_compressed(tmp_path / "m.safetensors", again)
    expected = model.fc.effective_weight()
    torch.testing.assert_close(again.fc.effective_weight(), expected, rtol=0, atol=1e-6)


def test_a_quantizer_that_would_round_twice_keeps_its_latent_weight(tmp_path):
    config = CompressionConfig.from_bits(
        {"fc": 4}, a_bits=None, quantizer="affine", granularity="channel", rounding="floor"
    )
    model = apply(tiny_net(), config)
    state = save_compressed(tmp_path / "m.safetensors", model)
    record = next(r for r in state.tensors if r.name == "fc.weight")
    assert (record.form, record.bits) == ("rows", 8)
    again = apply(tiny_net(seed=1), config)
    load_compressed(tmp_path / "m.safetensors", again)
    assert float((again.fc.weight - model.fc.weight).detach().abs().max()) <= record.max_error * (1 + 1e-6)


def test_a_pruned_model_stays_pruned(tmp_path):
    masks = {"fc": torch.rand(4, 12, generator=torch.Generator().manual_seed(0)) < 0.3}
    sparse, again = to_sparse(tiny_net(), masks), to_sparse(tiny_net(seed=1), masks)
    save_compressed(tmp_path / "m.safetensors", sparse, {"fc.weight": 4})
    load_compressed(tmp_path / "m.safetensors", again)
    assert torch.equal(again.fc.weight != 0, masks["fc"])
    assert torch.equal(again.fc.mask, masks["fc"])


def test_tied_weights_and_metadata(tmp_path):
    def tied():
        model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
        model[1].weight = model[0].weight
        return model

    model, again = tied(), tied()
    path = tmp_path / "m.safetensors"
    state = save_compressed(path, model, metadata={"epoch": "3"})
    assert state.memory_bytes == 4 * (64 * 64 + 2 * 64)
    assert load_compressed(path, again) == {"epoch": "3"}
    assert read_metadata(path)["epoch"] == "3"
    assert again[1].weight is again[0].weight
    assert float((again[0].weight - model[0].weight).detach().abs().max()) <= state.max_error * (1 + 1e-6)


def test_files_that_do_not_fit(tmp_path):
    path, model = tmp_path / "m.safetensors", tiny_net()
    save_weights(path, model)
    with pytest.raises(ConfigError, match=r"holds no compressed tensors\. Read it with load_weights"):
        load_compressed(path, model)
    save_compressed(path, model)
    with pytest.raises(ConfigError, match=r"m\.safetensors: 'fc.weight' must have shape"):
        load_compressed(path, type(model)(num_classes=5))
    with pytest.raises(ConfigError, match="does not fit the model"):
        load_compressed(path, nn.Linear(2, 2))
    with pytest.raises(ConfigError, match=r"must end in \.safetensors"):
        save_compressed(tmp_path / "m.bits", model)
    for bits, message in (
        (0, r"1\.\.8"),
        (9, r"1\.\.8"),
        ({"fx": 4}, "'fx' matched 0 of"),
        ({"fc": True}, r"1\.\.8"),
    ):
        with pytest.raises(ConfigError, match=message):
            save_compressed(path, model, bits)
    notes, tensors = read_tensors(path)
    assert json.loads(notes["compressed"])["block.2.weight"]["bits"] == 8
    tensors["block.2.weight::codes"] = tensors["block.2.weight::codes"][:-1]
    safetensors.torch.save_file(tensors, path, notes)
    with pytest.raises(
        ConfigError, match=r"'block.2.weight' is damaged: 96 codes of 8 bits take 96 bytes, but got 95"
    ):
        load_compressed(path, model)
    model.fc.weight.data[0, 0] = math.nan
    with pytest.raises(ConfigError, match=r"'fc\.weight' must be finite"):
        save_compressed(path, model)


# --- Huffman ----------------------------------------------------------------------------------------------

COUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=40).filter(any)


@PROPERTY
@given(COUNTS)
def test_entropy_bounds_the_average_length(counts):
    average, entropy = HuffmanCode.of(counts).average_bits(counts), entropy_bits(counts)
    assert entropy - 1e-9 <= average < entropy + 1


@PROPERTY
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_dyadic_counts_meet_the_entropy(splits):
    """Halve the last share again and again: probabilities 2^-k."""
    counts = [2 ** sum(splits)]
    for split in splits:
        last = counts.pop()
        counts += [last >> (i + 1) for i in range(split)] + [last >> split]
    code = HuffmanCode.of(counts)
    assert code.average_bits(counts) == pytest.approx(entropy_bits(counts), abs=1e-9)
    total = sum(counts)
    assert code.lengths == tuple(int(math.log2(total / count)) for count in counts)


@PROPERTY
@given(st.lists(st.integers(1, 30), min_size=2, max_size=5))
def test_no_prefix_code_is_shorter(counts):
    """Against every vector of lengths that Kraft's inequality allows."""
    longest = len(counts) - 1
    lengths = itertools.product(range(1, longest + 1), repeat=len(counts))
    allowed = (ls for ls in lengths if sum(2.0**-n for n in ls) <= 1)
    best = min(sum(n * count for n, count in zip(ls, counts, strict=True)) for ls in allowed)
    assert HuffmanCode.of(counts).average_bits(counts) * sum(counts) == pytest.approx(best)


@PROPERTY
@given(COUNTS, st.integers(0, 99))
def test_symbols_return_and_take_their_average(counts, seed):
    counts = [min(count, 50) for count in counts]
    symbols = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(seed).shuffle(symbols)
    code = HuffmanCode.of(counts)
    data = code.encode(symbols)
    assert len(data) == math.ceil(round(code.average_bits(counts) * sum(counts)) / 8)
    assert np.array_equal(code.decode(data, len(symbols)), symbols)


@PROPERTY
@given(COUNTS)
def test_words_are_canonical_and_no_word_begins_another(counts):
    code = HuffmanCode.of(counts)
    used = sorted((length, symbol) for symbol, length in enumerate(code.lengths) if length)
    words = [f"{code.words[symbol]:0{length}b}" for length, symbol in used]
    assert words == sorted(words)
    assert all(not b.startswith(a) for a, b in itertools.pairwise(words))
    if words:
        assert sum(2.0 ** -len(word) for word in words) == 1
        assert words[0] == "0" * len(words[0])


def test_data_that_do_not_decode():
    code = HuffmanCode.of([1, 1, 1])
    with pytest.raises(ConfigError, match="must hold 9 words"):
        code.decode(code.encode(np.array([0, 1])), 9)
    for counts in ([], [0, 0], [1, -1]):
        with pytest.raises(ConfigError, match="counts must be >= 0 and not all 0"):
            HuffmanCode.of(counts)


def test_the_table_of_a_model():
    model = load_model("resnet20")
    table = huffman_table(model, 4).set_index("layer")
    layers, total = table.drop("total"), table.loc["total"]
    assert list(layers.index) == [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert (layers["entropy_bits"] <= layers["huffman_bits"]).all()
    assert (layers["huffman_bits"] < layers["entropy_bits"] + 1).all()
    assert (layers["bits"] == 4).all()
    assert total["weights"] == layers["weights"].sum()
    assert total["huffman_bits"] == pytest.approx(
        (layers["huffman_bits"] * layers["weights"]).sum() / total["weights"]
    )
    sizes = np.ceil(layers["huffman_bits"] * layers["weights"] / 8 - 1e-6) + 16
    assert (layers["size_bytes"] == sizes).all()


@pytest.mark.parametrize("quantizer", ["lsq", "affine", "minmax", "dorefa"])
def test_quantized_weights_have_the_codes_of_their_grid(quantizer):
    """The entropy of the codes is that of the values that multiply."""
    config = CompressionConfig.from_bits({"block.2": 3, "fc": 3}, a_bits=None, quantizer=quantizer, density=0.6)
    model = apply(tiny_net(), config)
    table = huffman_table(model).set_index("layer")
    for name in ("block.2", "fc"):
        values = model.get_submodule(name).effective_weight().detach()
        counts = torch.unique(values, return_counts=True)[1]
        assert table.loc[name, "bits"] == 3
        assert table.loc[name, "entropy_bits"] == pytest.approx(entropy_bits(counts.numpy()))
    assert table.loc["conv1", "bits"] == 8


def test_tables_that_cannot_be():
    with pytest.raises(ConfigError, match=r"bits must be an integer in 1\.\.8, but got 16"):
        huffman_table(tiny_net(), 16)
    with pytest.raises(ConfigError, match="no layer with a weight"):
        huffman_table(nn.ReLU())
