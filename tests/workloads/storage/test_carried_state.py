"""The state of a model on its way between processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import quadrant_net
from workloads.compress import CompressionConfig, apply, load_weights, save_weights
from workloads.storage.weights import CarriedState, carried


class Tied(nn.Module):
    """Two names of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.words.weight


def quantized() -> nn.Module:
    net = quadrant_net(seed=1)
    names = [name for name, module in net.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return apply(net, CompressionConfig.from_bits(dict.fromkeys(names, 4), a_bits=8), seed=0)


@pytest.mark.parametrize("make", [Tied, quantized])
def test_it_is_written_as_the_model_would_be(tmp_path: Path, make: type[nn.Module]) -> None:
    model = make()
    state = pickle.loads(pickle.dumps(carried(model)))
    assert isinstance(state, CarriedState)
    notes = {"key": "k", "correct": "3"}
    save_weights(tmp_path / "model.safetensors", model, notes)
    save_weights(tmp_path / "state.safetensors", state, notes)
    assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "state.safetensors").read_bytes()
    wanted, found = model.state_dict(), state.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    other = make()
    for value in other.state_dict().values():
        value.zero_() if value.is_floating_point() else None
    state.load_into(other)
    assert all(torch.equal(other.state_dict()[name], wanted[name]) for name in wanted)
    assert load_weights(tmp_path / "state.safetensors", other) == notes


def test_damage_on_the_way_is_noticed() -> None:
    state = CarriedState.of(Tied())
    data = bytearray(state.data)
    data[-1] ^= 1
    with pytest.raises(ConfigError, match="weights in memory: its content must have the hash"):
        CarriedState(bytes(data)).state_dict()


def test_what_is_no_module_travels_as_it_is() -> None:
    assert carried("anything") == "anything"
