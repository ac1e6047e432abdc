"""What a reader must know before believing the numbers of a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.run.candidates import front_of
from search.choosing import pick_or_knee
from search.finaltest import FLOAT_KEY, FinalRecord
from search.front.objective import resolve_objectives
from search.front.results import COMPANIONS, Result
from search.propose.posterior import NO_BELIEFS, Belief
from workloads.training.accuracy import Accuracy
from workloads.training.chance import gap_note

if TYPE_CHECKING:
    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.chip.sweep.designs import Designs
    from search.spec import SearchSpec
    from workloads.compress import ConfigFile


def run_warnings(
    spec: SearchSpec | None,
    results: Sequence[Result],
    tests: Sequence[FinalRecord],
    manifest: Mapping[str, Any],
    chip: Accelerator | Designs | None,
    notes: Sequence[str],
    *,
    folder: Path,
) -> list[str]:
    """What limits the numbers: an unfinished run, failures, a changed accelerator, weights that score otherwise."""
    found = [
        *_unfinished(spec, results, tests, folder),
        *_changed(manifest, chip),
        *_not_reproduced(results, tests),
    ]
    failed = [result for result in results if not result.is_done]
    if failed:
        found.append(f"{len(failed)} of {len(results)} candidates failed; the last: {failed[-1].error}")
    broken = [record for record in tests if record.error]
    if broken:
        found.append(f"{len(broken)} of {len(tests)} test runs failed; the last: {broken[-1].error}")
    return [*found, *notes]


def _unfinished(
    spec: SearchSpec | None, results: Sequence[Result], tests: Sequence[FinalRecord], folder: Path
) -> list[str]:
    if spec is None or tests:
        return []
    num_ptq = sum(result.stage == "ptq" and result.origin not in COMPANIONS for result in results)
    num_qat = sum(result.stage == "qat" or result.is_stopped for result in results)
    return [
        f"The run is not finished: {num_ptq} of {spec.search.trials} candidates quantized, "
        f"{num_qat} of {spec.search.qat} finetuned, none tested. hwmodel resume {shlex.quote(str(folder))} goes on."
    ]


def _changed(manifest: Mapping[str, Any], chip: Accelerator | Designs | None) -> list[str]:
    used = str(manifest.get("accelerator", ""))
    if chip is None or not used or chip.fingerprint in used or "(" not in used:
        return []
    return [f"Costs per layer are those of {chip.name} ({chip.fingerprint}), but the run used {used}."]


def _not_reproduced(results: Sequence[Result], tests: Sequence[FinalRecord]) -> list[str]:
    scored: dict[tuple[str, str], tuple[int, int]] = {
        (result.key, result.stage): (result.correct, result.total) for result in results if result.is_done
    }
    differ = [
        record
        for record in tests
        if record.run == 0
        and (record.key, record.stage) in scored
        and scored[record.key, record.stage] != (record.validation_correct, record.validation_total)
    ]
    return [f"The saved weights of {len(differ)} candidates do not score as the search recorded."] if differ else []


def accuracy_warnings(
    spec: SearchSpec | None,
    best: ConfigFile | None,
    results: Sequence[Result],
    tests: Sequence[FinalRecord],
    float_accuracy: Accuracy | None,
    objectives: Sequence[str],
    beliefs: Mapping[int, Belief] = NO_BELIEFS,
    pairs: Sequence[Result] = (),
) -> list[str]:
    """What limits the accuracies: memory instead of validation, scores without counts, a rule that none met."""
    found = []
    test = next((record for record in tests if record.key == FLOAT_KEY and record.total), None)
    if test is not None and float_accuracy is not None:
        other = Accuracy(correct=test.correct, total=test.total)
        found.append(gap_note(float_accuracy, other, may_be_memory=_may_be_memory(spec, best)))
    bare = [result for result in results if result.is_done and result.interval is None]
    if bare:
        found.append(
            f"{len(bare)} of {len(results)} scores are fractions without a count of images: they have no interval, "
            "and which of them tie is not known."
        )
    front = pairs or front_of(results, objectives, beliefs)
    if spec is not None and front and tests:
        found.append(pick_or_knee(front, resolve_objectives(objectives), spec.pick_rule, beliefs)[1])
    return [text for text in found if text]


def _may_be_memory(spec: SearchSpec | None, best: ConfigFile | None) -> bool:
    """The float weights were given, and validation was not cut from the test files."""
    if spec is None or spec.checkpoint is None:
        return False
    made = None if best is None else best.provenance.data
    options = spec.data_options if made is None else made.options
    return options.get("validation") != "test"
