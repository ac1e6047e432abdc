"""`finetune_many`: many models through one loop, as many at once as pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from hwmodel.errors import ConfigError
from workloads.training.device import select_device
from workloads.training.inputs import InMemory, SplitSource, feed_of
from workloads.training.loop import finetune, placed, reproducible, teaching
from workloads.training.records import EpochRecord, TrainResult
from workloads.training.run import Loss
from workloads.training.settings import TrainSettings
from workloads.training.step.distill import Teacher
from workloads.training.together.outline import Outline, outline, reason_apart
from workloads.training.together.probe import fitting_size, look
from workloads.training.together.stack import Stack
from workloads.training.together.step import Task
from workloads.training.together.train import Loop, ProgressOfMany

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How one of many candidates was trained.

    Attributes:
        result: of its training; None where it failed.
        error: why it failed.
        together: how many trained as one with it, itself included.
        alone_because: why it trained alone; "" where it did not.
    """

    result: TrainResult | None
    error: ConfigError | None = None
    together: int = 1
    alone_because: str = ""


class Sizes:
    """How many candidates of a structure pay, once it has been measured."""

    def __init__(self) -> None:
        self._known: list[tuple[Outline, int]] = []

    def of(self, models: Sequence[nn.Module], task: Task, common: Outline) -> int:
        """Measured once for each structure."""
        for known, size in self._known:
            if known.joined(common) is not None:
                return size
        size = fitting_size(models, task)
        self._known.append((common, size))
        return size


def finetune_many(
    models: Sequence[nn.Module],
    split: SplitSource,
    settings: TrainSettings | Sequence[TrainSettings],
    *,
    loss: Loss | None = None,
    teacher: Teacher | None = None,
    device: str | torch.device | None = None,
    progress: ProgressOfMany | None = None,
    batch: int | str = AUTO,
    sizes: Sizes | None = None,
) -> list[Trained]:
    """Train models in place, each as `finetune` would train it alone, up to rounding.

    Models of one structure train as one: widths, masks, steps, weights, statistics, learning rates, weight decays
    and seeds may differ. What cannot be trained so trains alone, and its record says why. A model whose loss or
    gradients are not finite among others trains alone once more, which tells where it fails; the others go on.

    Args:
        models: quantized, pruned or float; no module is in two of them. Left in eval mode on their devices.
        split: as for `finetune`; from a DataLoader every model trains alone.
        settings: one for all, or one for each.
        loss, teacher, device: as for `finetune`; of one candidate, not of many.
        progress: called after every epoch with the model's number and its record.
        batch: how many train as one at most; `auto` measures how many pay, within the memory.
        sizes: remembers what was measured, from call to call.

    Returns:
        One record per model, in order. Seconds are shares: those of a stack divided by its models.

    Raises:
        ConfigError: not one setting for each model, or a batch that is no number.
    """
    each = [settings] * len(models) if isinstance(settings, TrainSettings) else list(settings)
    if len(each) != len(models):
        raise ConfigError(f"settings must be one, or one for each of {len(models)} models, but are {len(each)}")
    check_batch(batch)
    target = select_device(device)
    feed = feed_of(split, target)
    done: dict[int, Trained] = {}
    reasons: dict[int, str] = {}
    if batch == 1:
        reasons = dict.fromkeys(range(len(models)), "batch=1")
    elif not isinstance(feed, InMemory):
        reasons = dict.fromkeys(range(len(models)), "its batches stream, and a loader gives each run its own")
    else:
        task = Task(feed=feed, settings=each, loss=loss, teacher=teacher)
        together = _Together(models, task, batch, sizes or Sizes(), progress, target)
        done, reasons = together.run()
    for index, (model, own) in enumerate(zip(models, each, strict=True)):
        if index in done:
            continue

        def told(record: EpochRecord, index: int = index) -> None:
            if progress is not None:
                progress(index, record)

        why = reasons.get(index, "no other has its structure")
        try:
            result = finetune(model, split, own, loss=loss, teacher=teacher, device=target, progress=told)
            done[index] = Trained(result=result, alone_because=why)
        except ConfigError as error:
            done[index] = Trained(result=None, error=error, alone_because=why)
    return [done[index] for index in range(len(models))]


