"""What training needs of a data set, whoever provides it: arrays in memory, or batches that stream."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from hwmodel.errors import ConfigError

_HASHED_INPUTS = 64
#: Inputs at a time where nothing is learned. Fixed, so that a score does not depend on how it is measured: kernels
#: may round differently at another batch size.
EVALUATION_BATCH = 500
_FORMS = (
    "a pair (x, y) of arrays, an object with .x and .y, or a DataLoader (any sequence of batches with a length)"
)


class SplitLike(Protocol):
    """Images and labels in memory; tensors or arrays."""

    @property
    def x(self) -> Any:
        """float32 (N, C, H, W)."""

    @property
    def y(self) -> Any:
        """int64 (N,) classes; floating-point targets of a regression (N, ...)."""


#: `SplitLike`, a pair (x, y), or a DataLoader: an iterable of (x, y) with a length, read once per epoch.
SplitSource = SplitLike | tuple[Any, Any] | Iterable[Any]


class DataLike(Protocol):
    """A data set with three splits."""

    @property
    def name(self) -> str: ...

    @property
    def train(self) -> SplitSource: ...

    @property
    def validation(self) -> SplitSource: ...

    @property
    def test(self) -> SplitSource: ...


@dataclass(frozen=True, kw_only=True)
class InMemory:
    """A split on the device of the training.

    Attributes:
        x, y: inputs (N, ...), targets (N, ...).
    """

    x: Tensor
    y: Tensor

    def num_steps(self, batch_size: int) -> int:
        """Of an epoch; the last incomplete batch is left out, unless it is the only one."""
        return max(1, len(self.x) // batch_size)

    def shuffled(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch of batches in random order."""
        order = torch.randperm(len(self.x), generator=generator).to(self.x.device)
        size = min(batch_size, len(self.x))
        for start in range(0, len(self.x) - size + 1, size):
            chosen = order[start : start + size]
            yield self.x[chosen], self.y[chosen]

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Everything once."""
        for start in range(0, len(self.x), EVALUATION_BATCH):
            stop = start + EVALUATION_BATCH
            yield self.x[start:stop], self.y[start:stop]

    @property
    def has_values(self) -> bool:
        """The targets are numbers, not classes."""
        return self.y.is_floating_point()

    @property
    def key(self) -> str:
        """16 hex digits: its size, its targets and its first inputs."""
        return self.digest(f"{tuple(self.x.shape)}").hexdigest()[:16]

    def digest(self, text: str) -> hashlib._Hash:
        """SHA-256 of a text, all targets and the first inputs."""
        digest = hashlib.sha256(text.encode())
        for values in (self.y, self.x[:_HASHED_INPUTS]):
            digest.update(values.cpu().contiguous().numpy().tobytes())
        return digest


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """A split that is read batch by batch, as its loader makes and orders them.

    Attributes:
        loader: gives (x, y), the same number of batches every time.
        device: where they go.
    """

    loader: Any
    device: torch.device

    def num_steps(self, batch_size: int) -> int:
        """Of an epoch: the loader's, whatever the batch size of the settings."""
        return len(self.loader)

    def shuffled(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch; the order is the loader's."""
        for batch in self.loader:
            yield self._pair(batch)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Everything once; the global random state, which a loader draws on, is as before."""
        state = torch.get_rng_state()
        try:
            for batch in self.loader:
                yield self._pair(batch)
        finally:
            torch.set_rng_state(state)

    @property
    def has_values(self) -> bool:
        """The targets of the first batch are numbers, not classes."""
        with _undisturbed(self.loader):
            return next(self.in_order())[1].is_floating_point()

    @property
    def key(self) -> str:
        """16 hex digits: numbers of batches and items, and the first item where it can be asked for."""
        items: Any = getattr(self.loader, "dataset", None)
        count = len(items) if hasattr(items, "__len__") else -1
        digest = hashlib.sha256(f"{len(self.loader)} {count}".encode())
        if count > 0 and hasattr(items, "__getitem__"):
            with _undisturbed(self.loader):
                for value in self._pair(items[0]):
                    digest.update(value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _pair(self, batch: Any) -> tuple[Tensor, Tensor]:
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            held = f"{len(batch)} values" if isinstance(batch, list | tuple) else type(batch).__name__
            raise ConfigError(f"a batch must be a pair (inputs, targets), but the loader gave {held}.")
        x, y = torch.as_tensor(batch[0]), torch.as_tensor(batch[1])
        return x.to(self.device), _targets(y).to(self.device)


Feed = InMemory | Streamed


def feed_of(split: SplitSource, device: torch.device) -> Feed:
    """A split on a device, or what reads it batch by batch.

    Raises:
        ConfigError: none of the forms, no items, or not one target per input.
    """
    pair = _pair_in_memory(split)
    if pair is None:
        _check_loader(split)
        return Streamed(loader=split, device=device)
    x, y = (torch.as_tensor(value) for value in pair)
    if not x.dim() or not y.dim() or len(x) != len(y) or not len(x):
        sizes = [len(value) if value.dim() else "a single number" for value in (x, y)]
        raise ConfigError(
            f"a split must have one label per image and at least one image, but got {sizes[0]} and {sizes[1]}"
        )
    return InMemory(x=x.to(device), y=_targets(y).to(device))


def tensors_of(split: SplitSource, device: torch.device) -> tuple[Tensor, Tensor]:
    """(x, y) of a split in memory on a device; labels int64.

    Raises:
        ConfigError: it streams, has no images, or not one label per image.
    """
    feed = feed_of(split, device)
    if isinstance(feed, Streamed):
        raise ConfigError("a split in memory is needed here, but this one streams. Give a pair (x, y) of arrays.")
    return feed.x, feed.y.to(torch.int64)


def first_inputs(split: SplitSource, count: int) -> Tensor:
    """The first `count` inputs of a split, on the CPU; of a stream, those of its first batches.

    Raises:
        ConfigError: as `feed_of`.
    """
    feed = feed_of(split, torch.device("cpu"))
    if isinstance(feed, InMemory):
        return feed.x[:count]
    found: list[Tensor] = []
    with _undisturbed(feed.loader):
        for x, _ in feed.in_order():
            found.append(x)
            if sum(map(len, found)) >= count:
                break
    if not found:
        raise ConfigError("a loader must give at least one batch, but gave none")
    return torch.cat(found)[:count]


def drawn_inputs(split: SplitSource, count: int) -> Tensor:
    """`count` inputs at random with a fixed seed, on the CPU; of a stream, its first.

    Raises:
        ConfigError: as `feed_of`.
    """
    feed = feed_of(split, torch.device("cpu"))
    if not isinstance(feed, InMemory):
        return first_inputs(split, count)
    order = torch.randperm(len(feed.x), generator=torch.Generator().manual_seed(0))
    return feed.x[order[:count]]


def own_generator(loader: Any) -> torch.Generator | None:
    """What a loader orders its batches by, unless it is torch's global random state."""
    found = getattr(loader, "generator", None)
    return found if isinstance(found, torch.Generator) else None


@contextmanager
def _undisturbed(loader: Any) -> Iterator[None]:
    """Inside, a loader draws on a seeded random state; outside it goes on as if nothing had been read."""
    own = own_generator(loader)
    state = None if own is None else own.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            yield
        finally:
            if own is not None and state is not None:
                own.set_state(state)


def _pair_in_memory(split: Any) -> tuple[Any, Any] | None:
    if hasattr(split, "x") and hasattr(split, "y"):
        return split.x, split.y
    if isinstance(split, list | tuple) and len(split) == 2 and all(_is_array(value) for value in split):
        return split[0], split[1]
    return None


def _is_array(value: Any) -> bool:
    """A tensor, an array, or a list of numbers; not a batch (x, y)."""
    if isinstance(value, Tensor | np.ndarray) or hasattr(value, "__array__"):
        return True
    return isinstance(value, list) and bool(value) and isinstance(value[0], int | float | list)


def _check_loader(split: Any) -> None:
    name = type(split).__name__
    if hasattr(split, "__next__"):
        raise ConfigError(
            f"a split must be {_FORMS}, but got a {name}, which gives its batches only once. Give what made it."
        )
    if isinstance(split, torch.utils.data.Dataset):
        raise ConfigError(
            f"a split must be {_FORMS}, but got the data set {name}. Wrap it: DataLoader(dataset, batch_size=64, "
            "shuffle=True)."
        )
    if not isinstance(split, Iterable) or isinstance(split, str | dict | Tensor | np.ndarray):
        raise ConfigError(f"a split must be {_FORMS}, but got {name}.")
    try:
        count = len(split)  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError(
            f"a loader must know its number of batches, which the learning rate follows, but {name} has no length. "
            "Give its data set a __len__."
        ) from None
    if not count:
        raise ConfigError(f"a loader must give at least one batch, but {name} has none.")


def _targets(y: Tensor) -> Tensor:
    """Classes as int64; floating-point targets as float32."""
    return y.to(torch.float32 if y.is_floating_point() else torch.int64)
