"""How to train. Plain values: no torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from hwmodel.errors import ConfigError, check_keys, check_one_of
from workloads.training.schedules import SCHEDULES, cosine, multistep, warmup

OPTIMIZERS = ("sgd", "adam")
AMP = ("off", "bf16", "fp16")
CONTIGUOUS, CHANNELS_LAST = MEMORY_FORMATS = ("contiguous", "channels_last")
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
    "gamma": (0, 1),
    "lr_floor": (0, 1),
    "crop": (0, math.inf),
    "cutout": (0, math.inf),
    "ema_decay": (0, 1),
    "clip_norm": (0, math.inf),
}
_INTEGERS = ("epochs", "batch_size", "shift", "seed", "crop", "cutout")
_CHOICES = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "amp": AMP, "memory_format": MEMORY_FORMATS}
_SWITCHES = ("flip", "compile")
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
        schedule: `cosine`, `constant`, or `multistep`.
        warmup_epochs: the rate rises linearly from zero over these.
        label_smoothing: share of the target spread over all classes.
        shift: each training image is moved by up to so many pixels in y and x; the edge is repeated.
        distill_weight: share of the loss that follows a teacher's outputs instead of the labels.
        distill_temperature: softens both outputs for that share.
        seed: of shuffling, augmentation, dropout and stochastic rounding.
        milestones: of `multistep`: after each of these epochs the rate is multiplied by `gamma`.
        gamma: of `multistep`.
        lr_floor: of `cosine`: the last rate, as a share of `lr`.
        crop: each training image is padded with zeros by so many pixels and cropped at random to its size.
        flip: mirror half of the training images left to right.
        cutout: side of a square in each training image that is set to zero [pixels]; 0 is none.
        ema_decay: > 0 averages the weights over the steps, and the average is what training gives; 0.999 is usual.
        clip_norm: longest gradient, all parameters together; 0 leaves gradients as they are.
        amp: mixed precision: `off`, `bf16` (CPU and CUDA), or `fp16` with a scaled loss (CUDA).
        compile: train through `torch.compile`.
        data_seed: of shuffling and augmentation in the place of `seed`: runs of several seeds see the same batches.
        memory_format: of images in training and measuring: `contiguous`, or `channels_last`, where convolutions of
            a CPU (of a GPU in 16 bits) are faster. Results differ by rounding.

    A setting of the second half (from `milestones` on) that has its default is left out of `to_dict`
    and `key`: files of before they existed stay valid.

    Raises:
        ConfigError: a value out of its range, or one that its schedule does not use.
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
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    lr_floor: float = 0.0
    crop: int = 0
    flip: bool = False
    cutout: int = 0
    ema_decay: float = 0.0
    clip_norm: float = 0.0
    amp: str = "off"
    compile: bool = False
    data_seed: int | None = None
    memory_format: str = CONTIGUOUS

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
        for name, options in _CHOICES.items():
            check_one_of(name, getattr(self, name), options)
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, but got {getattr(self, name)!r}")
        if self.data_seed is not None and not (_is_integer(self.data_seed) and 0 <= self.data_seed < 2**63):
            raise ConfigError(f"data_seed must be an integer in 0..2^63 - 1, or null, but got {self.data_seed!r}")
        if self.ema_decay == 1:
            raise ConfigError("`ema_decay < 1` must hold: with ema_decay=1 the average never moves")
        self._check_schedule()

    def _check_schedule(self) -> None:
        steps = self.milestones
        is_list = isinstance(steps, (list, tuple))
        if not is_list or not all(_is_number(step) and 0 < step < math.inf for step in steps):
            raise ConfigError(f"milestones must be epochs, such as [15, 25], but got {steps!r}")
        object.__setattr__(self, "milestones", tuple(steps))
        if list(steps) != sorted(set(steps)):
            raise ConfigError(f"milestones must rise, but got {list(steps)}")
        if bool(steps) != (self.schedule == "multistep"):
            raise ConfigError(
                "milestones belong to schedule 'multistep' and it needs some, but got "
                f"milestones={list(steps)} with schedule={self.schedule!r}"
            )
        if self.lr_floor and self.schedule != "cosine":
            raise ConfigError(f"lr_floor belongs to schedule 'cosine', but got {self.schedule!r}")

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
        check_keys(data, (f.name for f in fields(cls)), "training setting")
        return cls(**data)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON and YAML; newer settings only where they differ from their defaults."""
        names = [f.name for f in fields(self)]
        first_new = names.index("milestones")
        return {
            f.name: list(value) if isinstance(value, tuple) else value
            for index, f in enumerate(fields(self))
            if (value := getattr(self, f.name)) != f.default or index < first_new
        }

    def shortened(self, share: float) -> Self:
        """The same schedule in a share of the epochs, one at least: warm-up and milestones shrink with it."""
        if not 0 < share <= 1:
            raise ConfigError(f"`0 < share <= 1` must hold, but got share={share!r}")
        return replace(
            self,
            epochs=min(self.epochs, max(1, round(self.epochs * share))),
            warmup_epochs=self.warmup_epochs * share,
            milestones=tuple(step * share for step in self.milestones),
        )

    @property
    def order_seed(self) -> int:
        """The seed of shuffling and augmentation."""
        return self.seed if self.data_seed is None else self.data_seed

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
            return warmup(self.lr, progress, self.warmup_epochs)
        if self.schedule == "multistep":
            return multistep(self.lr, progress, self.milestones, self.gamma)
        if self.schedule == "cosine":
            return cosine(self.lr, progress, self.warmup_epochs, self.epochs, self.lr * self.lr_floor)
        return self.lr


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