def check_batch(batch: int | str) -> None:
    """Raises:
    ConfigError: neither `auto` nor a number of candidates.
    """
    is_count = isinstance(batch, int) and not isinstance(batch, bool) and batch >= 1
    if not is_count and batch != AUTO:
        raise ConfigError(f"batch must be 'auto' or a number of candidates >= 1, but got {batch!r}")


class _Together:
    """Groups candidates by structure, and trains what has company."""

    def __init__(
        self,
        models: Sequence[nn.Module],
        task: Task,
        batch: int | str,
        sizes: Sizes,
        progress: ProgressOfMany | None,
        target: torch.device,
    ) -> None:
        self.models, self.task, self.batch, self.sizes = models, task, batch, sizes
        self.progress, self.target = progress, target
        self.done: dict[int, Trained] = {}
        self.reasons: dict[int, str] = {}

    def run(self) -> tuple[dict[int, Trained], dict[int, str]]:
        """(what has trained, why the rest has not)."""
        with reproducible(self.target, 0), teaching(self.task.teacher, self.target):
            for members, common in self._groups():
                self._group(members, common)
        return self.done, self.reasons

    def _groups(self) -> list[tuple[list[int], Outline]]:
        groups: list[tuple[list[int], Outline]] = []
        for index, (model, settings) in enumerate(zip(self.models, self.task.settings, strict=True)):
            why = reason_apart(model, settings)
            if why:
                self.reasons[index] = why
                continue
            own = outline(model, settings)
            for place, (members, common) in enumerate(groups):
                joined = common.joined(own)
                if joined is not None:
                    groups[place] = ([*members, index], joined)
                    break
            else:
                groups.append(([index], own))
        return [(members, common) for members, common in groups if len(members) > 1]

    def _group(self, members: list[int], common: Outline) -> None:
        size = self.batch if isinstance(self.batch, int) else self._size(members, common)
        count = -(-len(members) // size)
        for part in range(count):
            self._train(members[part::count])

    def _size(self, members: list[int], common: Outline) -> int:
        """Measured, unless not even one of the members runs as part of a stack: `_train` will say why."""
        models, task = self._chosen(members)
        with placed(models, self.target):
            if look(models[:1], task.part([0])).apart:
                return len(members)
            return self.sizes.of(models, task, common)

    def _chosen(self, members: Sequence[int]) -> tuple[list[nn.Module], Task]:
        return [self.models[index] for index in members], self.task.part(members)

    def _train(self, members: list[int]) -> None:
        """Train as one, or in halves where memory ends: until a stack is done its models are as they were."""
        try:
            self._train_stack(members)
        except torch.OutOfMemoryError:
            if len(members) == 1:
                raise
            torch.cuda.empty_cache()
            half = len(members) // 2
            self._train(members[:half])
            self._train(members[half:])

    def _train_stack(self, members: list[int]) -> None:
        models, task = self._chosen(members)
        with placed(models, self.target):
            seen = look(models, task)
            self.reasons.update({members[place]: why for place, why in seen.apart.items()})
            kept = [index for place, index in enumerate(members) if place not in seen.apart]
            if len(kept) < 2:
                return
            models, task = self._chosen(kept)
            loop = Loop(Stack(models, seen.unused), task)
            results = loop.run(self._told(kept))
            for index, model, result in zip(kept, models, results, strict=True):
                model.eval()
                if result is None:
                    self.reasons[index] = f"its numbers broke among {len(kept)}"
                else:
                    self.done[index] = Trained(result=result, together=len(kept))

    def _told(self, members: list[int]) -> ProgressOfMany | None:
        progress = self.progress
        return None if progress is None else lambda place, record: progress(members[place], record)
