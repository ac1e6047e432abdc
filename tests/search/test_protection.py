"""What protects a run: its weights, the code and data that it was made of, where its paths lead, a full disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwmodel.errors import ConfigError
from search import mirror
from search.guard.identity import STREAM, code_hash, data_hash
from search.guard.manifest import read_manifest
from search.guard.seal import HASH, inside, seal
from search.job import JobResult, resume_job, run_job
from search.ledger import RunStoppedError, read_results
from search.materials import FLOAT_WEIGHTS
from search.observer import Observer
from search.spec import parse_spec
from tests.search.test_job import make_spec
from workloads import load_data
from workloads.data import Dataset
from workloads.storage.weights import read_hash, read_tensors


class Heard(Observer):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("protection")


@pytest.fixture(scope="module")
def job(place: Path) -> JobResult:
    return run_job(make_spec(place, trials=5, qat=2), place / "run", device="cpu")


@pytest.fixture
def run(job: JobResult, tmp_path: Path) -> Path:
    return Path(shutil.copytree(job.folder, tmp_path / "run"))


def flip(path: Path, at: int = -9) -> None:
    """One bit of a weight: the file is read as if nothing had happened."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(bytes(data))


# ---- weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["flipped", "gone", "another"])
def test_weights_of_the_front_are_made_again(run: Path, damage: str) -> None:
    result = next(r for r in read_results(run) if (run / r.checkpoint).is_file() and r.checkpoint)
    path = run / result.checkpoint
    before = path.read_bytes()
    assert result.checkpoint_hash == read_hash(path) != ""
    if damage == "flipped":
        flip(path)
    elif damage == "gone":
        path.unlink()
    else:
        shutil.copy(run / FLOAT_WEIGHTS, path)
    heard = Heard()
    resume_job(run, progress=heard, device="cpu")
    assert path.read_bytes() == before
    assert any(f"candidate {result.number} is finetuned again" in text for text in heard.said)


def test_another_float_model_is_refused(run: Path) -> None:
    path = run / FLOAT_WEIGHTS
    before = path.read_bytes()
    flip(path)
    with pytest.raises(ConfigError, match=r"float\.safetensors: its content must have the hash"):
        resume_job(run, device="cpu")
    path.write_bytes(before)
    record = json.loads((run / "float.json").read_text())
    other = {key: value for key, value in record.items() if key != HASH} | {"checkpoint_hash": "0" * 64}
    (run / "float.json").write_text(json.dumps(seal(other)))
    with pytest.raises(ConfigError, match="holds another float model than the one of this run"):
        resume_job(run, device="cpu")


# ---- code and data -------------------------------------------------------------------------------


def test_an_edited_network_is_another_study(run: Path, place: Path) -> None:
    """Same shapes, another activation: the graph looks the same."""
    net = place / "net.py"
    before = net.read_text()
    try:
        net.write_text(before.replace("nn.ReLU()", "nn.Tanh()"))
        with pytest.raises(ConfigError, match=r"content\.model_code '[0-9a-f]{16}', now .*Restore it, or choose"):
            resume_job(run, device="cpu")
    finally:
        net.write_text(before)


def test_other_pixels_under_the_same_name_are_another_study(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    y = np.arange(400) % 4
    x = (dice.normal(size=(400, 1, 8, 8)) + 3 * y[:, None, None, None]).astype("float32")  # learned in no time
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:40], y_test=y[:40])
    make_spec(tmp_path)  # writes net.py
    text = (
        "name: n\nmodel: net.py:build\ndata: d.npz\nsearch: {trials: 1, qat: 0}\ntraining: {float: {epochs: 20}}\n"
    )
    run_job(parse_spec(text.replace("\\\n", "\n"), folder=tmp_path), tmp_path / "run", device="cpu")
    x[0, 0, 0, 0] += 1
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:40], y_test=y[:40])
    with pytest.raises(ConfigError, match=r"content\.data\."):
        run_job(parse_spec(text.replace("\\\n", "\n"), folder=tmp_path), tmp_path / "run", device="cpu")


def test_a_run_of_an_earlier_version_goes_on_and_says_so(run: Path) -> None:
    manifest = json.loads((run / "study.json").read_text())
    del manifest[HASH], manifest["context"]["content"]
    (run / "study.json").write_text(json.dumps(manifest))
    heard = Heard()
    resume_job(run, progress=heard, device="cpu")
    assert any("earlier version: changed code and data cannot be noticed" in text for text in heard.said)


