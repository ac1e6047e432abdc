"""What one step of a stack computes: the loss and the outputs of every candidate, each on its own batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from workloads.training.inputs import InMemory
from workloads.training.run import Loss, loss_of, mixed
from workloads.training.settings import TrainSettings
from workloads.training.step.augment import augmented
from workloads.training.step.distill import Teacher, soft_targets
from workloads.training.together.stack import Stack


@dataclass(frozen=True, kw_only=True)
class Task:
    """What candidates that train as one have in common, and the settings of each.

    Attributes:
        feed: the training split.
        settings: of every candidate; those that are no candidate's own are equal.
        loss: of outputs and targets; None is that of the targets.
        teacher: of distillation, or None.
    """

    feed: InMemory
    settings: Sequence[TrainSettings]
    loss: Loss | None = None
    teacher: Teacher | None = None

    @property
    def common(self) -> TrainSettings:
        """Settings that hold for all."""
        return self.settings[0]

    def part(self, chosen: Sequence[int]) -> Task:
        """The same for some of the candidates."""
        settings = [self.settings[index] for index in chosen]
        return Task(feed=self.feed, settings=settings, loss=self.loss, teacher=self.teacher)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Inputs, targets and a teacher's scores: shared, (B, ...), or one batch for each candidate, (B, K, ...)."""

    x: Tensor
    y: Tensor
    soft: Tensor | None
    is_shared: bool

    def of(self, index: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """That of one candidate."""
        if self.is_shared:
            return self.x, self.y, self.soft
        return self.x[:, index], self.y[:, index], None if self.soft is None else self.soft[:, index]


class Batches:
    """The batches of every candidate, as its run alone would draw them; equal ones are drawn once."""

    def __init__(self, task: Task) -> None:
        self._task = task
        seeds = [settings.order_seed for settings in task.settings]
        self._generators = {seed: torch.Generator().manual_seed(seed) for seed in seeds}
        self._order = [list(self._generators).index(seed) for seed in seeds]

    def epoch(self) -> Iterator[Batch]:
        """One pass."""
        task = self._task
        size = task.common.batch_size
        passes = [task.feed.shuffled(size, generator) for generator in self._generators.values()]
        for batches in zip(*passes, strict=True):
            drawn = [
                (augmented(x, task.common, generator), y)
                for (x, y), generator in zip(batches, self._generators.values(), strict=True)
            ]
            soft = [self._soft(x) for x, _ in drawn]
            if len(drawn) == 1:
                yield Batch(x=drawn[0][0], y=drawn[0][1], soft=soft[0], is_shared=True)
                continue
            yield Batch(
                x=torch.stack([drawn[index][0] for index in self._order], 1),
                y=torch.stack([drawn[index][1] for index in self._order], 1),
                soft=_stacked([soft[index] for index in self._order]),
                is_shared=False,
            )

    def _soft(self, x: Tensor) -> Tensor | None:
        teacher = self._task.teacher if self._task.common.distill_weight > 0 else None
        return None if teacher is None else soft_targets(teacher, x)


def _stacked(scores: Sequence[Tensor | None]) -> Tensor | None:
    given = [score for score in scores if score is not None]
    return torch.stack(given, 1) if given else None


def losses_of(stack: Stack, batch: Batch, task: Task, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(K,) losses and (K, B, ...) outputs; buffers in `state` move as in a forward pass of each.

    A loss of the user's and that of a teacher are computed one by one: they are small, and may be anything.

    Raises:
        Exception: whatever stands against one forward pass for all: a draw, a branch on a value, an op of no rule.
    """
    place = None if batch.is_shared else 1
    scores = torch.vmap(lambda own, x: functional_call(stack.template, own, (x,)), (0, place))(state, batch.x)
    if task.loss is None and batch.soft is None:
        losses = torch.vmap(lambda outputs, y: _loss(outputs, y, None, task), (0, place))(scores, batch.y)
    else:
        losses = torch.stack([_loss(own, *batch.of(index)[1:], task) for index, own in enumerate(scores)])
    return losses, scores.detach()


def loss_alone(model: nn.Module, state: dict[str, Tensor], batch: Batch, index: int, task: Task) -> Tensor:
    """The loss of one candidate's model with these tensors in the place of its own; 0-dim."""
    x, y, soft = batch.of(index)
    return _loss(functional_call(model, state, (x,)), y, soft, task)


def _loss(scores: Tensor, y: Tensor, soft: Tensor | None, task: Task) -> Tensor:
    loss = loss_of(scores, y, task.common, task.loss)
    return loss if soft is None else mixed(loss, scores, soft, task.common)
