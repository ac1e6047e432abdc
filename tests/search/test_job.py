"""The whole job on a tiny network and synthetic images."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hwmodel import evaluate, load_accelerator
from hwmodel.errors import ConfigError
from hwmodel.network.graph import LayerGraph
from search.finaltest import read_tests, summarize
from search.finetuning import finetune_job, load_best
from search.front.pareto import pareto_front
from search.job import JobResult, pick_job, resume_job, run_job
from search.ledger import RunLock, RunLockedError, read_results
from search.materials import FLOAT_WEIGHTS
from search.observer import Observer
from search.spec import parse_spec
from tests.search.conftest import TEST_SEEDS, make_spec
from workloads import load_data
from workloads.compress import quantized_layers, read_config
from workloads.training import Accuracy, Scorer, measure_accuracy


def test_every_file_is_there(job: JobResult) -> None:
    records = (
        "study.db",
        "study.json",
        "ledger.jsonl",
        "sensitivity.json",
        "float.json",
        "test.jsonl",
        "graph.json",
    )
    tables = ("config.yaml", "pareto.csv", "candidates.csv", "layers.csv", "best.yaml")
    for name in (*records, *tables, FLOAT_WEIGHTS, "checkpoints/best.safetensors"):
        assert (job.folder / name).stat().st_size > 0, name


def test_front_csv_is_the_front_of_the_ledger(job: JobResult) -> None:
    results = read_results(job.folder)
    front = pareto_front([r for r in results if r.stage == "qat"], ["accuracy", "energy"], unique=True)
    frame = pd.read_csv(job.folder / "pareto.csv")
    assert frame["number"].tolist() == [r.number for r in front] == [r.number for r in job.front]
    assert frame["energy_pj"].tolist() == pytest.approx([r.costs["energy_pj"] for r in front])
    assert frame["qat_accuracy"].tolist() == pytest.approx([r.correct / r.total for r in front])
    assert frame["val_total"].unique().tolist() == [60]
    ptq = {r.key: r.accuracy for r in results if r.stage == "ptq"}
    assert frame["ptq_accuracy"].tolist() == pytest.approx([ptq[r.key] for r in front])
    assert frame["picked"].sum() == 1
    assert len(pd.read_csv(job.folder / "candidates.csv")) == len(results) == job.num_done


def test_the_front_is_tested_once_per_seed(job: JobResult) -> None:
    records = read_tests(job.folder)
    runs = Counter((record.key, record.run) for record in records)
    assert set(runs.values()) == {1}
    tested = {r.key for r in (*job.front, *read_results(job.folder)) if r in job.front or r.is_baseline}
    assert set(runs) == {("float", 0), *((key, run) for key in tested for run in range(TEST_SEEDS))}
    assert {record.total for record in records} == {50}
    own = {record.key: record for record in records if record.run == 0 and record.stage == "qat"}
    for result in job.front:  # the saved weights score what the search recorded, to the last image
        assert (own[result.key].validation_correct, own[result.key].seed) == (result.correct, result.seed)
    summary = summarize(records, job.picked.key, "qat")
    values = [r.correct / 50 for r in records if r.key == job.picked.key]
    assert summary is not None and summary.num_seeds == TEST_SEEDS
    assert summary.mean == pytest.approx(sum(values) / 2)
    assert summary.sd == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))


def test_uniform_widths_are_finetuned_first(job: JobResult) -> None:
    first = next(r for r in read_results(job.folder) if r.stage == "qat")
    widths = [(choice["w_bits"], choice["a_bits"]) for choice in first.config["layers"].values()]
    assert first.is_baseline
    assert widths == [(8, 8), (4, 8), (4, 8), (8, 8)]  # the first and the last layer are frozen


def test_only_the_front_and_the_uniform_ones_keep_their_weights(job: JobResult) -> None:
    kept = {path.name for path in (job.folder / "checkpoints").iterdir()}
    results = read_results(job.folder)
    own = pareto_front([r for r in results if r.stage == "qat"], ["accuracy", "energy"])
    own = (*own, *(r for r in results if r.is_baseline))
    assert kept == {"float.safetensors", "best.safetensors", *(Path(r.checkpoint).name for r in own)}


def test_layers_csv_adds_up(job: JobResult) -> None:
    frame = pd.read_csv(job.folder / "layers.csv")
    graph = LayerGraph.from_json((job.folder / "graph.json").read_text())
    config = read_config(job.folder / "best.yaml").config
    cost = evaluate(graph, load_accelerator("loop_nest"), config)
    assert frame["energy_pj"].sum() == pytest.approx(cost.energy_pj) == pytest.approx(job.picked.costs["energy_pj"])
    assert frame["energy_share"].sum() == pytest.approx(1)
    weights = 1 * 4 * 9 + 4 * 8 * 9 + 8 * 8 * 9 + 8 * 4
    assert frame["weights"].sum() == weights
    average = (frame["w_bits"] * frame["weights"]).sum() / weights
    assert average == pytest.approx(job.picked.costs["avg_w_bits"])


def test_no_huffman_code_is_longer_than_the_codes_it_replaces(job: JobResult) -> None:
    frame = pd.read_csv(job.folder / "layers.csv")
    quantized = frame["w_bits"] < 32
    assert quantized.any()
    lengths = frame["huffman_bits"]
    assert (lengths[quantized] <= frame["w_bits"][quantized]).all() and (lengths[quantized] > 0).all()
    assert lengths[~quantized].isna().all()


def test_best_yaml_says_how_it_was_made(job: JobResult) -> None:
    file = read_config(job.folder / "best.yaml")
    assert file.config.key == job.picked.key
    ends = Accuracy(correct=job.picked.correct, total=60).interval
    assert file.metrics["validation"] == {"correct": job.picked.correct, "total": 60, **asdict(ends)}
    assert file.metrics["ties"] == [r.number for r in job.front if r != job.picked and ends.overlaps(r.interval)]
    assert file.metrics["picked_by"] == "knee"
    assert file.metrics["test"]["seeds"] == TEST_SEEDS
    assert file.provenance.command == "hwmodel search tiny.yaml"
    assert file.provenance.data is not None
    assert file.provenance.data.options["train"] == 96
    assert file.provenance.versions["optuna"]


def test_run_again_changes_nothing(job: JobResult) -> None:
    watched = (
        "ledger.jsonl",
        "test.jsonl",
        "sensitivity.json",
        "float.json",
        "pareto.csv",
        "layers.csv",
        FLOAT_WEIGHTS,
    )
    before = {name: (job.folder / name).read_bytes() for name in watched}
    again = resume_job(job.folder, device="cpu")
    assert {name: (job.folder / name).read_bytes() for name in watched} == before
    assert (again.picked, again.front) == (job.picked, job.front)


def test_interrupted_in_every_stage(job: JobResult, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at some call of each stage; the last call ends with the very same ledger and test scores."""
    folder = place / "interrupted"
    for method, call in (("ptq", 3), ("qat", 1), ("test", 1), ("qat", 0)):
        original, left = getattr(Scorer, method), [call]

        def stop(self: Any, *args: Any, original: Any = original, left: list[int] = left) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return original(self, *args)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Scorer, method, stop)
            run_job(make_spec(place), folder, device="cpu")
    run_job(make_spec(place), folder, device="cpu")

    def scores(run: Path) -> list[tuple[object, ...]]:
        return [(r.number, r.stage, r.key, r.correct, r.seed) for r in read_results(run)]

    assert scores(folder) == scores(job.folder)
    assert read_tests(folder) == read_tests(job.folder)


