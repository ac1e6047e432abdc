from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import quadrant_net
from workloads.compress import CompressionConfig, apply, load_weights

MARK = "ran.txt"


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def differs(model: nn.Module, state: dict[str, Tensor]) -> list[str]:
    return [name for name, value in model.state_dict().items() if not torch.equal(value, state[name])]


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin"])
@pytest.mark.parametrize("form", ["plain", "state_dict", "model_state_dict", "model", "parallel", "compiled"])
def test_a_state_dict_in_any_usual_wrapping(tmp_path: Path, suffix: str, form: str) -> None:
    source, target = quadrant_net(seed=1), quadrant_net(seed=2)
    state = dict(source.state_dict())
    prefix = {"parallel": "module.", "compiled": "_orig_mod."}.get(form, "")
    content: object = {f"{prefix}{name}": value for name, value in state.items()}
    if form in ("state_dict", "model_state_dict", "model"):
        content = {form: content, "epoch": 3, "optimizer": torch.optim.SGD(source.parameters()).state_dict()}
    path = tmp_path / f"net{suffix}"
    torch.save(content, path)
    assert differs(target, state)
    assert load_weights(path, target) == {}
    assert not differs(target, state)


@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_counters_may_miss_and_linear_is_fc(tmp_path: Path, suffix: str) -> None:
    source, target = quadrant_net(seed=1), quadrant_net(seed=2)
    kept = {n: v for n, v in source.state_dict().items() if not n.endswith("num_batches_tracked")}
    other = {n.replace("fc.", "linear."): v for n, v in kept.items()}
    path = tmp_path / f"net{suffix}"
    if suffix == ".npz":
        np.savez(path, **{n: v.numpy() for n, v in other.items()})
    else:
        torch.save(other, path)
    load_weights(path, target)
    assert not differs(target, dict(target.state_dict()) | kept)
    torch.save({n: v for n, v in other.items() if n != "conv.weight"}, tmp_path / "less.pt")
    with pytest.raises(ConfigError, match=r"^less\.pt does not fit the model .* it lacks 'conv\.weight'"):
        load_weights(tmp_path / "less.pt", target)


def test_a_compressed_models_own_state_dict(tmp_path: Path) -> None:
    config = CompressionConfig.from_bits({"conv": 3, "fc": 4})
    source, target = (apply(quadrant_net(seed=seed), config) for seed in (1, 2))
    torch.save(source.state_dict(), tmp_path / "q.pt")
    load_weights(tmp_path / "q.pt", target)
    assert not differs(target, dict(source.state_dict()))
    with pytest.raises(ConfigError, match=r"'conv\.weight_quantizer\.bits' must be 2 bits as configured, but is 3"):
        load_weights(tmp_path / "q.pt", apply(quadrant_net(), CompressionConfig.from_bits({"conv": 2, "fc": 4})))


def test_what_needs_code_is_refused_by_name_and_never_runs(tmp_path: Path) -> None:
    model = quadrant_net()
    state = model.state_dict()
    torch.save(model, tmp_path / "whole.pt")
    torch.save({"state_dict": state, "args": argparse.Namespace(lr=1)}, tmp_path / "args.pt")
    torch.save({"state_dict": state, "evil": Evil(tmp_path / MARK)}, tmp_path / "evil.pt")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil(tmp_path / MARK)))
    with pytest.warns(DeprecationWarning, match="is deprecated"):
        torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "script.pt")
    for name, reason in {
        "whole.pt": r"holds .*compress_models\.QuadrantNet.* would run code.* torch\.save\(model\.state_dict\(\)",
        "args.pt": r"holds argparse\.Namespace beside tensors",
        "evil.pt": r"holds builtins\.getattr, pathlib\.Path",
        "evil.pkl": r"is no state dict that torch\.save wrote",
        "script.pt": r"is a TorchScript program",
    }.items():
        with pytest.raises(ConfigError, match=f"^{name} {reason}"):
            load_weights(tmp_path / name, model)
    assert not (tmp_path / MARK).exists()


def test_damage_and_other_contents(tmp_path: Path) -> None:
    model = quadrant_net()
    torch.save(model.state_dict(), tmp_path / "net.pt")
    whole = (tmp_path / "net.pt").read_bytes()
    (tmp_path / "torn.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save(torch.ones(3), tmp_path / "tensor.pt")
    torch.save({"epoch": 3, "loss": 1.0}, tmp_path / "record.pt")
    np.savez(tmp_path / "names.npz", words=np.array(["a", "b"]))
    for name, reason in {
        "torn.pt": "cannot be read as a PyTorch file", "text.pt": "cannot be read as a PyTorch file",
        "empty.pt": "cannot be read as a PyTorch file", "absent.pt": "cannot be read: No such file",
        "tensor.pt": "must hold a state dict .* but holds Tensor",
        "record.pt": "must hold a state dict .* but holds dict of 'epoch', 'loss'",
        "names.npz": "'words' must hold numbers",
    }.items():  # fmt: skip
        with pytest.raises(ConfigError, match=reason):
            load_weights(tmp_path / name, model)
