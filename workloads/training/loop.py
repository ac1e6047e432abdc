"""`finetune`: one loop for float, quantized and pruned models."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwmodel.errors import ConfigError
from workloads.compress.calibration import modes_kept
from workloads.placement import device_of
from workloads.training.checkpoints import (
    Checkpoints,
    check_same_run,
    model_state,
    read_state,
    restore_model,
    snapshot,
    write_state,
)
from workloads.training.device import select_device
from workloads.training.hooks import TrainHook
from workloads.training.inputs import SplitSource, feed_of
from workloads.training.measuring import Metric, default_metric, measure
from workloads.training.records import EpochRecord, Progress, StepProgress, TrainResult
from workloads.training.run import Loss, Run
from workloads.training.settings import TrainSettings
from workloads.training.step.compiling import compiled
from workloads.training.step.distill import Teacher


def finetune(
    model: nn.Module,
    split: SplitSource,
    settings: TrainSettings,
    *,
    validation: SplitSource | None = None,
    loss: Loss | None = None,
    metric: Metric | None = None,
    teacher: Teacher | None = None,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
    steps: StepProgress | None = None,
    hooks: Sequence[TrainHook] = (),
    checkpoints: Checkpoints | None = None,
) -> TrainResult:
    """Train in place; the weights after the last epoch stay (no epoch is picked by its score).

    With `settings.ema_decay` what stays is the average of the weights over the steps. The same seed gives the
    same weights to the last bit on one machine with one number of threads, interrupted and resumed or not.
    Torch's global random state is as before afterwards.

    Args:
        model: images (N, C, H, W) -> scores (N, classes), or tokens (N, T) -> (N, T, vocabulary). Left in eval
            mode, on the device it came on.
        split: training images and labels: a split of a data set, a pair (x, y) of arrays, or a DataLoader of
            (x, y), which streams: its own batches in its own order; `settings.batch_size` is not used.
        settings: how.
        validation: scored after every epoch, for the history only.
        loss: (outputs, targets) -> 0-dim; None is cross-entropy of integer targets, and the mean squared error of
            floating-point ones.
        metric: of the validation split, (outputs, targets) -> a number; None is accuracy, and `r2` of
            floating-point targets.
        teacher: inputs -> scores, a module of any architecture or a function; gives the soft targets where
            `settings.distill_weight` > 0 (`workloads.training.distillation_loss`); not changed.
        device: None is CUDA where there is one, else the CPU.
        progress: called after every epoch.
        steps: called after every step.
        hooks: pruning, penalties, ...; called in order.
        checkpoints: keeps the state of the run in a file, and goes on from it.

    Raises:
        ConfigError: an absent device, a missing teacher, a checkpoint of another run, or a loss or gradient that
            is not finite (the message names epoch, step and the first module at fault).
    """
    if settings.distill_weight > 0 and teacher is None:
        raise ConfigError(f"distill_weight={settings.distill_weight:g} needs a teacher. Pass one, or set it to 0.")
    if loss is not None and settings.label_smoothing > 0:
        raise ConfigError(
            f"label_smoothing={settings.label_smoothing:g} belongs to the cross-entropy, but a loss is given. Put "
            "it into that loss, and set it to 0."
        )
    target = select_device(device)
    start = time.perf_counter()
    feed = feed_of(split, target)
    if metric is None and validation is not None:
        metric = default_metric(validation)
    with (
        reproducible(target, settings.seed),
        placed([model], target),
        teaching(teacher, target),
        compiled(model, settings.compile, target) as forward,
    ):
        run = Run(
            model=model, forward=forward, feed=feed, device=target, settings=settings, loss=loss, teacher=teacher,
            hooks=hooks, steps=steps,
        )  # fmt: skip
        keeper = None if checkpoints is None else _Keeper(run, checkpoints, start)
        with _kept(keeper):
            for epoch in range(len(run.history) + 1, settings.epochs + 1):
                record = _one_epoch(run, epoch, validation, metric)
                run.history.append(record)
                if keeper is not None:
                    keeper.epoch_done()
                if progress is not None:
                    progress(record)
        if run.average is not None:
            run.average.copy_to(model)
        for hook in hooks:
            hook.after_training(model)
    model.eval()
    wall_s = run.wall_s + time.perf_counter() - start
    return TrainResult(history=tuple(run.history), wall_s=wall_s, device=str(target), steps=tuple(run.log))


def _one_epoch(run: Run, epoch: int, validation: SplitSource | None, metric: Metric | None) -> EpochRecord:
    began = time.perf_counter()
    loss, hits = run.epoch(epoch)
    scored = averaged = None
    if validation is not None:
        scored = measure(run.model, validation, metric=metric, memory_format=run.settings.memory_format)
        if run.average is not None:
            with run.average.applied(run.model):
                averaged = measure(run.model, validation, metric=metric, memory_format=run.settings.memory_format)
    return EpochRecord(
        epoch=epoch,
        lr=run.settings.rate(epoch),
        loss=loss,
        train_accuracy=hits,
        validation=scored,
        ema_validation=averaged,
        wall_s=time.perf_counter() - began,
    )


class _Keeper:
    """Writes the state of a run after whole epochs; on creation puts the run where its file stands."""

    def __init__(self, run: Run, checkpoints: Checkpoints, start: float) -> None:
        self.run, self.checkpoints, self.start = run, checkpoints, start
        self.own = {"data": run.feed.key, "hooks": [type(hook).__name__ for hook in run.hooks]}
        self.unwritten: Any = None
        if Path(checkpoints.path).exists():
            self._open()

    def _open(self) -> None:
        path, settings = self.checkpoints.path, self.run.settings
        state = read_state(path)
        if not self.checkpoints.resume:
            planned = state["settings"]["epochs"]
            if state["epoch"] < planned:
                raise ConfigError(
                    f"{path}: an unfinished run is there, {state['epoch']} of {planned} epochs. Resume it "
                    "(--resume, resume=True), or remove the file."
                )
            return
        check_same_run(path, state, settings, self.own)
        restore_model(str(path), self.run.model, state["model"])
        self.run.restore(state)
        self.run.wall_s = state["wall_s"]

    def epoch_done(self) -> None:
        epoch = len(self.run.history)
        self.unwritten = snapshot(
            self.run.state()
            | self.own
            | {
                "model": model_state(self.run.model),
                "settings": self.run.settings.to_dict(),
                "wall_s": self.run.wall_s + time.perf_counter() - self.start,
            }
        )
        if epoch % self.checkpoints.every == 0 or epoch == self.run.settings.epochs:
            self.write()

    def write(self) -> None:
        """What is not on disk yet."""
        if self.unwritten is not None:
            write_state(self.checkpoints.path, self.unwritten)
            self.unwritten = None


@contextmanager
def _kept(keeper: _Keeper | None) -> Iterator[None]:
    """A run that ends early, however, leaves its last whole epoch."""
    try:
        yield
    finally:
        if keeper is not None:
            keeper.write()


@contextmanager
def reproducible(device: torch.device, seed: int) -> Iterator[None]:
    """Seeded dropout and deterministic convolutions inside; global random state restored outside."""
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        yield


@contextmanager
def placed(models: Sequence[nn.Module], target: torch.device) -> Iterator[None]:
    """Models on a device; back on their own afterwards."""
    homes = [device_of(model) for model in models]
    for model in models:
        model.to(target)
    try:
        yield
    finally:
        for model, home in zip(models, homes, strict=True):
            model.to(home)


@contextmanager
def teaching(teacher: Teacher | None, target: torch.device) -> Iterator[None]:
    """The teacher, if it is a module, in eval mode on the device of the student; as it was afterwards."""
    if not isinstance(teacher, nn.Module):
        yield
        return
    home = device_of(teacher)
    with modes_kept(teacher):
        teacher.to(target).eval()
        try:
            yield
        finally:
            teacher.to(home)
