"""What an experiment found, as a file: the tables, the finding, and what is needed to judge them."""

from __future__ import annotations

import datetime
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic

_PACKAGES = ("hwmodel", "torch", "numpy", "optuna")
_TUPLES = ("cuts", "data", "figures")


@dataclass(frozen=True, kw_only=True)
class Record:
    """The result of one experiment.

    Attributes:
        name: of the experiment.
        question: that it answers.
        finding: the answer, in one sentence.
        cuts: what was made smaller than the experiment asks, and why: one sentence each.
        quick: the small version that only shows that it runs.
        date: UTC, ISO.
        seconds: wall clock of all steps.
        device: that computed.
        seed: of the experiment.
        data: what it saw, as `Dataset.describe` says it.
        versions: of Python and of the packages.
        tables: name -> rows. An accuracy stands in columns NAME, NAME_low, NAME_high (95 %, shares), NAME_images.
        figures: files beside this one, the first shown in the gallery.
    """

    name: str
    question: str
    finding: str
    cuts: tuple[str, ...]
    quick: bool
    date: str
    seconds: float
    device: str
    seed: int
    data: tuple[str, ...]
    versions: Mapping[str, str | None]
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    figures: tuple[str, ...] = ()

    def write(self, folder: Path) -> Path:
        """`NAME.json` in the folder, whole or not at all."""
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)
        return write_atomic(folder / f"{self.name}.json", text + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record of a file.

        Raises:
            ConfigError: it is none.
        """
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: is no result of an experiment: {error}") from error
        wanted = set(cls.__dataclass_fields__)
        if not isinstance(held, dict) or set(held) != wanted:
            different = sorted(wanted ^ set(held)) if isinstance(held, dict) else [type(held).__name__]
            raise ConfigError(f"{path}: is no result of an experiment: {', '.join(different)} missing or unknown.")
        values: dict[str, Any] = {key: tuple(value) if key in _TUPLES else value for key, value in held.items()}
        record = cls(**values)
        record._check(path)
        return record

    def _check(self, path: Path) -> None:
        texts = (
            self.name,
            self.question,
            self.finding,
            self.date,
            self.device,
            *self.cuts,
            *self.data,
            *self.figures,
        )
        if not all(isinstance(text, str) for text in texts):
            raise ConfigError(
                f"{path}: name, question, finding, date, device, cuts, data and figures must be texts."
            )
        if not _is_number(self.seconds) or self.seconds < 0:
            raise ConfigError(f"{path}: seconds must be a number >= 0, but is {self.seconds!r}.")
        outside = [name for name in self.figures if Path(name).name != name]
        if outside or path.stem != self.name:
            raise ConfigError(
                f"{path}: must lie beside its figures and have its name, but holds {outside or self.name!r}."
            )
        if not isinstance(self.tables, dict) or not all(
            isinstance(rows, list) and all(isinstance(row, dict) for row in rows) for rows in self.tables.values()
        ):
            raise ConfigError(f"{path}: tables must be lists of rows.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def today() -> str:
    """The date (UTC), ISO."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def versions() -> dict[str, str | None]:
    """Of Python and of what computes."""
    return {"python": platform.python_version(), **{name: version_of(name) for name in _PACKAGES}}


def version_of(package: str) -> str | None:
    """Of a distribution; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
