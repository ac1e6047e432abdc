"""Scores without training that are kept in a file of the run: those of single changes, and what pairs them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwmodel.chip.records import read_record
from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from search.evaluating import Hits
from search.groups import AxisValue
from search.guard.seal import seal, unseal
from search.propose.problem import logit_error
from search.propose.subsets import Pairs
from search.scoring import Outcome, accuracy_fields, accuracy_of
from workloads.training.accuracy import Accuracy

FILE = "sensitivity.json"
SCHEMA_VERSION = 1
#: A score is on disk after so long at most [s]; those that take longer than this are at once.
FLUSH_S = 1.0
#: Fields that only scores of subsets have.
_OF_SUBSETS = ("lost", "won", "hits")


@dataclass(frozen=True, kw_only=True)
class _Score:
    """A line of the file: `Outcome` of the configuration `key`, and what was changed for it.

    `lost` and `won` are those of `Pairs`, against the reference on the same images; `hits` those of the reference,
    in hex, eight to a byte. None and "" where images were not told apart.
    """

    key: str
    parameter: str
    value: AxisValue | str | None
    correct: int
    total: int
    score: float | None = None
    error: str
    wall_s: float
    lost: int | None = None
    won: int | None = None
    hits: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.total:
            raise ConfigError(f"`0 <= correct <= total` must hold, but got {self.correct} of {self.total}.")
        _ = self.pairs
        if self.hits and (
            len(bytes.fromhex(self.hits)) != -(-self.total // 8) or self.reference.sum() != self.correct
        ):
            raise ConfigError(f"hits must be those of {self.correct} of {self.total} images.")
        if self.score is not None and not 0 <= self.score <= 1:
            raise ConfigError(f"score must lie in [0, 1], but got {self.score}.")
        if not self.error and not self.total and self.score is None:
            raise ConfigError(f"{self.key} must hold an accuracy or an error.")

    @property
    def outcome(self) -> Outcome:
        accuracy = None if self.error else accuracy_of(asdict(self))
        return Outcome(accuracy=accuracy, error=self.error, wall_s=self.wall_s)

    @property
    def pairs(self) -> Pairs | None:
        """Beside the reference, where both were seen image by image."""
        if self.lost is None or self.won is None:
            return None
        return Pairs(total=self.total, correct=self.correct, lost=self.lost, won=self.won)

    @property
    def reference(self) -> Hits:
        """`hits` as booleans. Shape (total,)."""
        packed = np.frombuffer(bytes.fromhex(self.hits), dtype=np.uint8)
        return np.unpackbits(packed, count=self.total).astype(np.bool_)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what only subsets have is left out elsewhere."""
        return {
            key: value for key, value in asdict(self).items() if key not in _OF_SUBSETS or value not in (None, "")
        }


@dataclass(frozen=True, kw_only=True)
class MeasuredChange:
    """What one group at one combination costs, all else most precise.

    Attributes:
        group: that was changed.
        combination: weight bits, activation bits and density.
        rise: of the logit of the error; 0 is no change, and noise may lie below.
        total: images seen.
    """

    group: str
    combination: tuple[float, ...]
    rise: float
    total: int


def read_changes(folder: Path) -> tuple[MeasuredChange, ...]:
    """The single changes that a run has measured; none where it has measured none.

    Raises:
        ConfigError: their file is damaged.
    """
    return ScoreCache(folder / FILE).changes() if (folder / FILE).exists() else ()


class ScoreCache:
    """Scores by configuration key in a JSON file, which is written whole: `flush` it at the end.

    Args:
        path: the file; made with the first score.

    Raises:
        ConfigError: the file is not one of these.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, _Score] = {}
        self._written_at = -FLUSH_S
        self._is_dirty = False
        if path.exists():
            try:
                data = unseal(json.loads(path.read_text(encoding="utf-8")), "the file", "")[0]
                if data["schema"] != SCHEMA_VERSION:
                    raise ValueError(f"schema must be {SCHEMA_VERSION}, but is {data['schema']!r}")
                scores = [read_record(_Score, item) for item in data["scores"]]
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise ConfigError(f"{path}: is damaged: {error} Delete it: it is measured again.") from error
            self._entries = {score.key: score for score in scores}

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> Outcome | None:
        """The outcome of a configuration, or None."""
        item = self._entries.get(key)
        return None if item is None else item.outcome

    def whole(self, key: str) -> Outcome | None:
        """The outcome of a configuration that saw as many images as any, or None."""
        most = max((item.total for item in self._entries.values()), default=0)
        found = self.get(key)
        is_part = found is not None and not found.error and self._entries[key].total < most
        return None if is_part else found

    def rise(self, key: str, reference: str) -> float:
        """Of the logit of the error of one configuration over another's; one that failed gets everything wrong."""
        pairs = self._entries[key].pairs
        return self.logit(key) - self.logit(reference) if pairs is None else pairs.rise

    def logit(self, key: str) -> float:
        """Of the error of a configuration; one that cannot be scored gets everything wrong."""
        outcome = self._entries[key].outcome
        total = outcome.accuracy.total if isinstance(outcome.accuracy, Accuracy) else 0
        return float(logit_error(outcome.value or 0.0, total))

    def hits(self, key: str) -> Hits | None:
        """Of the reference; None where its images were not told apart."""
        item = self._entries.get(key)
        return item.reference if item is not None and item.hits else None

    def images(self) -> list[int]:
        """Images seen by each change whose images were told apart."""
        return [item.total for item in self._entries.values() if item.pairs is not None]

    def changes(self) -> tuple[MeasuredChange, ...]:
        """Every change beside the reference, in the order of measuring; none without a reference."""
        reference = next((item.key for item in self._entries.values() if not item.parameter), None)
        if reference is None:
            return ()
        return tuple(
            MeasuredChange(
                group=item.parameter,
                combination=tuple(float(value) for value in str(item.value).split(",")),
                rise=self.rise(item.key, reference),
                total=item.total,
            )
            for item in self._entries.values()
            if item.parameter
        )

    def put(
        self,
        key: str,
        outcome: Outcome,
        parameter: str,
        value: AxisValue | str | None,
        beside: Hits | None = None,
    ) -> None:
        """Keep an outcome, with what was changed for the reader of the file.

        Args:
            key: of the configuration.
            outcome: its hits, if it has any, are compared with those of the reference.
            parameter, value: what was changed; "" and None for the reference.
            beside: hits of the reference; None where this is the reference, whose hits are kept.
        """
        pairs = Pairs.of(outcome.hits, beside) if outcome.hits is not None and beside is not None else None
        own = outcome.hits if beside is None else None
        self._entries[key] = _Score(
            key=key,
            parameter=parameter,
            value=value,
            **accuracy_fields(outcome.accuracy),
            error=outcome.error,
            wall_s=outcome.wall_s,
            lost=None if pairs is None else pairs.lost,
            won=None if pairs is None else pairs.won,
            hits="" if own is None else np.packbits(own).tobytes().hex(),
        )
        self._is_dirty = True
        if time.monotonic() - self._written_at >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet."""
        if self._is_dirty:
            data = {"schema": SCHEMA_VERSION, "scores": [score.to_dict() for score in self._entries.values()]}
            write_atomic(self._path, json.dumps(seal(data), indent=1) + "\n")
            self._written_at, self._is_dirty = time.monotonic(), False
