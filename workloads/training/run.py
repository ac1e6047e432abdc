"""A training run between two epochs: what it consists of, and how one pass goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwmodel.errors import ConfigError
from workloads.training.accuracy import Accuracy
from workloads.training.augment import augmented
from workloads.training.diagnose import first_bad_gradient, first_non_finite
from workloads.training.distill import Teacher, distillation_loss, soft_targets
from workloads.training.ema import WeightAverage
from workloads.training.hooks import TrainHook
from workloads.training.precision import Precision
from workloads.training.records import EpochRecord, StepProgress
from workloads.training.settings import TrainSettings


@dataclass(kw_only=True)
class Run:
    """Everything that the next step depends on, and the history so far.

    Attributes:
        model: what is trained; its parameters and buffers.
        forward: the model, compiled or not.
        x, y: the training split, on the device.
        settings: how.
        teacher: of distillation, or None.
        hooks: in order.
        steps: called after every step, or None.
        history: of the epochs that are over.
        wall_s: spent before this process resumed the run [s].
    """

    model: nn.Module
    forward: Callable[..., Tensor]
    x: Tensor
    y: Tensor
    settings: TrainSettings
    teacher: Teacher | None
    hooks: Sequence[TrainHook]
    steps: StepProgress | None = None
    history: list[EpochRecord] = field(default_factory=list)
    wall_s: float = 0.0

    def __post_init__(self) -> None:
        self.optimizer = make_optimizer(self.model, self.settings)
        self.generator = torch.Generator().manual_seed(self.settings.seed)
        self.precision = Precision(self.settings.amp, self.x.device)
        decay = self.settings.ema_decay
        self.average = WeightAverage(self.model, decay) if decay else None

    def epoch(self, number: int) -> tuple[float, Accuracy]:
        """(mean loss, accuracy on the batches) of one pass; epochs count from 1."""
        for hook in self.hooks:
            hook.before_epoch(self.model, number)
        self.model.train()
        batches = list(_shuffled(len(self.x), self.settings.batch_size, self.generator))
        total = torch.zeros((), device=self.x.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.x.device)
        for step, chosen in enumerate(batches, 1):
            self._set_rate(number - 1 + step / len(batches))
            place = f"epoch {number}, step {step} of {len(batches)}"
            loss, hits = self._step(chosen.to(self.x.device), place)
            total += loss
            correct += hits
            if self.steps is not None:
                self.steps((number - 1) * len(batches) + step, self.settings.epochs * len(batches))
        seen = sum(len(chosen) for chosen in batches) * (self.y.numel() // len(self.y))
        return float(total) / len(batches), Accuracy(correct=int(correct), total=seen)

    def _set_rate(self, progress: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate(progress)

    def _step(self, index: Tensor, place: str) -> tuple[Tensor, Tensor]:
        """(loss, hits) of one batch, 0-dim."""
        images, labels = augmented(self.x[index], self.settings, self.generator), self.y[index]
        self.optimizer.zero_grad(set_to_none=True)
        loss, scores = self._loss(images, labels, self.forward)
        if not torch.isfinite(loss):
            self._fail(f"the loss is {loss.item()} in {place}: {first_non_finite(self.model, images)}")
        self.precision.backward(loss, self.optimizer)
        norm = self._clip()
        if not self.precision.skips_overflows and not torch.isfinite(norm):
            culprit = first_bad_gradient(self.model, lambda: self._loss(images, labels, self.model)[0])
            self._fail(f"the loss is finite in {place}, but {culprit}")
        if not self.precision.step(self.optimizer):
            self._fail(f"gradients overflow at any loss scale in {place}")
        for hook in self.hooks:
            hook.after_step(self.model, self.optimizer)
        if self.average is not None:
            self.average.update(self.model)
        return loss.detach(), (scores.detach().argmax(-1) == labels).sum()

    def _loss(self, images: Tensor, labels: Tensor, forward: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        """(loss, with the terms of the hooks; scores in at least 32 bits)."""
        with self.precision.autocast():
            scores = forward(images)
        if scores.dtype in (torch.bfloat16, torch.float16):
            scores = scores.float()
        loss = _mixed_loss(scores, labels, images, self.settings, self.teacher)
        for hook in self.hooks:
            extra = hook.extra_loss(self.model)
            loss = loss if extra is None else loss + extra
        return loss, scores

    def _clip(self) -> Tensor:
        """Length of the gradient before it is cut to `clip_norm`; 0-dim."""
        trained = [p for p in self.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None], foreach=True)
        if self.settings.clip_norm:
            torch.nn.utils.clip_grads_with_norm_(trained, self.settings.clip_norm, norm, foreach=True)
        return norm

    def _fail(self, text: str) -> None:
        raise ConfigError(f"{text}. Lower lr (now {self.settings.lr:g}), or check the data.")

    # ---- between two epochs --------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Optimizer, average, loss scale, random states, hooks and history; the model is kept beside it."""
        device = self.x.device
        return {
            "epoch": len(self.history),
            "history": [record.to_dict() for record in self.history],
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state(),
            "precision": self.precision.state(),
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            "hook_states": [hook.state() for hook in self.hooks],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`; the model has been restored before."""
        device = self.x.device
        self.history = [EpochRecord.from_dict(record) for record in state["history"]]
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.restore(state["average"])
        self.precision.restore(state["precision"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])
        if device.type == "cuda" and state["cuda_random"] is not None:
            torch.cuda.set_rng_state(state["cuda_random"], device)
        for hook, kept in zip(self.hooks, state["hook_states"], strict=True):
            hook.restore(kept, device)


def _mixed_loss(
    scores: Tensor, labels: Tensor, images: Tensor, settings: TrainSettings, teacher: Teacher | None
) -> Tensor:
    """Cross-entropy, mixed with the teacher's soft targets; every position of a sequence counts alike."""
    if teacher is not None and settings.distill_weight > 0:
        return distillation_loss(
            scores,
            soft_targets(teacher, images),
            labels,
            settings.distill_temperature,
            settings.distill_weight,
            label_smoothing=settings.label_smoothing,
        )
    return functional.cross_entropy(
        scores.flatten(0, -2), labels.flatten(), label_smoothing=settings.label_smoothing
    )


def _shuffled(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    order = torch.randperm(count, generator=generator)
    if count <= batch_size:
        yield order
        return
    for start in range(0, count - batch_size + 1, batch_size):
        yield order[start : start + batch_size]


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Weight decay on tensors of two or more dims: weights, but no bias, norm or quantizer step."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adam":
        return torch.optim.AdamW(groups, lr=settings.lr)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0)
