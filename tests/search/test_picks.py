"""Another point of the front: the folder follows, whole, or says that it does not yet."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hwmodel.errors import ConfigError
from search.choosing import unfinished_pick
from search.finetuning import finetune_job
from search.job import JobResult, finish_pick, pick_job, run_job
from search.ledger import read_results
from search.outputs import picked_number
from search.spec import TrainingSpec, read_spec
from tests.search.conftest import make_spec
from workloads.compress import read_config
from workloads.training.chance import ChanceLevelError


def disagreements(folder: Path) -> list[str]:
    """The files that do not follow `best.yaml`; nothing where a pick was begun, which everyone is told."""
    if unfinished_pick(folder) is not None:
        with pytest.raises(ConfigError, match=r"was interrupted.*hwmodel pick .* finishes it"):
            finetune_job(folder / "best.yaml", epochs=0)
        return []
    number = picked_number(folder)
    picked = next(result for result in read_results(folder) if result.number == number)
    pareto, layers = pd.read_csv(folder / "pareto.csv"), pd.read_csv(folder / "layers.csv")
    bits = {name: choice["w_bits"] for name, choice in picked.config["layers"].items()}
    agree = {
        "best.yaml": read_config(folder / "best.yaml").config.key == picked.key,
        "weights": (folder / "checkpoints/best.safetensors").read_bytes()
        == (folder / picked.checkpoint).read_bytes(),
        "pareto.csv": pareto.loc[pareto["picked"], "number"].tolist() == [number],
        "layers.csv": dict(zip(layers["module"].astype(str), layers["w_bits"], strict=True)) == bits,
        "report.html": not (folder / "report.html").exists(),
    }
    return [name for name, follows in agree.items() if not follows]


@pytest.mark.parametrize("files", [0, 1, 2, 3, 5, 6, 7])
def test_a_pick_that_dies_anywhere_leaves_what_can_be_repaired(
    job: JobResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """Killed after so many files; then nothing disagrees unsaid, and `finish_pick` makes everything follow."""
    folder = tmp_path / "run"
    shutil.copytree(job.folder, folder)
    numbers = [result.number for result in job.front]
    assert len(numbers) > 1
    old = picked_number(folder)
    new = next(number for number in numbers if number != old)
    (folder / "report.html").write_text(f"candidate {old}")
    replace, left = os.replace, [files]

    def dying(source: Any, target: Any) -> None:
        if Path(target).parent in (folder, folder / "checkpoints"):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying)
        with contextlib.suppress(KeyboardInterrupt):
            pick_job(folder, new, device="cpu")
    if files == 0:  # nothing has happened yet
        assert (picked_number(folder), (folder / "report.html").exists()) == (old, True)
        return
    assert disagreements(folder) == []
    assert (left[0] < 0) == (unfinished_pick(folder) == (new, None))
    finish_pick(folder, device="cpu")
    assert (unfinished_pick(folder), picked_number(folder), disagreements(folder)) == (None, new, [])


def test_a_rule_that_none_meets_ends_with_the_knee_and_says_so(job: JobResult, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(job.folder, folder)
    spec = read_spec(folder / "config.yaml")
    spec = spec.model_copy(update={"search": spec.search.model_copy(update={"pick": "energy<=1"})})
    again = run_job(spec, folder, device="cpu")
    assert again.picked == job.picked  # which is the knee
    assert any("energy <= 1" in note and "The knee" in note for note in again.messages)
    assert read_config(folder / "best.yaml").metrics["picked_by"] == "knee, as none meets energy <= 1 pJ"
    with pytest.raises(ConfigError, match="none of"):
        pick_job(folder, "energy<=1", device="cpu")


def test_a_float_model_that_learned_nothing_stops_the_search(place: Path) -> None:
    spec = make_spec(place)
    spec = spec.model_copy(update={"training": TrainingSpec(float={"epochs": 1, "lr": 1e-9})})
    with pytest.raises(ChanceLevelError, match="no better than always answering"):
        run_job(spec, place / "chance", device="cpu")
    assert not (place / "chance" / "best.yaml").exists()
