"""The main job: from a specification to a run folder with the front, its tables and `best.yaml`.

The folder: `config.yaml` (the specification as it ran), `graph.json`, `study.json`, `study.db`, `ledger.jsonl`,
`sensitivity.json`, `float.json`, `test.jsonl`, `pareto.csv`, `candidates.csv`, `layers.csv`, `best.yaml`
and `checkpoints/` (`float`, `best`, the QAT front and the uniform ones, as `.safetensors`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hwmodel.deprecated import old_keywords
from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from hwmodel.nest.task import Task
from hwmodel.network.choice import FLOAT_BITS
from hwmodel.network.layer import Layer
from hwmodel.price.strict import check_bits, spoken_bits_note
from search.choosing import pick_or_knee, settle, unfinished_pick
from search.codesign.outputs import Sweep
from search.codesign.picks import choices, choices_or_all, final_front
from search.executors.base import Executor
from search.executors.engine import Engine
from search.executors.inprocess import InProcess
from search.finaltest import FLOAT_KEY, FinalSummary, measure_front, read_tests, summarize
from search.front.picking import Rule, parse_rule, pick
from search.front.results import Result, with_baselines
from search.ledger import RunLock, stopping
from search.materials import FLOAT_WEIGHTS, Materials, read_float_accuracy
from search.mirror.server import MirrorTarget
from search.observer import Observer, as_observer
from search.outputs import BEST_WEIGHTS, RunOutputs
from search.propose.posterior import means_of
from search.rebuild import rebuild_ledger
from search.scoring import Evaluator
from search.spec import SearchSpec, read_spec
from search.study import Study
from workloads import compress
from workloads.compress.config import CompressionConfig
from workloads.compress.config_file import ChipRecord, MadeWith, Provenance, versions
from workloads.training.accuracy import Accuracy
from workloads.training.chance import gap_note

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
        messages: what a user should know about the graph, the space, the splits and the pick.
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


@old_keywords(observer="progress")
def run_job(
    spec: SearchSpec | str | Path,
    folder: str | Path | None = None,
    *,
    progress: Observer | Callable[[Result], object] | None = None,
    device: str | None = None,
    extend: bool = False,
    command: str = "",
    engine: Engine | None = None,
) -> JobResult:
    """Trace, price, train the float model, search, finetune, measure the front, write the files.

    Run it again after an interruption: everything that was finished is kept, and the end is the same.

    Args:
        spec: a specification, or its file.
        folder: of the run; None is `runs/NAME` beside the caller.
        progress: an `Observer`, or a function of each new `Result`; the job itself never prints.
        device: None is CUDA where there is one, else the CPU.
        extend: the space may contain the one that the folder was made with.
        command: that started the job, for the record.
        engine: the workers that score candidates; None scores them in this process.

    Raises:
        HwModelError: the specification is invalid, the model does not run, the folder holds another study,
            another process works in it, or `strict_bits` refuses a width of the space.
        RunStoppedError: the system refused a read or a write, as on a full disk.
    """
    start = time.perf_counter()
    spec = spec if isinstance(spec, SearchSpec) else read_spec(spec)
    run = Path("runs") / spec.name if folder is None else Path(folder)
    watch = as_observer(progress)
    materials = Materials(spec=spec, folder=run, observer=watch, device=device)
    with stopping(run):
        outputs, late = _run(materials, watch, extend=extend, command=command, engine=engine)
        return _job_result(outputs, materials, late, time.perf_counter() - start)


def _run(
    materials: Materials, watch: Observer, *, extend: bool, command: str, engine: Engine | None
) -> tuple[RunOutputs, tuple[str, ...]]:
    """All steps of a job: what it leaves, and what is to be said at its end."""
    spec, run = materials.spec, materials.folder
    for chip in materials.examples if spec.strict_bits else ():
        check_bits(_annotated(materials), chip)
    server = None if spec.mirror is None else MirrorTarget.parse(spec.mirror)
    study = _study(materials, extend=extend)  # refuses another study before anything is written
    study.check_limits(watch)
    with RunLock(run, JOB_LOCK):
        origin = _provenance(materials, command)
        write_atomic(run / CONFIG, spec.to_yaml(origin.to_dict()))
        write_atomic(run / GRAPH, materials.graph.to_json() + "\n")
        for note in _notes(materials):
            watch.message(note)
        _ = materials.scorer  # the float model: its failure is no candidate's
        with _hands(engine, materials) as hands:
            study.run(
                trials=spec.search.trials, qat=spec.search.qat, uniform=spec.search.uniform_points(study.space),
                progress=watch, executor=hands, server=server,
            )  # fmt: skip
            tested = with_baselines(final_front(study), study.results())
            measure_front(materials, tested, spec.search.test_seeds, watch, hands)
        offered, elsewhere = choices_or_all(study, spec.search.design)
        picked, missed = pick_or_knee(offered, study.objectives, spec.pick_rule, study.beliefs())
        outputs = _outputs(materials, study, picked, _rule_text(spec.pick_rule, missed), origin)
        settle(materials, outputs)
        late = tuple(note for note in (elsewhere, missed, _gap_note(materials, outputs)) if note)
        for note in late:
            watch.message(note)
    return outputs, late


def _hands(engine: Engine | None, materials: Materials) -> Executor:
    """Who scores: candidates, and those of the front with other seeds."""
    limit_s = materials.spec.search.timeout_s
    if engine is None:
        return InProcess(Evaluator(materials, limit_s))
    return engine.executor(materials.factory(), device=materials.device, timeout_s=limit_s)


@old_keywords(observer="progress")
def resume_job(
    folder: str | Path,
    *,
    progress: Observer | Callable[[Result], object] | None = None,
    device: str | None = None,
    rebuild: bool = False,
    engine: Engine | None = None,
) -> JobResult:
    """Go on with the run in a folder, as it was specified.

    Args:
        folder, progress, device, engine: as for `run_job`.
        rebuild: first write a lost or damaged ledger again from `study.db`.

    Raises:
        ConfigError: the folder holds no run.
        HwModelError: as `run_job`.
    """
    spec = _spec_of(folder)
    if rebuild:
        with stopping(folder):
            kept = rebuild_ledger(folder)
        as_observer(progress).message(f"{folder}: the ledger holds {kept} results.")
    return run_job(spec, folder, progress=progress, device=device, engine=engine)


def pick_job(folder: str | Path, rule: Rule, *, design: int | None = None, device: str | None = None) -> Result:
    """Choose another candidate of a finished run: weights, tables and `best.yaml` follow, the old page is removed.

    Interrupted anywhere, the folder says so (`search.choosing`), and picking again repairs it.

    Args:
        folder: of the run.
        rule: as of `search.pick`.
        design: number of the design to pick on, where the chip file has ranges; None is any.
        device: as for `run_job`.

    Raises:
        ConfigError: the run has no front yet, or the rule is none.
        NoCandidateError: the rule picks none of the front; nothing has changed.
        RunLockedError: another process works in the folder.
    """
    parse_rule(rule)
    run, spec = Path(folder), _spec_of(folder)
    spec = spec.model_copy(update={"search": spec.search.model_copy(update={"pick": rule, "design": design})})
    materials = Materials(spec=spec, folder=run, observer=Observer(), device=device)
    study = _study(materials, extend=False)
    with RunLock(run, JOB_LOCK):
        origin = _provenance(materials, "")
        picked = pick(choices(study, design), study.objectives, rule, means_of(study.beliefs()))
        outputs = _outputs(materials, study, picked, _rule_text(rule, ""), origin)
        # a resumed run keeps the pick
        settle(materials, outputs, lambda: write_atomic(run / CONFIG, spec.to_yaml(origin.to_dict())))
    return outputs.picked


def finish_pick(folder: str | Path, *, device: str | None = None) -> Result | None:
    """Finish the pick that was interrupted in a folder; None where there is none.

    Raises:
        HwModelError: as `pick_job`.
    """
    found = unfinished_pick(folder)
    return None if found is None else pick_job(folder, found[0], design=found[1], device=device)


def _rule_text(rule: Rule, missed: str) -> str:
    text = ", ".join(map(str, parsed)) if isinstance(parsed := parse_rule(rule), tuple) else str(parsed)
    return f"knee, as none meets {text}" if missed else text


def _gap_note(materials: Materials, outputs: RunOutputs) -> str:
    test = next((r for r in outputs.tests if r.key == FLOAT_KEY and r.total), None)
    if test is None:
        return ""
    may_be_memory = materials.validation_seen is not False
    return gap_note(
        outputs.float_accuracy, Accuracy(correct=test.correct, total=test.total), may_be_memory=may_be_memory
    )


def _spec_of(folder: str | Path) -> SearchSpec:
    path = Path(folder) / CONFIG
    if not path.exists():
        raise ConfigError(f"{folder}: holds no {CONFIG}. Is it the folder of a run?")
    return read_spec(path)


def _notes(materials: Materials) -> tuple[str, ...]:
    uncounted = [
        f"{item.op} ({item.calls} calls, in {item.module or 'the top module'}) has no rule: "
        "costs are a LOWER BOUND."
        for item in materials.graph.uncounted
    ]
    return (
        *materials.data_notes,
        *materials.content_notes,
        *(materials.designs.notes if materials.designs else ()),
        *uncounted,
        *_bits_notes(materials),
        *materials.space.notes,
    )


def _annotated(materials: Materials) -> Iterator[Layer]:
    """Every layer at every choice of the space."""
    choices = materials.space.choices()
    for layer in materials.graph.layers:
        for choice in choices.get(layer.module, ()):
            yield choice.annotate(layer)


def _bits_notes(materials: Materials) -> tuple[str, ...]:
    """Which widths of the space are priced as others, each sentence once."""
    notes = (
        spoken_bits_note(Task.of(layer, chip)) for chip in materials.examples for layer in _annotated(materials)
    )
    return tuple(dict.fromkeys(note for note in notes if note))


def _study(materials: Materials, *, extend: bool) -> Study:
    spec = materials.spec
    return Study.create_or_resume(
        materials.folder,
        graph=materials.graph,
        space=materials.space,
        accelerator=materials.designs or materials.accelerators,
        evaluate=materials,
        objectives=spec.objectives,
        seed=spec.search.seed,
        extend=extend,
        name=spec.name,
        context=materials.context,
        timeout_s=spec.search.timeout_s,
        fuse=spec.fuse,
        subsets=bool(spec.search.subsets),
        rungs=spec.search.rungs,
        warm=spec.search.warm,
        stop_at=spec.search.stop_at,
        sampler=spec.search.sampler,
        limits=spec.limits,
    )


def _provenance(materials: Materials, command: str) -> Provenance:
    """What `best.yaml` needs to be rebuilt in another process, and how it came about."""
    chip, spec = materials.accelerator or materials.designs, materials.spec
    return Provenance(
        versions=versions(),
        seed=spec.search.seed,
        accelerator=ChipRecord.of(chip),
        command=command or _first_command(materials.folder),
        model=MadeWith(name=spec.model, options=materials.model_options),
        data=MadeWith(name=spec.data, options=materials.data_options),
        training=spec.qat_settings.to_dict(),
        checkpoint=BEST_WEIGHTS,
        float_checkpoint=FLOAT_WEIGHTS,
    )


def _first_command(folder: Path) -> str:
    """The command that started the run in a folder; resuming does not change it."""
    path = folder / CONFIG
    recorded = read_spec(path).provenance.get("command") if path.exists() else None
    return str(recorded or f"hwmodel resume {folder}")


def _outputs(materials: Materials, study: Study, picked: Result, rule: str, origin: Provenance) -> RunOutputs:
    float_accuracy = read_float_accuracy(materials.folder)
    if float_accuracy is None:
        raise ConfigError(
            f"{materials.folder}: the float model is not measured yet. hwmodel resume {materials.folder}"
        )
    sweep = None if study.designs is None else Sweep.of(study, picked)
    chip = materials.accelerator if sweep is None else sweep.picked.design.accelerator
    return RunOutputs(
        folder=materials.folder,
        graph=materials.graph,
        accelerator=chip,
        sweep=sweep,
        fuse=study.fuse,
        objectives=study.objectives,
        results=study.results(),
        front=choices(study),
        beliefs=study.beliefs(),
        picked=picked,
        rule=rule,
        float_accuracy=float_accuracy,
        tests=read_tests(materials.folder),
        provenance=origin.model_copy(update={"accelerator": ChipRecord.of(chip)}),
        huffman_bits=_huffman_bits(materials, picked),
    )


def _huffman_bits(materials: Materials, picked: Result) -> dict[str, float]:
    """Module -> average length of a Huffman code of its quantized weights [bit/weight]; without float layers."""
    config = CompressionConfig.from_dict(picked.config)
    model = materials.rebuild(picked) if picked.checkpoint else None
    table = compress.huffman_table(materials.scorer.compressed(config) if model is None else model)
    lengths = dict(zip(table["layer"], table["huffman_bits"], strict=True))
    is_quantized = {name: choice.w_bits != FLOAT_BITS for name, choice in config.layers.items()}
    return {name: float(length) for name, length in lengths.items() if is_quantized.get(name)}


def _job_result(outputs: RunOutputs, materials: Materials, late: tuple[str, ...], wall_s: float) -> JobResult:
    done = sum(result.is_done for result in outputs.results)
    float_test = summarize(outputs.tests, "float", "float")
    return JobResult(
        folder=outputs.folder,
        name=materials.spec.name,
        picked=outputs.picked,
        front=outputs.front,
        num_done=done,
        num_failed=len(outputs.results) - done,
        float_accuracy=outputs.float_accuracy.value,
        test=summarize(outputs.tests, outputs.picked.key, outputs.picked.stage),
        float_test_accuracy=float_test.mean if float_test else math.nan,
        messages=(*_notes(materials), *late),
        wall_s=wall_s,
    )
