"""An interrupted run goes on to the same weights, to the last bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import Data, quadrant_data, quadrant_net
from workloads.compress import CompressionConfig, apply, calibrate, save_weights
from workloads.compress.pruning import Stepwise, channel_groups
from workloads.training import (
    AdmmHook,
    ChannelPruner,
    Checkpoints,
    EpochRecord,
    MagnitudePruner,
    TrainHook,
    TrainResult,
    TrainSettings,
    finetune,
    read_state,
    sparse_projection,
    write_state,
)

SETTINGS = TrainSettings(epochs=4, lr=0.1, batch_size=32)


@pytest.fixture(scope="module")
def data() -> Data:
    return quadrant_data()


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def build(kind: str, data: Data) -> tuple[nn.Module, list[TrainHook]]:
    """A fresh model and fresh hooks, as a new process has them."""
    if kind == "float":
        return nn.Sequential(quadrant_net(), nn.Dropout(0.2)), []
    config = CompressionConfig.from_bits({"conv": 3, "fc": 3}, a_bits=4, quantizer="lsq")
    if kind == "channels":
        model = quadrant_net()
        groups = channel_groups(model, data.train.x[:1])
        return model, [ChannelPruner(groups, Stepwise(step=0.25, every=1, final=0.5, start=1))]
    model = apply(quadrant_net(), config)
    if kind != "uncalibrated":
        calibrate(model, data.train.x[:64])
    if kind == "pruned":
        return model, [MagnitudePruner(Stepwise(step=0.25, every=1, final=0.75, start=1))]
    if kind == "admm":
        return model, [AdmmHook(sparse_projection(0.5), rho=0.01)]
    return model, []


def run(
    kind: str, data: Data, settings: TrainSettings, checkpoints: Checkpoints | None = None, stop: int | None = None
) -> tuple[nn.Module, list[TrainHook], TrainResult | None]:
    """Train; Ctrl-C in the callback of epoch `stop`."""
    model, hooks = build(kind, data)

    def progress(record: EpochRecord) -> None:
        if record.epoch == stop:
            raise KeyboardInterrupt

    torch.manual_seed(99 if checkpoints is not None and checkpoints.resume else 1)  # must not matter
    try:
        result = finetune(
            model, data.train, settings, validation=data.validation, device="cpu", hooks=hooks,
            checkpoints=checkpoints, progress=progress,
        )  # fmt: skip
    except KeyboardInterrupt:
        return model, hooks, None
    return model, hooks, result


def plain(result: TrainResult | None) -> list[EpochRecord]:
    """The history without its times."""
    assert result is not None
    return [replace(record, wall_s=0.0) for record in result.history]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("float", {}),
        ("float", {"optimizer": "adam", "lr": 0.01, "clip_norm": 0.5, "schedule": "constant"}),
        ("float", {"crop": 1, "flip": True, "cutout": 2, "shift": 1, "ema_decay": 0.9, "amp": "bf16"}),
        ("quantized", {"schedule": "multistep", "milestones": (1, 3), "ema_decay": 0.99}),
        ("uncalibrated", {}),
        ("pruned", {"ema_decay": 0.9}),
        ("channels", {}),
        ("admm", {"warmup_epochs": 2.5}),
    ],
)
def test_two_and_two_epochs_are_four(data: Data, tmp_path: Path, kind: str, changes: dict[str, Any]) -> None:
    settings = replace(SETTINGS, **changes)
    whole, whole_hooks, expected = run(kind, data, settings)
    path = tmp_path / "run.safetensors"
    half, _, nothing = run(kind, data, settings, Checkpoints(path=path), stop=2)
    assert nothing is None
    assert not same(state_of(half), state_of(whole))
    resumed, hooks, result = run(kind, data, settings, Checkpoints(path=path, resume=True))
    assert same(state_of(resumed), state_of(whole))
    assert plain(result) == plain(expected)
    if kind == "channels":
        kept = [hook.keep for hook in (*hooks, *whole_hooks) if isinstance(hook, ChannelPruner)]
        assert kept[0] == kept[1] != {}


def test_interrupted_within_an_epoch_it_goes_on_after_the_last_whole_one(data: Data, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    model = quadrant_net()

    def steps(done: int, total: int) -> None:
        assert total == 4 * 8
        if done == 2 * 8 + 3:
            raise KeyboardInterrupt

    rare = Checkpoints(path=path, every=100)
    with pytest.raises(KeyboardInterrupt):
        finetune(model, data.train, SETTINGS, device="cpu", steps=steps, checkpoints=rare)
    assert read_state(path)["epoch"] == 2, "written on the way out, though not due"
    resumed, whole = quadrant_net(), quadrant_net()
    seen: list[int] = []
    result = finetune(
        resumed, data.train, SETTINGS, device="cpu", checkpoints=replace(rare, resume=True),
        progress=lambda record: seen.append(record.epoch),
    )  # fmt: skip
    assert seen == [3, 4]
    assert [record.epoch for record in result.history] == [1, 2, 3, 4]
    assert result.wall_s >= sum(record.wall_s for record in result.history)
    finetune(whole, data.train, SETTINGS, device="cpu")
    assert same(state_of(resumed), state_of(whole))


KILLED = """
import os, signal, sys
from tests.workloads.compress.compress_models import quadrant_data
from tests.workloads.training.test_resume import SETTINGS, build
from workloads.training import Checkpoints, finetune
data = quadrant_data()
model, hooks = build("pruned", data)
def die(done, total):
    if os.path.exists(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
finetune(model, data.train, SETTINGS, validation=data.validation, device="cpu", hooks=hooks,
         checkpoints=Checkpoints(path=sys.argv[1]), steps=die)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_process_loses_no_whole_epoch(data: Data, tmp_path: Path) -> None:
    """It kills itself at the first step after a state is there: in the second epoch."""
    path = tmp_path / "run.safetensors"
    process = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=Path(__file__).parents[3], check=False)
    assert process.returncode == -signal.SIGKILL, "it was killed, not done"
    assert read_state(path)["epoch"] == 1
    resumed, _, _ = run("pruned", data, SETTINGS, Checkpoints(path=path, resume=True))
    whole, _, _ = run("pruned", data, SETTINGS)
    assert same(state_of(resumed), state_of(whole))


