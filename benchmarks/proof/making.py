"""Making a complete table: a float model, then every candidate finetuned, seed after seed.

What is done is on disk every minute: a run that was killed goes on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.proof.problems import SmallSearch
from benchmarks.proof.tables import MISSING, Table, read_table
from benchmarks.provenance import provenance
from hwmodel.errors import ConfigError
from search.seeds import derive_seed
from workloads.compress import CompressionConfig
from workloads.data.dataset import Dataset
from workloads.training import Scorer, pretrain

SEEDS = 3
SAVE_EVERY_S = 60.0
#: Candidates finetuned as one.
TOGETHER = 32


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
    scorer = Scorer(model, search.finetuning_data(data), search.qat, device="cpu", batch=TOGETHER)
    graph = search.graph(data)
    space = search.space(graph)
    tried = [space.config(point) for point in space.uniform_points()]
    facts = _facts(search, scorer, data) | _seconds(scorer, [*tried, *tried])
    path = folder / f"{search.name}.npz"
    table = Table(
        space=space,
        graph=graph,
        ptq=np.full(space.size, MISSING, dtype=np.int32),
        qat=np.full((space.size, seeds), MISSING, dtype=np.int32),
        facts=facts,
    )
    if path.exists():
        table = _continued(path, table)
    _fill(table, scorer, path)
    table.write(path)
    return table


def _seconds(scorer: Scorer, configs: Sequence[CompressionConfig]) -> dict[str, float]:
    """Median processor time of a score of a candidate alone [s]; the first is left out."""
    spent = []
    for config in configs:
        began = time.process_time()
        scorer.ptq(config)
        middle = time.process_time()
        scorer.qat(config)
        spent.append((middle - began, time.process_time() - middle))
    ptq, qat = np.median(np.array(spent[1:]), axis=0).round(4).tolist()
    return {"ptq_seconds": ptq, "qat_seconds": qat}


def _facts(search: SmallSearch, scorer: Scorer, data: Dataset) -> dict[str, Any]:
    reached = scorer.float_accuracy()
    return {
        "name": search.name,
        "data": data.describe(),
        "input_shape": list(data.input_shape),
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
    """What the file holds of the table; further seeds are added to it."""
    old = read_table(path)
    made = ("data", "images", "float_correct", "qat_images", "float_settings", "qat_settings")
    changed = [name for name in made if old.facts.get(name) != new.facts[name]]
    if old.space.to_dict() != new.space.to_dict():
        changed.append("candidates")
    if old.qat.shape[1] > new.qat.shape[1]:
        changed.append("seeds")
    if changed:
        raise ConfigError(f"{path}: was made with other {', '.join(changed)}. Delete it, or choose another folder.")
    qat = new.qat.copy()
    qat[:, : old.qat.shape[1]] = old.qat
    return replace(new, ptq=old.ptq, qat=qat)


def _fill(table: Table, scorer: Scorer, path: Path) -> None:
    """Every score that is missing: all without training, then all of the first seed, then of the next."""
    saver = _Saver(table, path)
    for row in np.flatnonzero(table.ptq == MISSING).tolist():
        table.ptq[row] = scorer.ptq(table.configs[row]).accuracy.correct
        saver.step("without training")
    todo = [(row, seed) for seed, row in np.argwhere(table.qat.T == MISSING).tolist()]
    for start in range(0, len(todo), TOGETHER):
        rows, seeds = (list(column) for column in zip(*todo[start : start + TOGETHER], strict=True))
        configs = [table.configs[row] for row in rows]
        answers = scorer.qat_many(
            configs, [derive_seed(seed, c.key) for seed, c in zip(seeds, configs, strict=True)]
        )
        for answer in answers:
            if isinstance(answer, ConfigError):
                raise answer
        table.qat[rows, seeds] = [answer[0].correct for answer in answers]
        saver.step(f"seed {seeds[-1]}")


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
