"""What a data set is: three disjoint splits of images and labels, or of tokens and what follows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, check_one_of
from hwmodel.shown import Shown
from workloads.options import check_count

#: How pixels are scaled; see `make_dataset`.
Normalise = Literal["train", "imagenet", "none"]
#: Which files the validation split was cut from: a checkpoint that was trained on all training files has seen a
#: split that is cut from "train". "own": it has files of its own.
ValidationFrom = Literal["", "own", "train", "test"]
#: Mean and deviation of red, green and blue in 0 .. 1, as torchvision's models expect them.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Split:
    """Images and their labels, or tokens and their targets.

    Attributes:
        x: float32 (N, C, H, W), normalised, or other inputs (N, ...); or tokens, int64 (N, T).
        y: int64 (N,); of tokens (N, T), a target for each; of a regression float32 (N,) or (N, outputs).

    Raises:
        ConfigError: shapes or types are not these.
    """

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        if self.x.dtype == torch.int64:
            if self.x.dim() != 2 or self.y.shape != self.x.shape or self.y.dtype != torch.int64:
                raise ConfigError(
                    "split: tokens and targets must be int64 (N, T) both, but got "
                    f"{self.x.dtype} {tuple(self.x.shape)} and {self.y.dtype} {tuple(self.y.shape)}"
                )
            return
        if self.x.dim() < 2 or self.x.dtype != torch.float32:
            raise ConfigError(
                f"split: x must be float32 (N, C, H, W) or (N, ...), but got {self.x.dtype} {tuple(self.x.shape)}"
            )
        if self.y.dtype == torch.float32 and self.y.dim() in (1, 2) and len(self.y) == len(self.x):
            return
        if self.y.shape != self.x.shape[:1] or self.y.dtype != torch.int64:
            raise ConfigError(
                f"split: y must be int64 ({len(self.x)},), but got {self.y.dtype} {tuple(self.y.shape)}"
            )

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        kinds = [f"{name}={str(t.dtype).removeprefix('torch.')}{tuple(t.shape)}" for name, t in vars(self).items()]
        return f"Split({', '.join(kinds)})"

    def take(self, count: int) -> Self:
        """The first `count` items; all where there are fewer."""
        return replace(self, x=self.x[:count], y=self.y[:count])


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Dataset(Shown):
    """Train, validation and test. The search sees validation only; test is measured once, at the end.

    Attributes:
        name: of the data set.
        train, validation, test: disjoint; each a `Split`, or a DataLoader of (x, y), which streams.
        num_classes: labels are 0 .. num_classes - 1; of a regression the number of outputs.
        source: where the images come from, for reports.
        validation_from: which files the validation split was cut from; "" is not known.
        loss: (outputs, targets) -> 0-dim; None is cross-entropy, and of a regression the mean squared error.
        metric: (outputs, targets) -> a share, 1 is perfect; None is accuracy, and of a regression r2.
    """

    name: str
    train: Any
    validation: Any
    test: Any
    num_classes: int
    source: str = ""
    validation_from: ValidationFrom = ""
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    metric: Callable[[Tensor, Tensor], Tensor | float] | None = None

    def subset(
        self,
        *,
        train: int | None = None,
        validation: int | None = None,
        test: int | None = None,
        seed: int | None = 0,
    ) -> Self:
        """A smaller data set for quick studies; `source` says that it is one.

        Args:
            train, validation, test: items of each split; None keeps all.
            seed: draws them at random, of each class its share; None takes the first ones in their order.

        Raises:
            ConfigError: a split that streams, fewer items than asked for, or none.
        """
        counts = {"train": train, "validation": validation, "test": test}
        asked = {name: count for name, count in counts.items() if count is not None}
        parts: dict[str, Any] = {name: _part(name, getattr(self, name), n, seed) for name, n in asked.items()}
        how = "the first" if seed is None else f"seed {seed}:"
        sizes = ", ".join(f"{count:,} {name}" for name, count in asked.items())
        said = [text for text in (self.source, f"{how} {sizes}" if asked else "") if text]
        return replace(self, **parts, source="; ".join(said))

    def example(self, count: int = 1) -> Tensor:
        """The first inputs of the validation split, (count, ...)."""
        if isinstance(self.validation, Split):
            return self.validation.x[:count]
        from workloads.training.inputs import first_inputs

        return first_inputs(self.validation, count)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W), or (T,) of tokens."""
        return tuple(self.example().shape[1:])

    @property
    def is_regression(self) -> bool:
        """Targets are numbers, not classes."""
        if isinstance(self.validation, Split):
            return self.validation.y.is_floating_point()
        from workloads.training.inputs import feed_of

        return feed_of(self.validation, torch.device("cpu")).has_values

    def describe(self) -> str:
        """One line: name, shape, classes, sizes of the splits."""
        shape = "×".join(map(str, self.input_shape))
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        sizes = " / ".join(f"{_size(split)} {name}" for name, split in parts.items())
        source = f" ({self.source})" if self.source else ""
        what = f"{self.num_classes} {'outputs' if self.is_regression else 'classes'}"
        return f"{self.name}{source}: {shape}, {what}, {sizes}"

    def __repr__(self) -> str:
        return f"<Dataset {self.describe()}>"


def _part(name: str, split: Any, count: int, seed: int | None) -> Split:
    """So many items of a split, at least one: the first, or drawn class by class."""
    check_count("subset", name, count)
    if not isinstance(split, Split):
        raise ConfigError(f"subset: {name} must be in memory, but it streams. Make a smaller DataLoader.")
    if count > len(split):
        raise ConfigError(f"subset: `{name} <= {len(split)}` must hold, the items that there are, but got {count}")
    if seed is None:
        return split.take(count)
    chosen = _balanced(split.y, count, check_count("subset", "seed", seed, least=0))
    return replace(split, x=split.x[chosen], y=split.y[chosen])