def test_pick_changes_the_best_and_a_resumed_run_keeps_it(job: JobResult, place: Path) -> None:
    folder = place / "picked"
    shutil.copytree(job.folder, folder)
    for rule in ("cheapest", "accurate"):
        picked = pick_job(folder, rule, device="cpu")
        assert read_config(folder / "best.yaml").config.key == picked.key
        assert (folder / "checkpoints/best.safetensors").read_bytes() == (folder / picked.checkpoint).read_bytes()
    assert resume_job(folder, device="cpu").picked == picked == max(job.front, key=lambda r: r.accuracy)
    with pytest.raises(ConfigError, match="Did you mean 'cheapest'"):
        pick_job(folder, "cheapst")


def test_finetune_in_a_new_process_starts_from_what_was_measured(job: JobResult, tmp_path: Path) -> None:
    code = (
        "import sys; from search import finetune_job\n"
        "r = finetune_job(sys.argv[1], epochs=0, output=sys.argv[2], device='cpu')\n"
        "print(r.before.correct, r.before.total, r.reproduced)"
    )
    command = [sys.executable, "-c", code, str(job.folder / "best.yaml"), str(tmp_path / "out.safetensors")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert answer == [str(job.picked.correct), str(job.picked.total), "True"]


def test_finetune_trains_and_writes(job: JobResult, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []

    class Watch(Observer):
        def step(self, stage: str, done: int, total: int) -> None:
            steps.append((done, total))

    result = finetune_job(
        job.folder / "best.yaml", epochs=2, output=tmp_path / "f.safetensors", progress=Watch(), device="cpu"
    )
    assert result.reproduced is True
    assert steps == [(1, 2), (2, 2)]
    again = finetune_job(job.folder / "best.yaml", result.output, epochs=0, output=tmp_path / "g.safetensors")
    assert again.before == result.after
    assert again.reproduced is None  # other weights than those of the record


@pytest.mark.parametrize("name", ["", "best.yaml"])
def test_the_picked_model_in_one_call(job: JobResult, name: str) -> None:
    model = load_best(job.folder / name)
    assert not model.training
    assert dict(quantized_layers(model)).keys() == read_config(job.folder / "best.yaml").config.layers.keys()
    data = load_data("synthetic", shape=[1, 8, 8], num_classes=4, train=96, validation=60, test=50)
    found = measure_accuracy(model, data.validation)
    assert (found.correct, found.total) == (job.picked.correct, job.picked.total)


def test_finetune_refuses_what_it_cannot_rebuild(job: JobResult, tmp_path: Path) -> None:
    text = (job.folder / "best.yaml").read_text()
    (tmp_path / "best.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"weights checkpoints/best\.safetensors are not beside it"):
        finetune_job(tmp_path / "best.yaml")
    (tmp_path / "bare.yaml").write_text(text[: text.index("provenance:")])
    with pytest.raises(ConfigError, match=r"provenance\.model is missing"):
        finetune_job(tmp_path / "bare.yaml")
    with pytest.raises(ConfigError, match=r"must end in \.safetensors"):
        finetune_job(job.folder / "best.yaml", output=tmp_path / "x.pt")


def test_other_training_is_another_study_and_overwrites_nothing(job: JobResult, place: Path) -> None:
    before = (job.folder / "config.yaml").read_bytes(), (job.folder / FLOAT_WEIGHTS).read_bytes()
    with pytest.raises(ConfigError, match=r"used training\.qat\.epochs 1, now 5"):
        run_job(make_spec(place, epochs=5), job.folder)
    assert before == ((job.folder / "config.yaml").read_bytes(), (job.folder / FLOAT_WEIGHTS).read_bytes())


def test_one_job_at_a_time(job: JobResult) -> None:
    with RunLock(job.folder, ".job.lock"), pytest.raises(RunLockedError):
        resume_job(job.folder)


def test_without_qat_and_with_a_checkpoint_of_the_user(job: JobResult, place: Path) -> None:
    spec = make_spec(place, qat=0).model_copy(
        update={
            "checkpoint": str(job.folder / FLOAT_WEIGHTS),
            "accelerator": None,
            "objectives": ["accuracy", "avg_w_bits"],
        }
    )
    result = run_job(spec, place / "ptq", device="cpu")
    assert result.float_accuracy == job.float_accuracy
    assert {r.stage for r in result.front} == {"ptq"}
    assert [r.run for r in read_tests(result.folder)] == [0] * (1 + len(result.front))
    assert "energy_pj" not in pd.read_csv(result.folder / "layers.csv").columns
    tuned = finetune_job(result.folder / "best.yaml", epochs=0, output=place / "p.safetensors", device="cpu")
    assert tuned.reproduced is True


def test_a_model_that_does_not_take_the_images(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"lenet5 expects images 1×32×32, but digits gives 1×8×8\. Set data_options: \{size: 32\}"
    ):
        run_job(parse_spec("model: lenet5\ndata: digits\n"), tmp_path / "run")


def test_no_run_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no config\.yaml"):
        resume_job(tmp_path)


def test_float_record(job: JobResult) -> None:
    record = json.loads((job.folder / "float.json").read_text())
    assert record["correct"] / record["total"] == job.float_accuracy
