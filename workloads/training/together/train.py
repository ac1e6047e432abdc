"""The training loop of `workloads.training.loop`, for a stack of candidates."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from workloads.training.accuracy import Accuracy
from workloads.training.records import EpochRecord, StepRecord, TrainResult
from workloads.training.together.average import Averages
from workloads.training.together.stack import Stack
from workloads.training.together.step import Batch, Batches, Task, losses_of
from workloads.training.together.update import Update

#: Called after every epoch with the candidate's number and its record.
ProgressOfMany = Callable[[int, EpochRecord], None]


class Loop:
    """A stack in training.

    A candidate whose loss or gradient is not finite has failed: its numbers stay its own, and the others go on.

    Args:
        stack: of models on the device of the feed; its tensors change.
        task: with as many settings as the stack has models.
    """

    def __init__(self, stack: Stack, task: Task) -> None:
        self.stack, self.task = stack, task
        self.update = Update(stack.trained, stack.num_decayed, task.settings)
        decay = task.common.ema_decay
        self.averages = Averages(stack, decay) if decay else None
        self.history: list[list[EpochRecord]] = [[] for _ in task.settings]
        self.log: list[list[StepRecord]] = [[] for _ in task.settings]
        self.failed = torch.zeros(len(task.settings), dtype=torch.bool, device=task.feed.x.device)

    def run(self, progress: Callable[[int, EpochRecord], None] | None = None) -> list[TrainResult | None]:
        """Train; None for every candidate that has failed: its model is as it was, the others have learned."""
        start = time.perf_counter()
        batches = Batches(self.task)
        for number in range(1, self.task.common.epochs + 1):
            self._epoch(number, batches)
            if bool(self.failed.all()):
                break
            for index, history in enumerate(self.history):
                if progress is not None and not bool(self.failed[index]):
                    progress(index, history[-1])
        if self.averages is not None:
            self.averages.copy_to()
        share = (time.perf_counter() - start) / len(self.history)
        return [
            None if failed else self._finished(index, share) for index, failed in enumerate(self.failed.tolist())
        ]

    def _finished(self, index: int, wall_s: float) -> TrainResult:
        self.stack.write_back(index)
        return TrainResult(
            history=tuple(self.history[index]),
            wall_s=wall_s,
            device=str(self.task.feed.x.device),
            steps=tuple(self.log[index]),
        )

    def _epoch(self, number: int, batches: Batches) -> None:
        start, settings = time.perf_counter(), self.task.settings
        count = self.task.feed.num_steps(self.task.common.batch_size)
        losses: list[Tensor] = []
        rates: list[list[float]] = []
        hits: Tensor | None = torch.zeros(len(settings), dtype=torch.int64, device=self.failed.device)
        seen = 0
        for step, batch in enumerate(batches.epoch(), 1):
            rates.append([s.rate(number - 1 + min(1.0, step / count)) for s in settings])
            loss, scores = self._step(batch, rates[-1])
            losses.append(loss)
            targets = batch.y if batch.is_shared else batch.y.movedim(1, 0)
            is_class = not batch.y.is_floating_point() and scores.shape[1:-1] == batch.of(0)[1].shape
            if hits is not None and is_class:
                hits = hits + (scores.argmax(-1) == targets).flatten(1).sum(1)
                seen += scores[0, ..., 0].numel()
            else:
                hits = None
        table = torch.stack(losses)
        means = (table.sum(0) / len(losses)).tolist()
        share = (time.perf_counter() - start) / len(settings)
        correct = None if hits is None else hits.tolist()
        for index, values in enumerate(table.T.tolist()):
            first = len(self.log[index]) + 1
            self.log[index] += [
                StepRecord(epoch=number, step=first + place, lr=rates[place][index], loss=value)
                for place, value in enumerate(values)
            ]
            self.history[index].append(
                EpochRecord(
                    epoch=number,
                    lr=settings[index].rate(number),
                    loss=means[index],
                    train_accuracy=None if correct is None else Accuracy(correct=correct[index], total=seen),
                    validation=None,
                    wall_s=share,
                )
            )

    def _step(self, batch: Batch, rates: Sequence[float]) -> tuple[Tensor, Tensor]:
        losses, scores = losses_of(self.stack, batch, self.task, self.stack.state())
        length = self.update.step(gradients(self.stack, losses), rates)
        self.failed |= ~(torch.isfinite(losses.detach()) & torch.isfinite(length))
        if self.averages is not None:
            self.averages.update()
        return losses.detach(), scores


def gradients(stack: Stack, losses: Tensor) -> Tensor:
    """(K, P) of every candidate's loss for its parameters, in the order of `Stack.trained`."""
    found = torch.autograd.grad(losses.sum(), list(stack.leaves.values()))
    return torch.cat([grad.reshape(len(losses), -1) for grad in found], 1)
