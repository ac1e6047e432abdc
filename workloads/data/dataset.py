"""What a data set is: three disjoint splits of images and labels, or of tokens and what follows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, did_you_mean

#: How pixels are scaled; see `make_dataset`.
Normalise = Literal["train", "imagenet", "none"]
#: Mean and deviation of red, green and blue in 0 .. 1, as torchvision's models expect them.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Split:
    """Images and their labels, or tokens and their targets.

    Attributes:
        x: float32 (N, C, H, W), normalised; or tokens, int64 (N, T).
        y: int64 (N,); of tokens (N, T), a target for each.

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
        if self.x.dim() != 4 or self.x.dtype != torch.float32:
            raise ConfigError(
                f"split: x must be float32 (N, C, H, W), but got {self.x.dtype} {tuple(self.x.shape)}"
            )
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
class Dataset:
    """Train, validation and test. The search sees validation only; test is measured once, at the end.

    Attributes:
        name: of the data set.
        train, validation, test: disjoint.
        num_classes: labels are 0 .. num_classes - 1.
        source: where the images come from, for reports.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int
    source: str = ""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W), or (T,) of tokens."""
        return tuple(self.train.x.shape[1:])

    def __repr__(self) -> str:
        return f"Dataset({self.describe()})"

    def describe(self) -> str:
        """One line: name, shape, classes, sizes of the splits."""
        shape = "×".join(map(str, self.input_shape))
        sizes = f"{len(self.train):,} train / {len(self.validation):,} validation / {len(self.test):,} test"
        source = f" ({self.source})" if self.source else ""
        return f"{self.name}{source}: {shape}, {self.num_classes} classes, {sizes}"


def make_dataset(
    name: str,
    splits: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor]],
    num_classes: int,
    source: str,
    channels: int | None = None,
    normalize: Normalise = "train",
) -> Dataset:
    """A normalised data set.

    Args:
        name, num_classes, source: as for `Dataset`.
        splits: (x, y) of train, validation, test; x (N, C, H, W), on any scale for `train`, else in 0 .. 1.
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
        done.append(Split(x=normal.contiguous(), y=y.long()))
    return Dataset(
        name=name, train=done[0], validation=done[1], test=done[2], num_classes=num_classes, source=source
    )


def _scale(name: str, train_x: Tensor, normalize: str) -> tuple[Tensor, Tensor]:
    """What to subtract and what to divide by: each (1, C, 1, 1) or (1, 1, 1, 1)."""
    if normalize == "train":  # in float64: the sum of 50 million float32 pixels would lose digits
        wide = train_x.double()
        dims = (0, 2, 3)
        return wide.mean(dims, keepdim=True).float(), wide.std(dims, keepdim=True).clamp_min(1e-6).float()
    constants: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
        "imagenet": IMAGENET, "none": ((0.0,), (1.0,)),
    }  # fmt: skip
    if normalize not in constants:
        options = ("train", *constants)
        raise ConfigError(
            f"data {name!r}: normalize must be one of {', '.join(options)}, but got {normalize!r}."
            f"{did_you_mean(str(normalize), options)}"
        )
    mean, deviation = (torch.tensor(values).reshape(1, -1, 1, 1) for values in constants[normalize])
    if mean.shape[1] not in (1, train_x.shape[1]):
        raise ConfigError(
            f"data {name!r}: normalize={normalize!r} is of colour images, but these have one channel."
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
