"""A complete table: what every candidate of a small search scores without training, and after several finetunings.

One compressed NumPy file without pickles: `ptq` (candidates,) and `qat` (candidates, seeds), right answers, in the
order of `Space.points()`, and `facts`, JSON: the space, the graph, the settings and the provenance.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from hwmodel.network.graph import LayerGraph
from search import Space
from workloads.compress import CompressionConfig
from workloads.training.accuracy import Accuracy

FOLDER = Path(__file__).parent.parent / "tables"
SCHEMA_VERSION = 1
#: Right answers of a run that is not there yet.
MISSING = -1

Counts = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """All scores of a search.

    Attributes:
        space: the candidates.
        graph: of the network.
        ptq: (candidates,) right answers without training.
        qat: (candidates, seeds) right answers after finetuning.
        facts: `name`, `images` (that answers are counted over), `chance`, `accelerator`, `ptq_seconds` and
            `qat_seconds` (processor time of one score of a candidate alone), and the provenance.
    """

    space: Space
    graph: LayerGraph
    ptq: Counts
    qat: Counts
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.facts["name"])

    @property
    def images(self) -> int:
        return int(self.facts["images"])

    @property
    def is_complete(self) -> bool:
        """Every candidate was scored with every seed."""
        return bool((self.ptq != MISSING).all() and (self.qat != MISSING).all())

    @cached_property
    def configs(self) -> tuple[CompressionConfig, ...]:
        """Of every row."""
        return tuple(self.space.config(point) for point in self.space.points())

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Key of a configuration -> its row."""
        return {config.key: row for row, config in enumerate(self.configs)}

    @cached_property
    def truth(self) -> Floats:
        """(candidates,) mean accuracy over the seeds."""
        return self.qat.mean(axis=1) / self.images

    def seen_by(self, draw: np.random.Generator) -> Draw:
        """An evaluator whose finetuning of each candidate is that of one seed, drawn here."""
        rows = np.arange(len(self.qat))
        return Draw(self, self.qat[rows, draw.integers(self.qat.shape[1], size=len(rows))])

    def write(self, path: Path) -> Path:
        """Whole or not at all."""
        buffer = io.BytesIO()
        facts = dict(self.facts) | {
            "schema": SCHEMA_VERSION,
            "space": self.space.to_dict(),
            "graph": self.graph.to_dict(),
        }
        np.savez_compressed(buffer, ptq=self.ptq, qat=self.qat, facts=np.array(json.dumps(facts)))
        return write_atomic(path, buffer.getvalue())


class Draw:
    """What one search sees: `evaluate` of a `Study`. A finetuning that is asked for twice scores the same.

    Args:
        table: the scores.
        qat_correct: (candidates,) right answers after the finetuning that it sees.

    Attributes:
        calls: scores asked for so far, by fidelity.
    """

    def __init__(self, table: Table, qat_correct: Counts) -> None:
        self._table, self._correct = table, {"ptq": table.ptq, "qat": qat_correct}
        self.calls = {"ptq": 0, "qat": 0}

    def ptq(self, config: CompressionConfig) -> Accuracy:
        return self._accuracy("ptq", config)

    def qat(self, config: CompressionConfig, seed: int) -> Accuracy:
        return self._accuracy("qat", config)

    def _accuracy(self, fidelity: str, config: CompressionConfig) -> Accuracy:
        self.calls[fidelity] += 1
        correct = self._correct[fidelity][self._table.index[config.key]]
        return Accuracy(correct=int(correct), total=self._table.images)


def read_table(path: Path) -> Table:
    """A table, checked.

    Raises:
        ConfigError: the file is absent or not one, or its numbers do not fit each other.
    """
    if not path.exists():
        raise ConfigError(f"{path}: must be there. Make it: python benchmarks/search.py tables.")
    try:
        with np.load(path, allow_pickle=False) as found:
            facts = json.loads(str(found["facts"][()]))
            ptq, qat = found["ptq"], found["qat"]
        if facts["schema"] != SCHEMA_VERSION:
            raise ValueError(f"schema must be {SCHEMA_VERSION}, but is {facts['schema']!r}")
        space, graph = Space.from_dict(facts.pop("space")), LayerGraph.from_dict(facts.pop("graph"))
        images = int(facts["images"])
        _ = [facts[name] for name in ("name", "chance", "accelerator", "ptq_seconds", "qat_seconds")]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConfigError(f"{path}: is no table: {type(error).__name__}: {error}. Make it again.") from None
    _check(path, space, ptq, qat, images)
    return Table(space=space, graph=graph, ptq=ptq, qat=qat, facts=facts)


def _check(path: Path, space: Space, ptq: Counts, qat: Counts, images: int) -> None:
    if ptq.shape != (space.size,) or qat.ndim != 2 or len(qat) != space.size or not qat.size:
        raise ConfigError(
            f"{path}: `ptq ({space.size},) and qat ({space.size}, seeds)` must hold for its space, but they are "
            f"{ptq.shape} and {qat.shape}. Make it again."
        )
    for name, counts in (("ptq", ptq), ("qat", qat)):
        if not np.issubdtype(counts.dtype, np.integer) or counts.min() < MISSING or counts.max() > images:
            raise ConfigError(f"{path}: {name} must be counts of at most {images} images. Make it again.")
