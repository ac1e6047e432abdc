"""Labels of channels, and which of them have to go together (union-find)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

#: Not a channel: a constant, such as the zeros of a padding. It joins nothing.
NONE = 0
#: A constant that channels meet: they must stay, and so must everything that is joined with them.
FIXED = 1


class ChannelClasses:
    """Numbers for channels, joined into classes of channels that are kept or removed together.

    A *label tensor* has the shape of an activation and says for every element which channel it
    belongs to. Labels are float64: exact to 2^53, and every op that moves data takes them. A class that has to stay
    knows why: the first reason that was found.
    """

    def __init__(self) -> None:
        self._parents = [NONE, FIXED]
        self._kept: dict[int, str] = {FIXED: "a constant lies beside them"}

    def fresh(self, count: int) -> Tensor:
        """New labels, (count,)."""
        start = len(self._parents)
        self._parents.extend(range(start, start + count))
        return torch.arange(start, start + count, dtype=torch.float64)

    def fixed(self, why: str) -> int:
        """A new label of something that stays."""
        label = int(self.fresh(1))
        self._kept[label] = why
        return label

    def find(self, label: int) -> int:
        """The label that stands for the class."""
        root = label
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[label] != root:
            self._parents[label], label = root, self._parents[label]
        return root

    def roots(self, labels: Tensor) -> list[int]:
        """The class of every label of a vector; `FIXED` where it stays, `NONE` where there is none."""
        found = (self.find(int(label)) for label in labels.tolist())
        return [FIXED if root in self._kept else root for root in found]

    def reasons(self, labels: Tensor) -> list[str]:
        """Why each label of a vector stays; "" where it need not."""
        return [self._kept.get(self.find(int(label)), "") for label in labels.tolist()]

    def join(self, first: Tensor, second: Tensor) -> Tensor:
        """What sits at the same place goes together.

        Args:
            first, second: label tensors that broadcast to each other.

        Returns:
            One label per place; `NONE` only where both have none.
        """
        self._join_pairs(_compact(first), _compact(second))
        shape = np.broadcast_shapes(first.shape, second.shape)
        small = [_compact(labels) for labels in (first, second)]
        return torch.where(small[0] == NONE, small[1], small[0]).expand(shape)

    def merge_along(self, labels: Tensor, dims: list[int]) -> Tensor:
        """One label along some dims, which are kept with size 1: what differs there goes together."""
        small = _compact(labels)
        merged = small.amax(dims, keepdim=True) if dims else small
        self._join_pairs(small, merged.expand_as(small))
        full = [1 if dim in dims else size for dim, size in enumerate(labels.shape)]
        return merged.expand(full)

    def fix(self, labels: Tensor, why: str) -> None:
        """These channels stay."""
        for label in distinct(labels) - {NONE}:
            self._kept.setdefault(self.find(label), why)

    def _join_pairs(self, first: Tensor, second: Tensor) -> None:
        differ = (first != second) & (first != NONE) & (second != NONE)
        pairs = (labels.expand_as(differ)[differ].tolist() for labels in (first, second))
        for a, b in set(zip(*pairs, strict=True)):
            self._unite(int(a), int(b))

    def _unite(self, a: int, b: int) -> None:
        low, high = sorted((self.find(a), self.find(b)))
        self._parents[high] = low
        if high != low and high in self._kept:
            self._kept.setdefault(low, self._kept.pop(high))


@dataclass(kw_only=True)
class Use:
    """How one module with weights meets the channels.

    Attributes:
        reads: label of every input channel; None where it never ran.
        writes: label of every output channel.
        is_carrier: each output channel belongs to one input channel (batch norm, depthwise).
        is_adapter: it has no weights, but sizes to be told (`keep_channels`).
    """

    reads: Tensor
    writes: Tensor
    is_carrier: bool = False
    is_adapter: bool = False


@dataclass(kw_only=True)
class Followed:
    """What a forward pass told: the classes of channels, and the uses of them by module name."""

    classes: ChannelClasses = field(default_factory=ChannelClasses)
    uses: dict[str, Use] = field(default_factory=dict)


def varying_dims(labels: Tensor) -> list[int]:
    """The dims along which the labels are not all the same."""
    small = _compact(labels)
    return [
        dim for dim in range(small.dim()) if small.shape[dim] > 1 and bool((small != small.narrow(dim, 0, 1)).any())
    ]


def distinct(labels: Tensor) -> set[int]:
    """The labels that occur."""
    return {int(label) for label in _compact(labels).flatten().tolist()}


def tidy(labels: Tensor) -> Tensor:
    """The same labels, stored once along every dim in which they do not vary."""
    varying = varying_dims(labels)
    small = labels
    for dim in range(labels.dim()):
        if dim not in varying:
            small = small.narrow(dim, 0, 1)
    return small.expand(labels.shape)


def _compact(labels: Tensor) -> Tensor:
    """One place along every dim that is an expansion of a single one (stride 0)."""
    for dim in range(labels.dim()):
        if labels.shape[dim] > 1 and labels.stride(dim) == 0:
            labels = labels.narrow(dim, 0, 1)
    return labels
