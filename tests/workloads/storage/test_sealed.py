"""Weight files show damage, and the same content gives the same bytes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import safetensors.torch
import torch

from hwmodel.errors import ConfigError
from workloads.storage.safefile import CONTENT, safetensors_bytes
from workloads.storage.sealed import read_file
from workloads.storage.weights import read_hash, read_metadata

TENSORS = {
    "w": torch.arange(6.0).reshape(2, 3), "half": torch.ones(3, dtype=torch.bfloat16),
    "mask": torch.tensor([True, False]), "step": torch.tensor(0.5), "none": torch.empty(0, 4),
}  # fmt: skip
NOTES = {f"note{i}": str(i) for i in range(8)}


def test_same_content_same_bytes_and_back(tmp_path: Path) -> None:
    data = safetensors_bytes(TENSORS, NOTES)
    assert all(safetensors_bytes(TENSORS, dict(reversed(NOTES.items()))) == data for _ in range(5))
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    notes, tensors = read_file(path)
    assert notes == NOTES == read_metadata(path)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())
    assert len(read_hash(path)) == 64
    assert safetensors_bytes(TENSORS, NOTES | {"note0": "1"}) != data


def test_no_flipped_bit_changes_what_is_read(tmp_path: Path) -> None:
    """Every bit of the weights, and many of the header: refused, or what is read is what was written."""
    data, dice, path = safetensors_bytes(TENSORS, NOTES), random.Random(0), tmp_path / "w.safetensors"
    start = 8 + int.from_bytes(data[:8], "little")
    bits = [*range(8 * start, 8 * len(data)), *(dice.randrange(8 * start) for _ in range(400))]
    for bit in bits:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(damaged))
        try:
            notes, tensors = read_file(path)
        except ConfigError:
            continue
        assert bit < 8 * start, "a weight"
        assert tensors.keys() == TENSORS.keys()
        assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())
        assert NOTES.items() <= notes.items(), "only the name of the hash itself may be lost"


def test_files_of_others_bring_no_hash(tmp_path: Path) -> None:
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "w.safetensors", {"a": "b"})
    assert read_file(tmp_path / "w.safetensors")[0] == {"a": "b"}
    assert read_hash(tmp_path / "w.safetensors") == ""
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "w.safetensors", {CONTENT: "0"})
    with pytest.raises(ConfigError, match="must have the hash '0'"):
        read_file(tmp_path / "w.safetensors")