def test_more_epochs_where_no_past_rate_depends_on_them(data: Data, tmp_path: Path) -> None:
    constant = replace(SETTINGS, schedule="constant")
    path = tmp_path / "run.safetensors"
    run("float", data, replace(constant, epochs=2), Checkpoints(path=path))
    longer, _, _ = run("float", data, constant, Checkpoints(path=path, resume=True))
    whole, _, _ = run("float", data, constant)
    assert same(state_of(longer), state_of(whole))
    other = tmp_path / "cosine.safetensors"
    run("float", data, replace(SETTINGS, epochs=2), Checkpoints(path=other))
    with pytest.raises(ConfigError, match=r"its run has epochs=2, now 4\. Resume with the same settings"):
        run("float", data, SETTINGS, Checkpoints(path=other, resume=True))


def test_another_run_is_not_resumed(data: Data, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    run("float", data, SETTINGS, Checkpoints(path=path), stop=2)
    before = path.read_bytes()
    again = Checkpoints(path=path, resume=True)
    with pytest.raises(ConfigError, match=r"its run has lr=0\.1, now 0\.2"):
        run("float", data, replace(SETTINGS, lr=0.2), again)
    with pytest.raises(ConfigError, match=r"its run has amp='off', now 'bf16'"):
        run("float", data, replace(SETTINGS, amp="bf16"), again)
    with pytest.raises(ConfigError, match="another training split"):
        run("float", quadrant_data(noise=0.5), SETTINGS, again)
    relabelled = replace(data, train=replace(data.train, y=(data.train.y + 1) % 4))
    with pytest.raises(ConfigError, match="another training split"):
        run("float", relabelled, SETTINGS, again)
    with pytest.raises(ConfigError, match="other hooks"):
        run("pruned", data, SETTINGS, again)
    with pytest.raises(ConfigError, match="does not fit the model"):
        run("quantized", data, SETTINGS, again)
    with pytest.raises(ConfigError, match=r"an unfinished run is there, 2 of 4 epochs\. Resume it \(--resume"):
        run("float", data, SETTINGS, Checkpoints(path=path))
    assert path.read_bytes() == before


def test_a_finished_run_is_over_and_a_missing_one_begins(data: Data, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    first, _, one = run("float", data, SETTINGS, Checkpoints(path=path, resume=True))
    second, _, two = run("float", data, SETTINGS, Checkpoints(path=path, resume=True))
    assert same(state_of(first), state_of(second))
    assert plain(one) == plain(two)
    third, _, _ = run("float", data, replace(SETTINGS, epochs=1), Checkpoints(path=path))
    assert read_state(path)["epoch"] == 1, "a finished run may be overwritten"
    assert not same(state_of(third), state_of(first))


# ---- the file ------------------------------------------------------------------------------------


def test_states_come_back_as_they_were(tmp_path: Path) -> None:
    state = {
        "a": torch.arange(6).reshape(2, 3).t(), "empty": torch.zeros(0, 3), "scalar": torch.tensor(1.5),
        "mask": torch.tensor([True, False]), "bytes": torch.get_rng_state(),
        "plain": [1, 2.5, "x", None, True, [0.1 + 0.2, float("inf")]], 3: {"tensor": "no tensor", "map": []},
    }  # fmt: skip
    path = write_state(tmp_path / "s.safetensors", state)
    found = read_state(path)
    assert list(found) == list(state)
    for name in ("a", "empty", "scalar", "mask", "bytes"):
        assert torch.equal(found[name], state[name])
        assert found[name].dtype == state[name].dtype
    assert found["plain"] == state["plain"]
    assert found[3] == state[3]


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds weights, not the state of a training run"):
        read_state(save_weights(tmp_path / "w.safetensors", quadrant_net()))
    with pytest.raises(ConfigError, match="cannot be read as safetensors"):
        read_state(tmp_path / "absent.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"12")
    with pytest.raises(ConfigError, match="cannot be read as safetensors"):
        read_state(tmp_path / "cut.safetensors")
    with pytest.raises(ConfigError, match="holds tensors and plain values, but got set"):
        write_state(tmp_path / "x.safetensors", {"a": {1}})
    with pytest.raises(ConfigError, match=r"must end in \.safetensors"):
        Checkpoints(path=tmp_path / "run.json")
    with pytest.raises(ConfigError, match="every >= 1"):
        Checkpoints(path=tmp_path / "run.safetensors", every=0)
