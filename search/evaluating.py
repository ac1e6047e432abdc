"""What an evaluator can do: protocols, one per ability, and the ways in which a score is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from workloads.compress.config import CompressionConfig

#: Which images were right, in a fixed order. Shape (n,).
Hits = NDArray[np.bool_]
#: The hits so far -> they are enough.
IsEnough = Callable[[Hits], bool]


@dataclass(frozen=True, kw_only=True)
class Watch:
    """When a full run is looked at, and when it is ended. It travels to workers.

    Attributes:
        least: share of the run -> accuracy below which it ends there; 0 only looks.
    """

    least: Mapping[float, float]


@dataclass(frozen=True, kw_only=True)
class Ways:
    """How a score is made where it is not made in full.

    Attributes:
        is_enough: without training: ends the scoring once the images so far are enough; None scores all.
        share: of the epochs of a full run.
        start: weights to start from (`CarriedState`); None is the float model.
        watch: a full run; None lets it run.
    """

    is_enough: IsEnough | None = None
    share: float = 1.0
    start: Any = None
    watch: Watch | None = None


ORDINARY = Ways()


@runtime_checkable
class PtqEvaluator(Protocol):
    """Scores a configuration without training: (accuracy, module), or the accuracy alone.

    An accuracy has `.correct` and `.total`, as `Accuracy` has, or is a fraction.
    """

    def ptq(self, config: CompressionConfig, /) -> Any: ...


@runtime_checkable
class QatEvaluator(Protocol):
    """Scores a configuration after finetuning: the same answers as of `ptq`; a module that is given is kept."""

    def qat(self, config: CompressionConfig, seed: int, /) -> Any: ...


@runtime_checkable
class SubsetEvaluator(Protocol):
    """Scores without training on a part of the images, the same ones for everybody.

    `num_images` of them can be told apart, 0 where none can. `ptq_hits` answers which of the first n are right,
    (n,) booleans, n being all or where `is_enough` of the hits so far said so.
    """

    def num_images(self) -> int: ...

    def ptq_hits(self, config: CompressionConfig, is_enough: IsEnough, /) -> Any: ...


@runtime_checkable
class ShortEvaluator(Protocol):
    """Finetunes for a share of the epochs, from the weights of another candidate if it is given any: as `qat`."""

    def qat_short(self, config: CompressionConfig, seed: int, share: float, start: Any, /) -> Any: ...


@runtime_checkable
class WatchedEvaluator(Protocol):
    """`qat` that asks `stop(share, accuracy)` after these shares of the run, and ends there if it says so."""

    def qat_watched(
        self, config: CompressionConfig, seed: int, shares: Sequence[float], stop: Callable[[float, Any], bool], /
    ) -> Any: ...


@runtime_checkable
class BatchEvaluator(Protocol):
    """Finetunes several configurations as one: for each what `qat` gives, or the error that it failed with."""

    def qat_many(self, configs: Sequence[CompressionConfig], seeds: Sequence[int], /) -> Sequence[Any]: ...


Evaluate = PtqEvaluator | Callable[[CompressionConfig], Any]
