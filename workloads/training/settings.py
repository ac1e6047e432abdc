"""How to train. Plain values: no torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from hwmodel.errors import ConfigError, did_you_mean

OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("cosine", "constant")
#: name -> (lowest, highest, both included); lr and the temperature must exceed 0.
_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (0, math.inf),
    "batch_size": (1, math.inf),
    "lr": (0, math.inf),
    "momentum": (0, 1),
    "weight_decay": (0, math.inf),
    "warmup_epochs": (0, math.inf),
    "label_smoothing": (0, 1),
    "shift": (0, math.inf),
    "distill_weight": (0, 1),
    "distill_temperature": (0, math.inf),
    "seed": (0, 2**63 - 1),
}
_INTEGERS = ("epochs", "batch_size", "shift", "seed")
_POSITIVE = ("lr", "distill_temperature")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """One training run. The defaults finetune a quantized model; `TrainSettings.from_scratch` trains a float one.

    Attributes:
        epochs: passes over the training split; 0 trains nothing.
        lr: peak learning rate.
        batch_size: images per step; the last incomplete batch of an epoch is left out.
        optimizer: `sgd` (Nesterov momentum) or `adam` (decoupled weight decay).
        momentum: of `sgd`.
        weight_decay: on weights only: norms, biases and quantizer steps are left alone.
        schedule: `cosine` to zero, or `constant`.
        warmup_epochs: the rate rises linearly from zero over these.
        label_smoothing: share of the target spread over all classes.
        shift: each training image is moved by up to so many pixels in y and x; the edge is repeated.
        distill_weight: share of the loss that follows a teacher's outputs instead of the labels.
        distill_temperature: softens both outputs for that share.
        seed: of shuffling, shifts and dropout.

    Raises:
        ConfigError: a value out of its range.
    """

    epochs: int = 8
    lr: float = 0.05
    batch_size: int = 64
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    warmup_epochs: float = 0.5
    label_smoothing: float = 0.0
    shift: int = 0
    distill_weight: float = 0.0
    distill_temperature: float = 4.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int if name in _INTEGERS else (int, float)):
                kind = "an integer" if name in _INTEGERS else "a number"
                raise ConfigError(f"{name} must be {kind}, but got {value!r}")
            if name in _POSITIVE and not 0 < value < math.inf:
                raise ConfigError(f"`{name} > 0` must hold, but got {name}={value!r}")
            if not low <= value <= high:
                raise ConfigError(f"`{low} <= {name} <= {high}` must hold, but got {name}={value!r}")
        for name, options in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            value = getattr(self, name)
            if value not in options:
                hint = did_you_mean(str(value), options)
                raise ConfigError(f"{name} must be one of {', '.join(options)}, but got {value!r}.{hint}")

    @classmethod
    def from_scratch(cls, **changes: Any) -> Self:
        """Settings that train a small float model from random weights; any of them can be changed."""
        defaults: dict[str, Any] = {
            "epochs": 30,
            "lr": 0.1,
            "weight_decay": 5e-4,
            "warmup_epochs": 2.0,
            "shift": 1,
            "label_smoothing": 0.1,
        }
        return cls.from_dict(defaults | changes)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Settings from plain values; keys left out take their defaults.

        Raises:
            ConfigError: an unknown key, or a value out of its range.
        """
        known = [f.name for f in fields(cls)]
        for key in data:
            if key not in known:
                raise ConfigError(f"unknown training setting {key!r}.{did_you_mean(str(key), known)}")
        return cls(**data)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON and YAML."""
        return asdict(self)

    @property
    def key(self) -> str:
        """16 hex digits of the content."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def rate(self, progress: float) -> float:
        """Learning rate after a share of the run.

        Args:
            progress: finished epochs, fractions included; 0 .. `epochs`.
        """
        if progress < self.warmup_epochs:
            return self.lr * progress / self.warmup_epochs
        if self.schedule == "constant":
            return self.lr
        rest = max(self.epochs - self.warmup_epochs, 1e-9)
        return self.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - self.warmup_epochs) / rest)))
