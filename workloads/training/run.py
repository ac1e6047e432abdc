"""A training run between two epochs: what it consists of, and how one pass goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwmodel.errors import ConfigError
from workloads.training.accuracy import Accuracy
from workloads.training.hooks import TrainHook
from workloads.training.inputs import Feed, own_generator
from workloads.training.measuring import check_same_shape, check_scores
from workloads.training.records import EpochRecord, StepProgress, StepRecord
from workloads.training.settings import TrainSettings
from workloads.training.step.augment import augmented
from workloads.training.step.diagnose import first_bad_gradient, first_non_finite
from workloads.training.step.distill import Teacher, soft_targets, with_soft_targets
from workloads.training.step.ema import WeightAverage
from workloads.training.step.layout import laid_out
from workloads.training.step.precision import Precision

#: (outputs, targets) -> 0-dim, with gradients.
Loss = Callable[[Tensor, Tensor], Tensor]


class DivergedError(ConfigError):
    """A loss or a gradient that is not finite: the rate is too high, or the data is wrong."""


@dataclass(kw_only=True)
class Run:
    """Everything that the next step depends on, and the history so far.

    Attributes:
        model: what is trained; its parameters and buffers.
        forward: the model, compiled or not.
        feed: the training split.
        device: where it runs.
        settings: how.
        loss: of outputs and targets; None is cross-entropy of classes, and the mean squared error of numbers.
        teacher: of distillation, or None.
        hooks: in order.
        steps: called after every step, or None.
        history: of the epochs that are over.
        log: of their steps.
        wall_s: spent before this process resumed the run [s].
    """

    model: nn.Module
    forward: Callable[..., Tensor]
    feed: Feed
    device: torch.device
    settings: TrainSettings
    loss: Loss | None
    teacher: Teacher | None
    hooks: Sequence[TrainHook]
    steps: StepProgress | None = None
    history: list[EpochRecord] = field(default_factory=list)
    log: list[StepRecord] = field(default_factory=list)
    wall_s: float = 0.0

    def __post_init__(self) -> None:
        self.optimizer = make_optimizer(self.model, self.settings)
        self.generator = torch.Generator().manual_seed(self.settings.order_seed)
        self.precision = Precision(self.settings.amp, self.device)
        decay = self.settings.ema_decay
        self.average = WeightAverage(self.model, decay) if decay else None

    def epoch(self, number: int) -> tuple[float, Accuracy | None]:
        """(mean loss, accuracy on the batches where they have classes) of one pass; epochs count from 1."""
        for hook in self.hooks:
            hook.before_epoch(self.model, number)
        self.model.train()
        count = self.feed.num_steps(self.settings.batch_size)
        losses: list[Tensor] = []
        rates: list[float] = []
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        seen, has_classes = 0, True
        for step, (x, y) in enumerate(self.feed.shuffled(self.settings.batch_size, self.generator), 1):
            rates.append(self._set_rate(number - 1 + min(1.0, step / count)))
            loss, outputs = self._step(x, y, f"epoch {number}, step {step} of {count}")
            losses.append(loss)
            has_classes = has_classes and not y.is_floating_point() and outputs.shape[:-1] == y.shape
            if has_classes:
                correct += (outputs.argmax(-1) == y).sum()
                seen += y.numel()
            if self.steps is not None:
                self.steps((number - 1) * count + step, self.settings.epochs * count)
        if not losses:
            raise ConfigError(f"epoch {number} had no batch: the loader gives its batches only once.")
        values = [float(value) for value in torch.stack(losses).tolist()]
        first = len(self.log) + 1
        self.log += [
            StepRecord(epoch=number, step=first + index, lr=lr, loss=value)
            for index, (lr, value) in enumerate(zip(rates, values, strict=True))
        ]
        mean = float(torch.stack(losses).sum()) / len(losses)
        return mean, Accuracy(correct=int(correct), total=seen) if has_classes else None

    def _set_rate(self, progress: float) -> float:
        rate = self.settings.rate(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _step(self, x: Tensor, labels: Tensor, place: str) -> tuple[Tensor, Tensor]:
        """(loss 0-dim, outputs) of one batch."""
        images = laid_out(augmented(x, self.settings, self.generator), self.settings.memory_format)
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
        return loss.detach(), scores.detach()

    def _loss(self, images: Tensor, labels: Tensor, forward: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        """(loss, with the terms of the hooks; scores in at least 32 bits)."""
        with self.precision.autocast():
            scores = forward(images)
        if scores.dtype in (torch.bfloat16, torch.float16):
            scores = scores.float()
        loss = loss_of(scores, labels, self.settings, self.loss)
        if self.teacher is not None and self.settings.distill_weight > 0:
            loss = mixed(loss, scores, soft_targets(self.teacher, images), self.settings)
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
        raise DivergedError(f"{text}. Lower lr (now {self.settings.lr:g}), or check the data.")

    # ---- between two epochs --------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Optimizer, average, loss scale, random states, hooks and history; the model is kept beside it."""
        device, order = self.device, self._order
        return {
            "epoch": len(self.history),
            "history": [record.to_dict() for record in self.history],
            "log": [[r.epoch, r.step, r.lr, r.loss] for r in self.log],
            "loader": None if order is None else order.get_state(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state(),
            "precision": self.precision.state(),
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            "hook_states": [hook.state() for hook in self.hooks],
        }

    @property
    def _order(self) -> torch.Generator | None:
        """The generator of a loader that has one of its own."""
        return own_generator(getattr(self.feed, "loader", None))

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`; the model has been restored before."""
        device = self.device
        self.history = [EpochRecord.from_dict(record) for record in state["history"]]
        self.log = [StepRecord(epoch=e, step=s, lr=r, loss=v) for e, s, r, v in state.get("log", [])]
        if self._order is not None and state.get("loader") is not None:
            self._order.set_state(state["loader"])
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


def loss_of(scores: Tensor, labels: Tensor, settings: TrainSettings, loss: Loss | None) -> Tensor:
    """The user's loss, or that of the targets; 0-dim."""
    return _checked(loss(scores, labels)) if loss else _default_loss(scores, labels, settings)


def _default_loss(scores: Tensor, labels: Tensor, settings: TrainSettings) -> Tensor:
    """Cross-entropy, every position of a sequence alike; of numbers the mean squared error."""
    if labels.is_floating_point():
        check_same_shape(scores, labels)
        return functional.mse_loss(scores, labels)
    check_scores(scores, labels)
    try:
        return functional.cross_entropy(
            scores.flatten(0, -2), labels.flatten(), label_smoothing=settings.label_smoothing
        )
    except IndexError:
        raise ConfigError(
            f"labels must be 0..{scores.shape[-1] - 1}, as many as the model has outputs, but reach "
            f"{int(labels.min())}..{int(labels.max())}"
        ) from None


def mixed(loss: Tensor, scores: Tensor, soft: Tensor, settings: TrainSettings) -> Tensor:
    """The loss, mixed with a teacher's scores as soft targets."""
    return with_soft_targets(loss, scores, soft, settings.distill_temperature, settings.distill_weight)


def _checked(loss: Any) -> Tensor:
    """What a loss of the user gave."""
    if not isinstance(loss, Tensor) or loss.dim():
        held = f"a tensor {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ConfigError(
            f"loss(outputs, targets) must give a tensor without dims, but gave {held}. Take its mean."
        )
    return loss


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
