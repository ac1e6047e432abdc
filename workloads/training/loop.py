"""`finetune`: one loop for float, quantized and pruned models."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwmodel.errors import ConfigError
from workloads.compress.calibration import device_of
from workloads.training.accuracy import Accuracy, measure_accuracy
from workloads.training.device import select_device
from workloads.training.diagnose import first_non_finite
from workloads.training.distill import Teacher, distillation_loss, soft_targets
from workloads.training.hooks import TrainHook
from workloads.training.inputs import SplitLike, tensors_of
from workloads.training.settings import TrainSettings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch.

    Attributes:
        epoch: from 1.
        lr: at its end.
        loss: mean over its steps.
        train_accuracy: on the (augmented) batches as they were trained on, in train mode.
        validation: after it; None where no validation split was given.
        wall_s: its duration [s].
    """

    epoch: int
    lr: float
    loss: float
    train_accuracy: Accuracy
    validation: Accuracy | None
    wall_s: float


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a training run did.

    Attributes:
        history: one record per epoch.
        wall_s: duration [s].
        device: where it ran.
    """

    history: tuple[EpochRecord, ...]
    wall_s: float
    device: str

    def to_dataframe(self) -> pd.DataFrame:
        """One row per epoch: epoch, lr, loss, train_accuracy, validation_accuracy, wall_s."""
        import pandas as pd

        rows = [
            {
                "epoch": r.epoch, "lr": r.lr, "loss": r.loss, "train_accuracy": r.train_accuracy.value,
                "validation_accuracy": None if r.validation is None else r.validation.value, "wall_s": r.wall_s,
            }
            for r in self.history
        ]  # fmt: skip
        return pd.DataFrame(rows)


Progress = Callable[[EpochRecord], None]


def finetune(
    model: nn.Module,
    split: SplitLike,
    settings: TrainSettings,
    *,
    validation: SplitLike | None = None,
    teacher: Teacher | None = None,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
    hooks: Sequence[TrainHook] = (),
) -> TrainResult:
    """Train in place; the weights after the last epoch stay (no epoch is picked by its score).

    The same seed gives the same weights to the last bit on one machine with one number of threads.
    Torch's global random state is as before afterwards.

    Args:
        model: images (N, C, H, W) -> scores (N, classes), or tokens (N, T) -> (N, T, vocabulary). Left in eval
            mode, on the device it came on.
        split: training images and labels.
        settings: how.
        validation: scored after every epoch, for the history only.
        teacher: inputs -> scores, a module of any architecture or a function; gives the soft targets where
            `settings.distill_weight` > 0 (`workloads.training.distillation_loss`); not changed.
        device: None is CUDA where there is one, else the CPU.
        progress: called after every epoch.
        hooks: pruning, penalties, ...; called in order.

    Raises:
        ConfigError: an absent device, a missing teacher, or a loss that is not finite (the message names
            epoch, step and the first module at fault).
    """
    if settings.distill_weight > 0 and teacher is None:
        raise ConfigError(f"distill_weight={settings.distill_weight:g} needs a teacher. Pass one, or set it to 0.")
    place, home = select_device(device), device_of(model)
    start = time.perf_counter()
    history: list[EpochRecord] = []
    x, y = tensors_of(split, place)
    with _reproducible(place, settings.seed), _placed(model, place, home), _teaching(teacher, place):
        optimizer = _optimizer(model, settings)
        generator = torch.Generator().manual_seed(settings.seed)
        for epoch in range(1, settings.epochs + 1):
            began = time.perf_counter()
            for hook in hooks:
                hook.before_epoch(model, epoch)
            loss, hits = _epoch(model, x, y, settings, optimizer, generator, epoch, teacher, hooks)
            scored = None if validation is None else measure_accuracy(model, validation)
            record = EpochRecord(
                epoch=epoch,
                lr=settings.rate(epoch),
                loss=loss,
                train_accuracy=hits,
                validation=scored,
                wall_s=time.perf_counter() - began,
            )
            history.append(record)
            if progress is not None:
                progress(record)
        for hook in hooks:
            hook.after_training(model)
    model.eval()
    return TrainResult(history=tuple(history), wall_s=time.perf_counter() - start, device=str(place))


def _epoch(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    settings: TrainSettings,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    epoch: int,
    teacher: Teacher | None,
    hooks: Sequence[TrainHook],
) -> tuple[float, Accuracy]:
    """(mean loss, accuracy on the batches) of one pass."""
    model.train()
    batches = list(_shuffled(len(x), settings.batch_size, generator))
    total = torch.zeros((), device=x.device)
    correct = torch.zeros((), dtype=torch.int64, device=x.device)
    for step, chosen in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(epoch - 1 + (step + 1) / len(batches))
        index = chosen.to(x.device)
        images, labels = shifted(x[index], settings.shift, generator), y[index]
        scores = model(images)
        loss = _loss(scores, labels, images, settings, teacher)
        for hook in hooks:
            extra = hook.extra_loss(model)
            loss = loss if extra is None else loss + extra
        if not torch.isfinite(loss):
            culprit = first_non_finite(model, images)
            raise ConfigError(
                f"the loss is {loss.item()} in epoch {epoch}, step {step + 1} of {len(batches)}: {culprit}. "
                f"Lower lr (now {settings.lr:g}), or check the data."
            )
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([loss])
        optimizer.step()
        for hook in hooks:
            hook.after_step(model, optimizer)
        total += loss.detach()
        correct += (scores.detach().argmax(-1) == labels).sum()
    seen = sum(len(chosen) for chosen in batches) * (y.numel() // len(y))
    return float(total) / len(batches), Accuracy(correct=int(correct), total=seen)


def _loss(
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


def shifted(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Each image moved by its own random (dy, dx), at most `pixels` each way; the edge is repeated.

    Args:
        images: (N, C, H, W).
        pixels: 0 returns the images.
        generator: on the CPU.
    """
    if pixels == 0 or images.dim() != 4:
        return images
    n, c, h, w = images.shape
    padded = functional.pad(images, (pixels, pixels, pixels, pixels), mode="replicate")
    moves = torch.randint(0, 2 * pixels + 1, (2, n), generator=generator).to(images.device)
    rows = (moves[0, :, None] + torch.arange(h, device=images.device))[:, None, :, None]
    columns = (moves[1, :, None] + torch.arange(w, device=images.device))[:, None, None, :]
    samples = torch.arange(n, device=images.device)[:, None, None, None]
    channels = torch.arange(c, device=images.device)[None, :, None, None]
    return padded[samples, channels, rows, columns]


def _optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Weight decay on tensors of two or more dims: weights, but no bias, norm or quantizer step."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adam":
        return torch.optim.AdamW(groups, lr=settings.lr)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0)


@contextmanager
def _reproducible(device: torch.device, seed: int) -> Iterator[None]:
    """Seeded dropout and deterministic convolutions inside; global random state restored outside."""
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        yield


@contextmanager
def _placed(model: nn.Module, place: torch.device, home: torch.device) -> Iterator[None]:
    model.to(place)
    try:
        yield
    finally:
        model.to(home)


@contextmanager
def _teaching(teacher: Teacher | None, place: torch.device) -> Iterator[None]:
    """The teacher, if it is a module, in eval mode on the device of the student; as it was afterwards."""
    if not isinstance(teacher, nn.Module):
        yield
        return
    home, modes = device_of(teacher), [(module, module.training) for module in teacher.modules()]
    teacher.to(place).eval()
    try:
        yield
    finally:
        teacher.to(home)
        for module, training in modes:
            module.training = training
