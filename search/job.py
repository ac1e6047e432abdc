"""The main job: from a specification to a run folder with the front, its tables and `best.yaml`.

The folder: `config.yaml` (the specification as it ran), `graph.json`, `study.json`, `study.db`, `ledger.jsonl`,
`sensitivity.json`, `float.json`, `test.jsonl`, `pareto.csv`, `candidates.csv`, `layers.csv`, `best.yaml`
and `checkpoints/` (`float`, `best` and the QAT front as `.safetensors`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from hwmodel.nest.task import Task
from hwmodel.network.choice import FLOAT_BITS
from hwmodel.network.layer import Layer
from hwmodel.price.strict import check_bits, spoken_bits_note
from search.finaltest import FinalSummary, measure_front, read_tests, summarize
from search.front.picking import Rule
from search.front.results import Result
from search.ledger import RunLock
from search.materials import FLOAT_WEIGHTS, Bench, read_float_score
from search.observer import Observer, as_observer
from search.outputs import BEST_WEIGHTS, RunOutputs
from search.spec import SearchSpec, read_spec
from search.study import Study
from workloads.compress.config import CompressionConfig
from workloads.compress.config_file import ChipRecord, MadeWith, Provenance, versions

CONFIG, GRAPH = "config.yaml", "graph.json"
JOB_LOCK = ".job.lock"


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """A finished job.

    Attributes:
        folder: of the run.
        name: of the study.
        picked: the candidate in `best.yaml`.
        front: of the last stage, cheapest first.
        num_done, num_failed: results in the ledger.
        float_accuracy: of the float model on the validation split.
        test: of the picked candidate on the test split.
        float_test_accuracy: of the float model on the test split.
        messages: what a user should know about the graph and the space.
        wall_s: duration of this call [s].
    """

    folder: Path
    name: str
    picked: Result
    front: tuple[Result, ...]
    num_done: int
    num_failed: int
    float_accuracy: float
    test: FinalSummary | None
    float_test_accuracy: float
    messages: tuple[str, ...]
    wall_s: float


def run_job(
    spec: SearchSpec | str | Path,
    folder: str | Path | None = None,
    *,
    observer: Observer | Callable[[Result], object] | None = None,
    device: str | None = None,
    extend: bool = False,
    command: str = "",
) -> JobResult:
    """Trace, price, train the float model, search, finetune, measure the front, write the files.

    Run it again after an interruption: everything that was finished is kept, and the end is the same.

    Args:
        spec: a specification, or its file.
        folder: of the run; None is `runs/NAME` beside the caller.
        observer: is told what happens; the job itself never prints.
        device: None is CUDA where there is one, else the CPU.
        extend: the space may contain the one that the folder was made with.
        command: that started the job, for the record.

    Raises:
        HwModelError: the specification is invalid, the model does not run, the folder holds another study,
            another process works in it, or `strict_bits` refuses a width of the space.
    """
    start = time.perf_counter()
    spec = spec if isinstance(spec, SearchSpec) else read_spec(spec)
    place = Path("runs") / spec.name if folder is None else Path(folder)
    watch = as_observer(observer)
    bench = Bench(spec=spec, folder=place, observer=watch, device=device)
    if spec.strict_bits and bench.accelerator is not None:
        check_bits(_annotated(bench), bench.accelerator)
    study = _study(bench, extend=extend)  # refuses another study before anything is written
    with RunLock(place, JOB_LOCK):
        origin = _provenance(bench, command)
        write_atomic(place / CONFIG, spec.to_yaml(origin.to_dict()))
        write_atomic(place / GRAPH, bench.graph.to_json() + "\n")
        for note in _notes(bench):
            watch.message(note)
        _ = bench.scorer  # the float model: its failure is no candidate's
        study.run(trials=spec.search.trials, qat=spec.search.qat, progress=watch)
        measure_front(bench, _final_front(study), spec.search.test_seeds, watch)
        outputs = _outputs(bench, study, spec.pick_rule, origin)
        _write_best_weights(bench, outputs.picked)
        outputs.write()
    return _job_result(outputs, bench, time.perf_counter() - start)


def resume_job(
    folder: str | Path,
    *,
    observer: Observer | Callable[[Result], object] | None = None,
    device: str | None = None,
) -> JobResult:
    """Go on with the run in a folder, as it was specified.

    Raises:
        ConfigError: the folder holds no run.
        HwModelError: as `run_job`.
    """
    return run_job(_spec_of(folder), folder, observer=observer, device=device)


def pick_job(folder: str | Path, rule: Rule, *, device: str | None = None) -> Result:
    """Choose another candidate of a finished run: writes `best.yaml`, its weights and the tables again.

    Raises:
        ConfigError: the run has no front yet, or the rule picks none.
    """
    place, spec = Path(folder), _spec_of(folder)
    spec = spec.model_copy(update={"search": spec.search.model_copy(update={"pick": rule})})
    bench = Bench(spec=spec, folder=place, observer=Observer(), device=device)
    study = _study(bench, extend=False)
    with RunLock(place, JOB_LOCK):
        origin = _provenance(bench, "")
        outputs = _outputs(bench, study, rule, origin)
        write_atomic(place / CONFIG, spec.to_yaml(origin.to_dict()))  # a resumed run keeps the pick
        _write_best_weights(bench, outputs.picked)
        outputs.write()
    return outputs.picked


def _spec_of(folder: str | Path) -> SearchSpec:
    path = Path(folder) / CONFIG
    if not path.exists():
        raise ConfigError(f"{folder}: holds no {CONFIG}. Is it the folder of a run?")
    return read_spec(path)


def _notes(bench: Bench) -> tuple[str, ...]:
    uncounted = [
        f"{item.op} ({item.calls} calls, in {item.module or 'the top module'}) has no rule: "
        "costs are a LOWER BOUND."
        for item in bench.graph.uncounted
    ]
    return (*uncounted, *_bits_notes(bench), *bench.space.notes)


def _annotated(bench: Bench) -> Iterator[Layer]:
    """Every layer at every choice of the space."""
    choices = bench.space.choices()
    for layer in bench.graph.layers:
        for choice in choices.get(layer.module, ()):
            yield choice.annotate(layer)


def _bits_notes(bench: Bench) -> tuple[str, ...]:
    """Which widths of the space are priced as others, each sentence once."""
    chip = bench.accelerator
    if chip is None:
        return ()
    return tuple(
        dict.fromkeys(note for layer in _annotated(bench) if (note := spoken_bits_note(Task.of(layer, chip))))
    )


def _study(bench: Bench, *, extend: bool) -> Study:
    spec = bench.spec
    return Study.create_or_resume(
        bench.folder,
        graph=bench.graph,
        space=bench.space,
        accelerator=bench.accelerator,
        evaluate=bench,
        objectives=spec.objectives,
        seed=spec.search.seed,
        extend=extend,
        name=spec.name,
        context=bench.context,
    )


def _final_front(study: Study) -> tuple[Result, ...]:
    front = study.front()
    if not front:
        failed = [result for result in study.results() if not result.is_done]
        reason = f" The last of {len(failed)} failures: {failed[-1].error}" if failed else ""
        raise ConfigError(f"{study.folder}: no candidate could be scored.{reason}")
    return front


def _provenance(bench: Bench, command: str) -> Provenance:
    """What `best.yaml` needs to be rebuilt in another process, and how it came about."""
    chip, spec = bench.accelerator, bench.spec
    return Provenance(
        versions=versions(),
        seed=spec.search.seed,
        accelerator=ChipRecord(name=chip.name, fingerprint=chip.fingerprint) if chip else ChipRecord(),
        command=command or _first_command(bench.folder),
        model=MadeWith(name=spec.model, options=bench.model_options),
        data=MadeWith(name=spec.data, options=dict(spec.data_options)),
        training=spec.qat_settings.to_dict(),
        checkpoint=BEST_WEIGHTS,
        float_checkpoint=FLOAT_WEIGHTS,
    )


def _first_command(folder: Path) -> str:
    """The command that started the run in a folder; resuming does not change it."""
    path = folder / CONFIG
    recorded = read_spec(path).provenance.get("command") if path.exists() else None
    return str(recorded or f"hwmodel resume {folder}")


def _outputs(bench: Bench, study: Study, rule: Rule, origin: Provenance) -> RunOutputs:
    front = _final_front(study)
    float_score = read_float_score(bench.folder)
    if float_score is None:
        raise ConfigError(f"{bench.folder}: the float model is not measured yet. hwmodel resume {bench.folder}")
    picked = study.pick(rule)
    return RunOutputs(
        folder=bench.folder,
        graph=bench.graph,
        accelerator=bench.accelerator,
        objectives=study.objectives,
        results=study.results(),
        front=front,
        picked=picked,
        float_score=float_score,
        tests=read_tests(bench.folder),
        provenance=origin,
        huffman_bits=_huffman_bits(bench, picked),
    )


def _huffman_bits(bench: Bench, picked: Result) -> dict[str, float]:
    """Module -> average length of a Huffman code of its quantized weights [bit/weight]; without float layers."""
    from workloads.compress import huffman_table

    config = CompressionConfig.from_dict(picked.config)
    model = bench.rebuild(config, bench.folder / picked.checkpoint) if picked.checkpoint else None
    table = huffman_table(bench.scorer.compressed(config) if model is None else model)
    lengths = dict(zip(table["layer"], table["huffman_bits"], strict=True))
    is_quantized = {name: choice.w_bits != FLOAT_BITS for name, choice in config.layers.items()}
    return {name: float(length) for name, length in lengths.items() if is_quantized.get(name)}


def _write_best_weights(bench: Bench, picked: Result) -> None:
    """`checkpoints/best.safetensors`: a copy of the pick's checkpoint, or its calibrated model."""
    target = bench.folder / BEST_WEIGHTS
    if picked.checkpoint:
        write_atomic(target, (bench.folder / picked.checkpoint).read_bytes())
        return
    from workloads.compress import save_weights

    save_weights(target, bench.scorer.compressed(CompressionConfig.from_dict(picked.config)))


def _job_result(outputs: RunOutputs, bench: Bench, wall_s: float) -> JobResult:
    done = sum(result.is_done for result in outputs.results)
    float_test = summarize(outputs.tests, "float", "float")
    return JobResult(
        folder=outputs.folder,
        name=bench.spec.name,
        picked=outputs.picked,
        front=outputs.front,
        num_done=done,
        num_failed=len(outputs.results) - done,
        float_accuracy=outputs.float_score.accuracy,
        test=summarize(outputs.tests, outputs.picked.key, outputs.picked.stage),
        float_test_accuracy=float_test.mean if float_test else math.nan,
        messages=_notes(bench),
        wall_s=wall_s,
    )
