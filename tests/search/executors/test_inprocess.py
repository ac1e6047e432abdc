"""Batches of finetunings in this process, and the places of workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hwmodel.errors import ConfigError
from search.executors import InProcess, Job, devices_of, places
from search.guard.deadline import can_limit
from search.scoring import Evaluator
from tests.search.executors.toys import Heard, config_of, correct_of
from tests.search.helpers import Count
from workloads.compress.config import CompressionConfig

Answer = Callable[[CompressionConfig, int], Any]


class Batching:
    """Finetunes three at once; `act` may answer for a candidate of a batch, `whole` for all of it."""

    batch_size = 3

    def __init__(self, act: Answer | None = None, whole: Callable[[], Any] | None = None) -> None:
        self.act, self.whole = act, whole
        self.batches: list[list[int]] = []
        self.alone: list[int] = []

    def ptq(self, config: CompressionConfig) -> Count:
        return Count(correct_of(config))

    def qat(self, config: CompressionConfig, seed: int) -> tuple[Count, str]:
        self.alone.append(seed)
        return Count(correct_of(config) + seed), f"model {seed}"

    def qat_many(self, configs: Sequence[CompressionConfig], seeds: Sequence[int]) -> list[Any]:
        self.batches.append(list(seeds))
        if self.whole is not None:
            return self.whole()  # type: ignore[no-any-return]
        usual = [(Count(correct_of(c) + s), f"model {s}") for c, s in zip(configs, seeds, strict=True)]
        if self.act is None:
            return usual
        return [self.act(c, s) or u for c, s, u in zip(configs, seeds, usual, strict=True)]


def job(number: int, stage: Any = "qat") -> Job:
    return Job(number=number, stage=stage, config=config_of("good", number), seed=number)


def run(target: Batching, jobs: list[Job], timeout_s: float | None = None) -> tuple[list[Any], list[str]]:
    heard = Heard()
    pool = InProcess(Evaluator(target, timeout_s))
    return [
        (j.number, o.accuracy and o.accuracy.correct, o.model, o.error) for j, o in pool.run(jobs, heard)
    ], heard.said


def usual(*numbers: int) -> list[Any]:
    return [(n, correct_of(config_of("good", n)) + n, f"model {n}", "") for n in numbers]


def test_finetunings_in_a_row_are_batches() -> None:
    target = Batching()
    assert InProcess(Evaluator(target)).width == 3
    assert InProcess(Evaluator(lambda config: 0.5)).width == 1
    jobs = [job(0, "ptq"), *(job(n) for n in range(1, 6)), job(6, "ptq"), job(7)]
    found, said = run(target, jobs)
    ptq = [(n, correct_of(config_of("good", n)), None, "") for n in (0, 6)]
    assert found == [ptq[0], *usual(1, 2, 3, 4, 5), ptq[1], *usual(7)]
    assert (target.batches, target.alone, said) == ([[1, 2, 3], [4, 5]], [7], [])


@pytest.mark.parametrize(
    ("error", "tries"), [(RuntimeError("CUDA out of memory"), 2), (ConfigError("the loss must be finite"), 1)]
)
def test_one_of_a_batch_fails_alone(error: Exception, tries: int) -> None:
    target = Batching(act=lambda config, seed: error if seed == 1 else None)
    found, said = run(target, [job(0), job(1), job(2)])
    text = f"{type(error).__name__}: {error}"
    if tries == 2:  # passed alone
        assert (found, said, target.alone) == (usual(0, 1, 2), [f"{text} (retrying)"], [1])
    else:
        assert found == [*usual(0), (1, None, None, text), *usual(2)]
        assert (said, target.alone) == ([f"{text} (recorded as failed)"], [])


def test_a_score_of_a_batch_is_checked() -> None:
    target = Batching(act=lambda config, seed: (float("nan"), None) if seed == 1 else None)
    found, _ = run(target, [job(0), job(1)])
    assert found[1][3] == "ScoreError: accuracy: must lie in [0, 1], but got nan."
    assert found[0] == usual(0)[0]


def test_a_batch_that_fails_as_a_whole_is_tried_one_by_one() -> None:
    def fail() -> Any:
        raise RuntimeError("CUDA out of memory")

    target = Batching(whole=fail)
    found, said = run(target, [job(0), job(1)])
    assert (found, target.alone) == (usual(0, 1), [0, 1])
    assert said == ["2 finetunings as one: RuntimeError: CUDA out of memory (each is tried alone)"]


@pytest.mark.skipif(not can_limit(), reason="no alarms on this system")
def test_a_batch_that_hangs_is_tried_one_by_one() -> None:
    def hang() -> Any:
        import time

        time.sleep(600)

    found, said = run(Batching(whole=hang), [job(0), job(1)], timeout_s=0.2)
    assert found == usual(0, 1)
    assert said == ["2 finetunings as one: out of time (each is tried alone)"]


def test_bugs_and_wrong_counts_end_the_search() -> None:
    with pytest.raises(KeyError):
        run(Batching(act=lambda config, seed: KeyError("bug")), [job(0), job(1)])
    found, said = run(Batching(whole=lambda: [(0.5, None)]), [job(0), job(1)])
    assert found == usual(0, 1)
    assert "qat_many: must answer for 2 configurations, but gave 1." in said[0]


def test_places_share_cores_and_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(10, 17)), raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: None, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    three = places(3, ["0", "GPU-1"])
    assert [place.cores for place in three] == [(10, 11), (12, 13), (14, 15, 16)]
    assert [place.threads for place in three] == [2, 2, 3]
    assert [place.device for place in three] == ["0", "GPU-1", "0"]
    nine = places(9)
    assert [place.cores for place in nine] == [(10 + worker % 7,) for worker in range(9)]
    assert {place.threads for place in nine} == {1} and {place.device for place in nine} == {""}
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert {place.threads for place in places(2)} == {4}
    assert {place.threads for place in places(2, threads=1)} == {1}
    for threads in (0, True, 1.5):
        with pytest.raises(ConfigError, match="threads: must be an integer >= 1"):
            places(1, threads=threads)  # type: ignore[arg-type]


def test_devices_are_those_that_cuda_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    assert devices_of("cpu") == ()
    with pytest.raises(ConfigError, match="device must be"):
        devices_of("abacus")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert (devices_of(None), devices_of("cuda"), devices_of("cuda:1")) == (("0", "1"), ("0", "1"), ("1",))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    assert (devices_of(None), devices_of("cuda:1")) == (("GPU-a", "GPU-b"), ("GPU-b",))
