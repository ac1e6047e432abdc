"""Making a complete table: a float model, then every candidate finetuned, seed after seed.

What is done is on disk every minute: a run that was killed goes on.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.proof.problems import SmallSearch
from benchmarks.proof.tables import MISSING, Table, read_table
from benchmarks.provenance import provenance
from hwmodel.errors import ConfigError
from search.seeds import derive_seed
from workloads.training import Scorer, pretrain

SEEDS = 2
SAVE_EVERY_S = 60.0


def make_table(search: SmallSearch, folder: Path, data_path: Path | None, seeds: int = SEEDS) -> Table:
    """The complete table of a search.

    Args:
        search: what to answer.
        folder: of the float model and of what is done so far.
        data_path: of its data, if it needs a path.
        seeds: finetunings of every candidate.

    Raises:
        ConfigError: the folder holds another table, or a candidate cannot be scored.
    """
    data = search.data(data_path)
    torch.manual_seed(0)
    model = search.network()
    pretrain(model, data, search.float_settings, folder / f"{search.name}-float.safetensors")
    scorer = Scorer(model, search.finetuning_data(data), search.qat, device="cpu")
    graph = search.graph(data)
    space = search.space(graph)
    facts = _facts(search, scorer, data.describe())
    path = folder / f"{search.name}.npz"
    table = Table(
        space=space,
        graph=graph,
        ptq=np.full(space.size, MISSING, dtype=np.int32),
        qat=np.full((space.size, seeds), MISSING, dtype=np.int32),
        seconds=np.zeros((space.size, seeds), dtype=np.float32),
        facts=facts,
    )
    if path.exists():
        table = _continued(path, table)
    _fill(table, scorer, path)
    table.write(path)
    return table


def _facts(search: SmallSearch, scorer: Scorer, data: str) -> dict[str, Any]:
    reached = scorer.float_accuracy()
    return {
        "name": search.name,
        "data": data,
        "images": reached.total,
        "float_correct": reached.correct,
        "chance": search.chance,
        "accelerator": search.accelerator,
        "qat_images": search.qat_images,
        "float_settings": search.float_settings.to_dict(),
        "qat_settings": search.qat.to_dict(),
        "device": "cpu, one thread",
        **provenance(["numpy", "torch"]),
    }


def _continued(path: Path, new: Table) -> Table:
    old = read_table(path)
    made = ("data", "images", "float_correct", "qat_images", "float_settings", "qat_settings")
    changed = [name for name in made if old.facts.get(name) != new.facts[name]]
    if changed or old.space.to_dict() != new.space.to_dict() or old.qat.shape != new.qat.shape:
        raise ConfigError(f"{path}: was made with other {', '.join(changed) or 'candidates'}. Delete it, or --folder.")
    return old


def _fill(table: Table, scorer: Scorer, path: Path) -> None:
    """Every score that is missing: all without training, then all of the first seed, then of the next."""
    saver = _Saver(table, path)
    for row in np.flatnonzero(table.ptq == MISSING).tolist():
        table.ptq[row] = scorer.ptq(table.configs[row]).correct
        saver.step("without training")
    for seed, row in np.argwhere(table.qat.T == MISSING).tolist():
        start = time.process_time()
        accuracy, _ = scorer.qat(table.configs[row], derive_seed(seed, table.configs[row].key))
        table.seconds[row, seed] = time.process_time() - start
        table.qat[row, seed] = accuracy.correct
        saver.step(f"seed {seed}")


class _Saver:
    """Writes the table once a minute."""

    def __init__(self, table: Table, path: Path) -> None:
        self._table, self._path, self._saved = table, path, time.monotonic()

    def step(self, what: str) -> None:
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            self._table.write(self._path)
            self._saved = time.monotonic()
            done = int((self._table.qat != MISSING).sum())
            print(f"{self._table.name}: {what}, {done} of {self._table.qat.size} finetunings", flush=True)