def _balanced(y: Tensor, count: int, seed: int) -> Tensor:
    """Indices of `count` items in random order, of each class its share within one item. (count,).

    Targets that are no classes are drawn alike.
    """
    order = seeded_order(len(y), seed)
    if y.dim() != 1 or y.is_floating_point():
        return order[:count]
    # An item's place among those of its class, as a share of the class: the lowest shares are wanted.
    labels = y[order]
    place = torch.zeros(len(y), dtype=torch.float64)
    for label in set(labels.tolist()):
        own = labels == label
        total = int(own.sum())
        place[own] = (torch.arange(total, dtype=torch.float64) + 0.5) / total
    first = torch.argsort(place, stable=True)[:count]
    return order[first.sort().values]


def _size(split: Any) -> str:
    """Items; of a stream that does not know them, batches."""
    items: Any = split if isinstance(split, Split) else getattr(split, "dataset", None)
    return f"{len(items):,}" if hasattr(items, "__len__") else f"{len(split):,} batches of"


def num_classes_of(what: str, labels: Sequence[Tensor]) -> int:
    """Classes 0 .. n - 1 of the train, validation and test labels; outputs of a regression.

    Args:
        what: for messages.
        labels: train first; (N,) each, or (N, outputs).

    Raises:
        ConfigError: a negative label, or a class without a training item.
    """
    if any(y.is_floating_point() for y in labels):
        widths = {y.shape[1] if y.dim() == 2 else 1 for y in labels}
        if len(widths) > 1 or not all(y.is_floating_point() for y in labels):
            raise ConfigError(f"{what}: the targets of all parts must be of one kind and width")
        return widths.pop()
    if min(int(y.min()) for y in labels) < 0:
        raise ConfigError(
            f"{what}: labels must be 0, 1, 2, ..., but go down to {min(int(y.min()) for y in labels)}"
        )
    count = max(int(y.max()) for y in labels) + 1
    absent = sorted(set(range(count)) - set(labels[0].flatten().tolist()))
    if absent and labels[0].dim() == 1:
        raise ConfigError(
            f"{what}: labels must be 0 .. {count - 1}, each in the training part, but it has no "
            f"{', '.join(map(str, absent[:5]))}{' ...' if len(absent) > 5 else ''}. Number the classes from 0."
        )
    return count


def make_dataset(
    name: str,
    splits: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor]],
    num_classes: int,
    source: str,
    channels: int | None = None,
    normalize: Normalise = "train",
    validation_from: ValidationFrom = "",
) -> Dataset:
    """A normalised data set.

    Args:
        name, num_classes, source, validation_from: as for `Dataset`.
        splits: (x, y) of train, validation, test; x (N, C, ...), on any scale for `train`, else in 0 .. 1.
        channels: repeat single-channel images so many times.
        normalize: `train` gives each channel zero mean and unit deviation over the train split; `imagenet`
            subtracts and divides by the constants of ImageNet, which most published weights expect; `none` leaves
            x as it is.

    Raises:
        ConfigError: another `normalize`, or the channels do not fit.
    """
    mean, deviation = _scale(name, splits[0][0], normalize)
    done = []
    for x, y in splits:
        normal = (x.float() - mean) / deviation
        if channels is not None and channels != normal.shape[1]:
            if normal.shape[1] != 1:
                raise ConfigError(f"data {name!r}: channels must be {normal.shape[1]}, but got channels={channels}")
            normal = normal.repeat(1, channels, 1, 1)
        done.append(Split(x=normal.contiguous(), y=y if y.is_floating_point() else y.long()))
    return Dataset(
        name=name, train=done[0], validation=done[1], test=done[2], num_classes=num_classes, source=source,
        validation_from=validation_from,
    )  # fmt: skip


def _scale(name: str, train_x: Tensor, normalize: str) -> tuple[Tensor, Tensor]:
    """What to subtract and what to divide by: each (1, C, 1, 1) or (1, 1, 1, 1)."""
    if normalize == "train":  # in float64: the sum of 50 million float32 pixels would lose digits
        wide = train_x.double()
        dims = (0, *range(2, wide.dim()))
        return wide.mean(dims, keepdim=True).float(), wide.std(dims, keepdim=True).clamp_min(1e-6).float()
    constants: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
        "imagenet": IMAGENET, "none": ((0.0,), (1.0,)),
    }  # fmt: skip
    check_one_of(f"data {name!r}: normalize", normalize, ("train", *constants))
    ones = (1,) * (train_x.dim() - 2)
    mean, deviation = (torch.tensor(values).reshape(1, -1, *ones) for values in constants[normalize])
    if normalize == "imagenet" and (train_x.dim() != 4 or train_x.shape[1] != mean.shape[1]):
        raise ConfigError(
            f"data {name!r}: normalize={normalize!r} is of colour images, but these are {tuple(train_x.shape)}."
        )
    return mean, deviation


def resize(x: Tensor, size: int) -> Tensor:
    """(N, C, H, W) -> (N, C, size, size), bilinear."""
    if tuple(x.shape[-2:]) == (size, size):
        return x
    return nn.functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)


def seeded_order(count: int, seed: int) -> Tensor:
    """A permutation of 0 .. count - 1 that depends on the seed only."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))
