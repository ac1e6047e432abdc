"""Bits next to bits, and compressed models stored so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import TINY_LAYERS, images, tiny_net
from workloads.compress import CompressionConfig, LayerChoice, apply, calibrate, quantized_layers
from workloads.export import PackedSize, load_packed, packed_layout, save_packed, verify_packed
from workloads.storage.packing import pack, packed_bytes, unpack
from workloads.storage.safefile import CONTENT


@settings(deadline=None, max_examples=50)
@given(bits=st.integers(1, 16), count=st.integers(0, 70), seed=st.integers(0, 99))
def test_packed_codes_are_one_long_binary_number(bits, count, seed):
    """The oracle is text: the codes in binary, one after the other."""
    codes = np.random.default_rng(seed).integers(0, 2**bits, count)
    text = "".join(f"{code:0{bits}b}" for code in codes)
    text += "0" * (-len(text) % 8)
    packed = pack(codes, bits)
    assert packed.tobytes() == bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
    assert packed.size == packed_bytes(count, bits)
    np.testing.assert_array_equal(unpack(packed, bits, count), codes)


@pytest.mark.parametrize("bits", [3, 11])
def test_long_arrays_are_packed_in_parts(bits):
    codes = np.random.default_rng(0).integers(0, 2**bits, (3, 70_001))
    np.testing.assert_array_equal(unpack(pack(codes, bits), bits, codes.size), codes.reshape(-1))


def test_codes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"codes of 3 bits must lie in 0..7, but reach 0..8"):
        pack(np.array([0, 8]), 3)
    with pytest.raises(ConfigError, match="must be integers"):
        pack(np.array([0.5]), 3)
    with pytest.raises(ConfigError, match=r"5 codes of 3 bits take 2 bytes, but got 3"):
        unpack(np.zeros(3, np.uint8), 3, 5)
    with pytest.raises(ConfigError, match=r"1..16, but got 17"):
        pack(np.array([0]), 17)


def model_of(choices):
    qmodel = apply(tiny_net().eval(), CompressionConfig(choices))
    calibrate(qmodel, images())
    return qmodel


@pytest.mark.parametrize("quantizer", ["minmax", "affine", "symmetric", "dorefa", "pact", "lsq", "lsq+"])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_weights_come_back_to_the_last_bit(tmp_path, quantizer, granularity):
    choices = {
        name: LayerChoice(w_bits=bits, a_bits=8, quantizer=quantizer, granularity=granularity, density=0.5)
        for name, bits in zip(TINY_LAYERS, (1, 3, 8, 16), strict=True)
    }
    qmodel = model_of(choices)
    size = save_packed(tmp_path / "m.safetensors", qmodel)
    assert verify_packed(size.path, qmodel) == len(tiny_net().state_dict())
    plain = tiny_net().eval()
    plain.load_state_dict(load_packed(size.path))
    for name, layer in quantized_layers(qmodel):
        assert torch.equal(plain.get_submodule(name).weight, layer.effective_weight())
    for _, layer in quantized_layers(qmodel):
        layer.input_quantizer.set_bits(32)
    torch.testing.assert_close(plain(images(4)), qmodel.eval()(images(4)))


def test_sizes_are_the_packed_bytes(tmp_path):
    """4 bits per weight, a float32 scale and an int32 zero point per grid; masks are in the codes."""
    qmodel = model_of({"block.2": LayerChoice(w_bits=5, density=0.5), "fc": LayerChoice(w_bits=3)})
    size = save_packed(tmp_path / "m.safetensors", qmodel)
    weights = {name: qmodel.get_submodule(name).weight.numel() for name in ("block.2", "fc")}
    assert size.code_bytes == packed_bytes(weights["block.2"], 5) + packed_bytes(weights["fc"], 3)
    assert size.parameter_bytes == 2 * (4 + 4)
    assert size.float_bytes == sum(t.nbytes for t in tiny_net().state_dict().values())
    assert size.other_bytes == size.float_bytes - 4 * sum(weights.values())
    assert size.size_bytes == (tmp_path / "m.safetensors").stat().st_size
    assert size.ratio == size.float_bytes / size.size_bytes


@pytest.mark.parametrize(("size_bytes", "text"), [
    (1000, "2.7 times smaller than float32"), (2700, "1 times smaller than float32"),
    (7290, "2.7 times larger than float32"),
])  # fmt: skip
def test_a_ratio_in_words_says_which_way(size_bytes, text):
    sizes = {"code_bytes": 0, "parameter_bytes": 0, "other_bytes": 0, "float_bytes": 2700}
    assert PackedSize(path=Path("m"), size_bytes=size_bytes, **sizes).compared == text


def test_the_layout_is_readable_without_us(tmp_path):
    """Decoded by the rules of the layout alone."""
    qmodel = model_of({"fc": LayerChoice(w_bits=3, a_bits=6, quantizer="affine", granularity="channel")})
    path = save_packed(tmp_path / "m.safetensors", qmodel, {"note": "mine"}).path
    with safetensors.safe_open(path, framework="np") as file:
        notes = file.metadata()
        layout = json.loads(notes["hwmodel.packed"])
        record = layout["weights"]["fc.weight"]
        packed, scale, zero = (file.get_tensor(f"fc.weight.{part}") for part in ("codes", "scale", "zero_point"))
    assert notes["note"] == "mine"
    assert layout == packed_layout(path)
    number = int.from_bytes(packed.tobytes(), "big")
    count = int(np.prod(record["shape"]))
    shift = packed.size * 8
    codes = [number >> (shift - 3 * (index + 1)) & 7 for index in range(count)]
    rows = np.array(codes, dtype=np.int32).reshape(record["shape"]) + record["qmin"]
    values = (rows - zero[:, None]).astype(np.float32) * scale[:, None]
    np.testing.assert_array_equal(values, qmodel.fc.effective_weight().detach().numpy())
    grid = qmodel.fc.input_grid()
    assert layout["inputs"]["fc"] == {
        "bits": 6, "qmin": 0, "qmax": 63, "axis": None, "value": "zero_point", "rounding": "nearest",
    }  # fmt: skip
    assert float(safetensors.torch.load_file(path)["fc.input.scale"]) == float(grid.scale)


def test_damage_and_strangers_are_refused(tmp_path):
    qmodel = model_of({"fc": LayerChoice(w_bits=4)})
    path = save_packed(tmp_path / "m.safetensors", qmodel).path
    with torch.no_grad():
        qmodel.fc.weight.mul_(-1)
    with pytest.raises(ConfigError, match=r"'fc.weight' is not what the model has \(1 such\)"):
        verify_packed(path, qmodel)
    with safetensors.safe_open(path, framework="pt") as file:
        tensors, notes = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    del notes[CONTENT]  # a file without the hash of its content, as an earlier version wrote it
    short = {**tensors, "fc.weight.codes": tensors["fc.weight.codes"][:-1]}
    safetensors.torch.save_file(short, tmp_path / "short.safetensors", notes)
    with pytest.raises(ConfigError, match=r"'fc.weight' must have 24 bytes of codes, but has 23 bytes"):
        load_packed(tmp_path / "short.safetensors")
    for part in ("scale", "zero_point"):
        less = {name: value for name, value in tensors.items() if name != f"fc.weight.{part}"}
        safetensors.torch.save_file(less, tmp_path / "less.safetensors", notes)
        with pytest.raises(ConfigError, match=r"less.*'fc.weight' is damaged: its grid needs a scale, and a zero"):
            load_packed(tmp_path / "less.safetensors")
    safetensors.torch.save_file(tensors, tmp_path / "plain.safetensors")
    with pytest.raises(ConfigError, match="was not written by save_packed"):
        load_packed(tmp_path / "plain.safetensors")
    with pytest.raises(ConfigError, match="cannot be read as safetensors"):
        load_packed(tmp_path / "absent.safetensors")
    with pytest.raises(ConfigError, match=r"must end in \.safetensors"):
        save_packed(tmp_path / "m.npz", qmodel)