def test_hashes_of_code_and_data(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1")
    first = code_hash(f"{file}:f")
    file.write_text("x = 2")
    assert len(first) == 16 and code_hash(f"{file}:f") != first
    assert code_hash("resnet8") == code_hash("timm:resnet18") == ""
    data = load_data("synthetic", shape=[1, 4, 4], train=20, validation=10, test=10)
    hashes = data_hash(data)
    assert len(set(hashes.values())) == 3
    stream: Any = [(data.test.x, data.test.y)]
    streamed = Dataset(name="s", train=data.train, validation=data.validation, test=stream, num_classes=10)
    assert data_hash(streamed) == {**hashes, "test": STREAM}


# ---- records -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["study.json", "sensitivity.json"])
def test_a_number_changed_by_hand_is_refused(run: Path, name: str) -> None:
    text = (run / name).read_text()
    old, new = ('"seed": 0', '"seed": 1') if name == "study.json" else ('"correct": ', '"correct": 1')
    (run / name).write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=rf"{name}: .*hash"):
        resume_job(run, device="cpu")


@pytest.mark.parametrize("change", [{"seed": "0"}, {"context": []}, {"space": None}])
def test_a_manifest_of_other_types(tmp_path: Path, run: Path, change: dict[str, Any]) -> None:
    data = json.loads((run / "study.json").read_text())
    (tmp_path / "study.json").write_text(json.dumps(seal({k: v for k, v in data.items() if k != HASH} | change)))
    with pytest.raises(ConfigError, match=f"{next(iter(change))} must be "):
        read_manifest(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_no_path_leads_out_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "alias").symlink_to(tmp_path / "run")
    assert inside(tmp_path / "alias", "checkpoints/a") == tmp_path / "alias" / "checkpoints" / "a"
    for name in ("../elsewhere/a", "link/a", str(tmp_path / "run" / "a"), "checkpoints/../../a"):
        with pytest.raises(ConfigError, match="must lie in the folder of the run"):
            inside(tmp_path / "run", name)


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_linked_folder_of_checkpoints_loses_nothing(run: Path, tmp_path: Path) -> None:
    (run / "checkpoints").rename(tmp_path / "outside")
    (run / "checkpoints").symlink_to(tmp_path / "outside")
    before = sorted(path.name for path in (tmp_path / "outside").iterdir())
    with pytest.raises(ConfigError, match="must lie in the folder of the run"):
        resume_job(run, device="cpu")
    assert sorted(path.name for path in (tmp_path / "outside").iterdir()) == before


# ---- the system ----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["rename", "sync", "database"])
def test_a_full_disk_ends_with_the_command_that_goes_on(
    place: Path, job: JobResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    left = [12 if where != "database" else 2]

    def full_after(original: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*args, **options)

        return call

    with monkeypatch.context() as patch:
        target, name = {
            "rename": (os, "replace"), "sync": (os, "fsync"), "database": (mirror.OptunaMirror, "add"),
        }[where]  # fmt: skip
        patch.setattr(target, name, full_after(getattr(target, name)))
        with pytest.raises(RunStoppedError, match=rf"No space left on device.*hwmodel resume .*{tmp_path.name}"):
            run_job(make_spec(place, trials=5, qat=2), tmp_path / "run", device="cpu")
    run_job(make_spec(place, trials=5, qat=2), tmp_path / "run", device="cpu")
    results, wanted = read_results(tmp_path / "run"), read_results(job.folder)
    assert [(r.key, r.correct, r.checkpoint_hash) for r in results] == [
        (r.key, r.correct, r.checkpoint_hash) for r in wanted
    ]
    assert (tmp_path / "run/test.jsonl").read_bytes() == (job.folder / "test.jsonl").read_bytes()
    weights = [
        read_tensors(folder / "checkpoints/best.safetensors")[1] for folder in (tmp_path / "run", job.folder)
    ]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[1])


def test_a_folder_that_cannot_be_made(place: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunStoppedError, match="hwmodel resume"):
        run_job(make_spec(place), tmp_path / "file" / "run", device="cpu")


@pytest.mark.parametrize("text", ["10", "10 pJ", "0 s", "-1 s"])
def test_a_timeout_is_a_time(text: str) -> None:
    with pytest.raises(ConfigError, match=r"search\.timeout"):
        parse_spec(f"model: resnet8\nsearch: {{timeout: {text}}}\n")
    spec = parse_spec("model: resnet8\nsearch: {timeout: 10 min}\n")
    assert spec.search.timeout_s == 600
    assert parse_spec(spec.to_yaml()).search.timeout_s == 600
    assert parse_spec("model: resnet8\n").search.timeout_s is None
