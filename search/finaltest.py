"""The end of a run: the candidates of the final front, and uniform ones, on the test split, with several seeds.

The search never sees the test split. Each candidate's own finetuning counts as the first run; the others repeat
it with other seeds, as jobs of the executor that scored the candidates. Every model is measured once, here, and
recorded in `test.jsonl`, so an interrupted end goes on where it was.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hwmodel.chip.records import read_record
from hwmodel.errors import ConfigError
from search.executors.base import Executor, Job
from search.front.results import Result
from search.jsonl import append_line, cut_torn_line, read_lines
from search.materials import Materials, counted
from search.observer import Observer
from search.scoring import Outcome
from search.seeds import derive_seed
from workloads.compress.config import CompressionConfig
from workloads.training.accuracy import Accuracy, Interval, wilson_interval

TESTS = "test.jsonl"
FLOAT_KEY = "float"


@dataclass(frozen=True, kw_only=True)
class FinalRecord:
    """One model on the test split.

    Attributes:
        key: of the configuration; "float" for the float model.
        stage: `ptq`, `qat` or "float".
        run: 0 for the model of the search, then 1, 2, ...
        seed: of its finetuning.
        validation_correct, validation_total: again measured for run 0, from the saved weights.
        correct, total: on the test split.
        error: "" or why there is no model.
    """

    key: str
    stage: str
    run: int
    seed: int = 0
    validation_correct: int = 0
    validation_total: int = 0
    correct: int = 0
    total: int = 0
    error: str = ""

    def __post_init__(self) -> None:
        for correct, total in ((self.validation_correct, self.validation_total), (self.correct, self.total)):
            if not 0 <= correct <= total:
                raise ConfigError(f"`0 <= correct <= total` must hold, but got {correct} of {total}.")
        if self.run < 0 or self.seed < 0:
            raise ConfigError(f"run and seed must be >= 0, but got run={self.run}, seed={self.seed}.")


@dataclass(frozen=True, kw_only=True)
class FinalSummary:
    """Test accuracy of one configuration.

    Attributes:
        mean: over seeds.
        sd: sample standard deviation over seeds, which all saw the same images; nan below two.
        num_seeds: finetunings.
        total: images of the split.
    """

    mean: float
    sd: float
    num_seeds: int
    total: int

    @property
    def interval(self) -> Interval:
        """What the images leave open about the mean, at 95 %: more seeds on the same images do not narrow it."""
        return wilson_interval(self.mean * self.total, self.total)


def read_tests(folder: Path) -> tuple[FinalRecord, ...]:
    """The records of a run; none before its end.

    Raises:
        ConfigError: a line is no record, was changed, or repeats another.
    """
    path = folder / TESTS
    fix = f"Delete {path}: hwmodel resume {folder} measures it again."
    records: dict[tuple[str, str, int], FinalRecord] = {}
    for number, item in enumerate(read_lines(path, fix), start=1):
        try:
            record = read_record(FinalRecord, item)
        except ConfigError as error:
            raise ConfigError(f"{path}:{number} is not a test record: {error}. {fix}") from error
        identity = (record.key, record.stage, record.run)
        if identity in records:
            raise ConfigError(f"{path}:{number} repeats run {record.run} of {record.key!r}. {fix}")
        records[identity] = record
    return tuple(records.values())


def summarize(records: Sequence[FinalRecord], key: str, stage: str) -> FinalSummary | None:
    """Mean and standard deviation of one configuration, or None where nothing was measured."""
    measured = [r for r in records if r.key == key and r.stage == stage and r.total]
    if not measured:
        return None
    values = [record.correct / record.total for record in measured]
    deviation = statistics.stdev(values) if len(values) > 1 else math.nan
    return FinalSummary(mean=statistics.fmean(values), sd=deviation, num_seeds=len(values), total=measured[0].total)


def measure_front(
    materials: Materials, front: Sequence[Result], test_seeds: int, observer: Observer, executor: Executor
) -> None:
    """Measure what `test.jsonl` does not hold yet.

    Args:
        materials: of the run.
        front: PTQ results are measured once (nothing in them is random), QAT results `test_seeds` times.
        test_seeds: finetunings per candidate.
        observer: is told what happens.
        executor: finetunes; what it costs a candidate when a worker dies is as in the search.
    """
    path = materials.folder / TESTS
    cut_torn_line(path)
    done = {(record.key, record.stage, record.run) for record in read_tests(materials.folder)}
    runs = [(result, run) for result in front for run in range(test_seeds if result.stage == "qat" else 1)]
    left = [(result, run) for result, run in runs if (result.key, result.stage, run) not in done]
    total = len(runs) + 1
    observer.stage_started("test", total - len(left) - ((FLOAT_KEY, FLOAT_KEY, 0) not in done), total)
    if (FLOAT_KEY, FLOAT_KEY, 0) not in done:
        append_line(path, asdict(_float_model(materials)))
    seed = materials.spec.search.seed
    repeated = executor.run([_repeat(result, run, seed) for result, run in left if run], observer)
    for number, (result, run) in enumerate(left, start=total - len(left) + 1):
        if run:
            record = _repeated_run(materials, result, run, *next(repeated))
        else:
            record = _own_model(materials, result, observer)
        append_line(path, asdict(record))
        observer.step("test", number, total)


def _float_model(materials: Materials) -> FinalRecord:
    test = counted(materials.scorer.test(materials.float_model))
    return _record(FLOAT_KEY, FLOAT_KEY, 0, 0, counted(materials.scorer.float_accuracy()), test)


def _own_model(materials: Materials, result: Result, observer: Observer) -> FinalRecord:
    """The model of the search, rebuilt from its weights; it must score as recorded."""
    config = CompressionConfig.from_dict(result.config)
    model = materials.rebuild(result) if result.stage == "qat" else materials.scorer.compressed(config)
    validation, test = counted(materials.scorer.validation(model)), counted(materials.scorer.test(model))
    if (validation.correct, validation.total) != (result.correct, result.total):
        observer.message(
            f"Candidate {result.number} scored {result.correct}/{result.total} in the search, but its saved "
            f"weights score {validation.correct}/{validation.total} here. Was the run made on another machine?"
        )
    return _record(result.key, result.stage, 0, result.seed, validation, test)


def _repeat(result: Result, run: int, seed: int) -> Job:
    """The same configuration finetuned with another seed; `seed` is that of the search."""
    return Job(
        number=result.number,
        stage="qat",
        config=CompressionConfig.from_dict(result.config),
        seed=derive_seed(seed, "test", result.key, run),
    )


def _repeated_run(materials: Materials, result: Result, run: int, job: Job, outcome: Outcome) -> FinalRecord:
    """What came of one, its model measured here."""
    if outcome.accuracy is None:
        return FinalRecord(key=result.key, stage=result.stage, run=run, seed=job.seed, error=outcome.error)
    test = counted(materials.scorer.test(materials.as_model(job.config, outcome.model)))
    return _record(result.key, result.stage, run, job.seed, counted(outcome.accuracy), test)


def _record(key: str, stage: str, run: int, seed: int, validation: Accuracy, test: Accuracy) -> FinalRecord:
    """A record of two accuracies, as counts."""
    return FinalRecord(
        key=key,
        stage=stage,
        run=run,
        seed=seed,
        validation_correct=validation.correct,
        validation_total=validation.total,
        correct=test.correct,
        total=test.total,
    )
