"""What a study says about short runs, and what it tells of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwmodel.chip.records import read_record
from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from search.front.results import Stage
from search.guard.seal import seal, unseal
from search.propose.fidelity import LEAST_CORRELATION

#: File of a run: what its rungs were worth.
FILE = "rungs.json"
#: Share of a full run.
FULL = 1.0


@dataclass(frozen=True, kw_only=True)
class Fidelities:
    """How much training candidates get before a full run.

    Attributes:
        rungs: shares of the epochs of a full run, rising; () trains every candidate in full.
        warm: short runs start from the weights of the nearest candidate of the front; full ones never do.
        stop_at: shares of a full run after which it is ended where it cannot reach the front any more.
    """

    rungs: tuple[float, ...] = ()
    warm: bool = False
    stop_at: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, shares in (("rungs", self.rungs), ("stop_at", self.stop_at)):
            is_share = all(isinstance(share, float | int) and 0 < share < 1 for share in shares)
            if not is_share or list(shares) != sorted(set(shares)):
                raise ConfigError(
                    f"{name}: must be rising shares of a full run between 0 and 1, such as [0.25], but got "
                    f"{list(shares)}."
                )
        if self.warm and not self.rungs:
            raise ConfigError("warm: only short runs may start warm, so it needs rungs. Add rungs: [0.25].")

    def to_dict(self) -> dict[str, Any]:
        """Plain values; none where everything is trained in full."""
        return {} if self == Fidelities() else {key: _plain(value) for key, value in asdict(self).items()}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, kw_only=True)
class RungReport:
    """What one rung was worth.

    Attributes:
        stage: `short`, or `warm` for runs that started from another candidate.
        share: of the epochs of a full run.
        runs: short runs that ended.
        pairs: candidates that have a full one, too.
        correlation: Spearman's, of the accuracies of those; None below two.
        is_dropped: its order was not that of the full runs.
        offset, slope, residual: of the line from its logits to theirs.
    """

    stage: Stage
    share: float
    runs: int
    pairs: int
    correlation: float | None
    is_dropped: bool
    offset: float
    slope: float
    residual: float

    @property
    def text(self) -> str:
        """A sentence."""
        start = f"Rung {self.share:g}: {self.runs} {self.stage} runs, {self.pairs} of them with a full one"
        if self.correlation is None:
            return f"{start}."
        order = f"{start}, rank correlation {self.correlation:.2f}"
        return f"{order}, below {LEAST_CORRELATION:g}: dropped." if self.is_dropped else f"{order}."


def write_rungs(folder: str | Path, reports: Sequence[RungReport]) -> None:
    """Write what rungs were worth, whole or not at all."""
    data = {"rungs": [asdict(report) for report in reports]}
    write_atomic(Path(folder) / FILE, json.dumps(seal(data), indent=1) + "\n")


def read_rungs(folder: str | Path) -> tuple[RungReport, ...]:
    """As the last finetunings of a run left it; none where it has no rungs.

    Raises:
        ConfigError: the file is damaged.
    """
    path = Path(folder) / FILE
    if not path.exists():
        return ()
    try:
        data = unseal(json.loads(path.read_text(encoding="utf-8")), "the file", "")[0]
        return tuple(read_record(RungReport, item) for item in data["rungs"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ConfigError) as error:
        raise ConfigError(f"{path}: is damaged: {error} Delete it: the next finetuning writes it.") from error
