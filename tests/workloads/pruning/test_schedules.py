"""Learning rates against their formulas, and settings that old files hold."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.errors import ConfigError
from workloads.training import TrainSettings
from workloads.training.schedules import cosine, multistep, warmup

EPOCHS = st.integers(1, 60)
RATES = st.floats(1e-4, 1.0)


@settings(deadline=None, max_examples=40)
@given(EPOCHS, RATES, st.floats(0, 0.9), st.floats(0, 1))
def test_cosine_is_its_equation(epochs: int, lr: float, floor: float, share: float) -> None:
    """SGDR, equation 5: eta_min + (eta_max - eta_min)(1 + cos(pi T_cur/T))/2."""
    made = TrainSettings(epochs=epochs, lr=lr, warmup_epochs=0, lr_floor=floor)
    low = lr * floor
    assert made.rate(share * epochs) == pytest.approx(low + (lr - low) * (1 + math.cos(math.pi * share)) / 2)
    assert made.rate(0) == pytest.approx(lr)
    assert made.rate(epochs) == pytest.approx(low)
    assert made.rate(epochs + 5) == pytest.approx(low), "flat behind its end"


@settings(deadline=None, max_examples=40)
@given(RATES, st.floats(0.01, 0.9), st.lists(st.integers(1, 30), min_size=1, max_size=4, unique=True))
def test_multistep_is_that_of_torch(lr: float, gamma: float, milestones: list[int]) -> None:
    import torch

    steps = sorted(milestones)
    made = TrainSettings(
        epochs=31, lr=lr, schedule="multistep", milestones=tuple(steps), gamma=gamma, warmup_epochs=0
    )
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, steps, gamma)
    for epoch in range(31):
        for part in (0.25, 1.0):  # every step of epoch + 1, whose steps end at epoch + 1
            assert made.rate(epoch + part) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("schedule", ["cosine", "constant", "multistep"])
def test_warm_up_is_a_line_from_zero_before_any_schedule(schedule: str) -> None:
    made = TrainSettings(
        epochs=10, lr=0.3, schedule=schedule, milestones=(6,) if schedule == "multistep" else (), warmup_epochs=4
    )
    assert [made.rate(p) for p in (0, 1, 2, 3)] == pytest.approx([0.3 * p / 4 for p in range(4)])
    assert made.rate(4) == 0.3
    assert made.rate(10) == pytest.approx({"cosine": 0, "constant": 0.3, "multistep": 0.03}[schedule], abs=1e-12)


def test_the_pieces() -> None:
    assert (warmup(2.0, 1, 4), warmup(2.0, 9, 4), warmup(2.0, 0, 0)) == (0.5, 2.0, 2.0)
    assert cosine(1.0, 6, 2, 10) == pytest.approx(0.5)
    assert [multistep(1.0, p, (2, 4), 0.5) for p in (2, 2.1, 4, 4.1)] == [1, 0.5, 0.5, 0.25]


# ---- old files -----------------------------------------------------------------------------------

FIRST = {
    "epochs": 8, "lr": 0.05, "batch_size": 64, "optimizer": "sgd", "momentum": 0.9, "weight_decay": 1e-4,
    "schedule": "cosine", "warmup_epochs": 0.5, "label_smoothing": 0.0, "shift": 0, "distill_weight": 0.0,
    "distill_temperature": 4.0, "seed": 0,
}  # fmt: skip


def test_settings_and_keys_of_before_are_unchanged() -> None:
    """A search is resumed only where the key of its training is what it was: 13 settings, hashed as JSON."""
    key = hashlib.sha256(json.dumps(FIRST, sort_keys=True).encode()).hexdigest()[:16]
    assert TrainSettings().to_dict() == FIRST
    assert TrainSettings().key == key == TrainSettings.from_dict(FIRST).key


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "multistep", "milestones": (2.0, 4.5), "gamma": 0.5},
        {"crop": 4, "flip": True, "cutout": 8},
        {"ema_decay": 0.99, "clip_norm": 1.0, "amp": "bf16", "compile": True, "lr_floor": 0.01},
        {"memory_format": "channels_last"},
    ],
)
def test_newer_settings_count_where_they_are_used(changes: dict[str, Any]) -> None:
    made = TrainSettings(**changes)
    assert set(made.to_dict()) - set(FIRST) == set(changes) - {"schedule"}
    assert TrainSettings.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert made.key != TrainSettings().key
    keys = {replace(TrainSettings(), **{name: value}).key for name, value in changes.items() if name in NEW_ALONE}
    assert len(keys) == len(NEW_ALONE & set(changes))


NEW_ALONE = {"crop", "flip", "cutout", "ema_decay", "clip_norm", "amp", "compile", "lr_floor", "memory_format"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "multistep"}, r"milestones belong to schedule 'multistep' and it needs some"),
        ({"milestones": [3]}, r"milestones=\[3\] with schedule='cosine'"),
        ({"schedule": "multistep", "milestones": [4, 2]}, r"milestones must rise, but got \[4, 2\]"),
        ({"schedule": "multistep", "milestones": [0]}, r"milestones must be epochs, such as \[15, 25\]"),
        ({"schedule": "multistep", "milestones": "15"}, r"milestones must be epochs"),
        ({"schedule": "constant", "lr_floor": 0.1}, r"lr_floor belongs to schedule 'cosine'"),
        ({"amp": "fp8"}, r"amp must be one of off, bf16, fp16, but got 'fp8'"),
        ({"memory_format": "nhwc"}, r"memory_format must be one of contiguous, channels_last, but got 'nhwc'"),
        ({"flip": 1}, r"flip must be true or false, but got 1"),
        ({"ema_decay": 1.0}, r"ema_decay < 1"),
        ({"clip_norm": -1}, r"0 <= clip_norm"),
        ({"crop": 0.5}, r"crop must be an integer"),
    ],
)
def test_bad_newer_settings_are_answered(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainSettings.from_dict(changes)
