"""Two models on the same images: by how much the logit of the error differs, and how many images settle it.

The rise of a single change is a difference between two accuracies. On the same images most answers agree, and only
the pairs that do not (right before, wrong now, and the reverse) leave anything to chance: a few hundred images tell
what thousands would, had they been other images for each.

With the table of pairs p11 (both right), p10, p01, p00 over n images, p the accuracy with the change and q without,

    Var[logit p - logit q] = (1 / p(1-p) + 1 / q(1-q) - 2 (p11 - p q) / (p(1-p) q(1-q))) / n

(delta method). Half a pair is added to each cell, which keeps a difference of 0 in a small sample from being taken
for certain.

Sources: Agresti, Categorical Data Analysis, 2002, section 10.1 (matched pairs); Agresti and Min, Statistics in
Medicine 24, 2005 (half a pair per cell).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from hwmodel.errors import ConfigError
from search.evaluating import Hits
from search.propose.problem import logit_error

#: A rise is settled once its standard error is below this [logits]: the model of the accuracy expects as much noise
#: of a training run, and of an option's own part (`search.propose.accuracy_model.SCALES`) ...
ENOUGH = 0.05
#: ... or below this share of the rise: it expects twice as much of an option beyond its rise.
ENOUGH_SHARE = 0.1
#: Of validation splits up to this size every image is scored.
WHOLE_UP_TO = 1000


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """A changed model beside the reference on the same images.

    Attributes:
        total: images.
        correct: images that the changed model has right.
        lost: of the others, those that the reference has right.
        won: of those, what the reference has wrong.
    """

    total: int
    correct: int
    lost: int
    won: int

    def __post_init__(self) -> None:
        if not (0 <= self.won <= self.correct and 0 <= self.lost <= self.total - self.correct and self.total > 0):
            raise ConfigError(
                "pairs: `0 <= won <= correct` and `0 <= lost <= total - correct` must hold, but got "
                f"won={self.won}, lost={self.lost}, {self.correct} of {self.total}."
            )

    @classmethod
    def of(cls, hits: Hits, reference: Hits) -> Self:
        """Of the first images of the reference, as many as `hits` has. Shapes (n,), (m,), n <= m."""
        if len(hits) > len(reference):
            raise ConfigError(f"pairs: the reference must have all {len(hits)} images, but has {len(reference)}.")
        before = reference[: len(hits)]
        return cls(
            total=len(hits),
            correct=int(hits.sum()),
            lost=int((before & ~hits).sum()),
            won=int((hits & ~before).sum()),
        )

    @property
    def reference_correct(self) -> int:
        """Images that the reference has right."""
        return self.correct + self.lost - self.won

    @property
    def rise(self) -> float:
        """Of the logit of the error over that of the reference."""
        now = float(logit_error(self.correct / self.total, self.total))
        return now - float(logit_error(self.reference_correct / self.total, self.total))

    @property
    def deviation(self) -> float:
        """Standard error of the rise [logits]."""
        n = self.total + 2.0
        both = (self.correct - self.won + 0.5) / n
        p, q = (self.correct + 1.0) / n, (self.reference_correct + 1.0) / n
        spread_p, spread_q = p * (1 - p), q * (1 - q)
        covariance = both - p * q
        variance = 1 / spread_p + 1 / spread_q - 2 * covariance / (spread_p * spread_q)
        return math.sqrt(max(variance, 0.0) / n)

    @property
    def is_settled(self) -> bool:
        """More images would not change what is believed of the change."""
        return self.deviation <= max(ENOUGH, ENOUGH_SHARE * abs(self.rise))


@dataclass(frozen=True)
class SettledAgainst:
    """The rule that ends the scoring of a change. It travels to workers.

    Attributes:
        packed: hits of the reference, eight to a byte.
        total: its images.
    """

    packed: bytes
    total: int

    @classmethod
    def of(cls, reference: Hits) -> Self:
        return cls(packed=np.packbits(reference).tobytes(), total=len(reference))

    @property
    def reference(self) -> Hits:
        """Shape (total,)."""
        return np.unpackbits(np.frombuffer(self.packed, dtype=np.uint8), count=self.total).astype(np.bool_)

    def __call__(self, hits: Hits) -> bool:
        return Pairs.of(hits, self.reference).is_settled


@dataclass(frozen=True)
class Everything:
    """The rule of the reference: all images."""

    def __call__(self, hits: Hits) -> bool:
        return False


def subsets_note(images: Sequence[int], num_images: int) -> str:
    """What a user should know of scores on parts of the images.

    Args:
        images: that each change was scored on.
        num_images: of the split.
    """
    least, most, share = min(images), max(images), sum(images) / (len(images) * num_images)
    return (
        f"Sensitivities: {len(images)} single changes on {least:,} to {most:,} of {num_images:,} images, as many "
        f"as each needed: {share:.0%} of all."
    )
