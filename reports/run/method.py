"""How a run was measured, and what a reader must know before believing it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports import units
from search.finaltest import FinalRecord, summarize
from search.front.results import Result

if TYPE_CHECKING:
    from hwmodel.chip.accelerator import Accelerator
    from search.spec import SearchSpec
    from workloads.compress import ConfigFile
    from workloads.training import Accuracy


def method_items(
    spec: SearchSpec | None, best: ConfigFile | None, tests: Sequence[FinalRecord], score: Accuracy | None
) -> list[tuple[str, str]]:
    """(term, text) on data, float model, seeds, training and versions; what is not known is left out."""
    items: list[tuple[str, str]] = []
    if spec is not None:
        items.append(("Data", " ".join([spec.data, *_pairs(spec.data_options)])))
        items.append(("Space", _space(spec)))
    if score is not None:
        items.append(("Float model", _float_text(tests, score)))
    if spec is not None:
        repeats = f"each candidate of the front was finetuned {_times(spec.search.test_seeds)} for the test split"
        items.append(("Seeds", f"{spec.search.seed}, from which those of every finetuning follow; {repeats}"))
        items.append(("Finetuning", ", ".join(_pairs(spec.qat_settings.to_dict()))))
    if best is not None:
        items.append(("Versions", ", ".join(f"{name} {value}" for name, value in best.provenance.versions.items())))
        items.append(("Command", best.provenance.command))
    return items


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _pairs(options: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in options.items()]


def _space(spec: SearchSpec) -> str:
    space = spec.space
    density = f", density {_listed(space.density)} ({space.pattern})" if space.density else ""
    frozen = f"; frozen: {space.frozen}" if space.frozen else ""
    return f"weight bits {_listed(space.w_bits)}, activation bits {_listed(space.a_bits)}{density}{frozen}"


def _listed(values: Sequence[object]) -> str:
    return "/".join(str(value) for value in values)


def _float_text(tests: Sequence[FinalRecord], score: Accuracy) -> str:
    text = f"{units.percent(score.value)} of {score.total:,} validation images"
    test = summarize(tests, "float", "float")
    total = max((record.total for record in tests), default=0)
    return text if test is None else f"{text}, {units.percent(test.mean)} of {total:,} test images"


def run_warnings(
    spec: SearchSpec | None,
    results: Sequence[Result],
    tests: Sequence[FinalRecord],
    manifest: Mapping[str, Any],
    chip: Accelerator | None,
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
    num_ptq = sum(result.stage == "ptq" and result.origin != "mutation" for result in results)
    num_qat = sum(result.stage == "qat" for result in results)
    return [
        f"The run is not finished: {num_ptq} of {spec.search.trials} candidates quantized, "
        f"{num_qat} of {spec.search.qat} finetuned, none tested. hwmodel resume {shlex.quote(str(folder))} goes on."
    ]


def _changed(manifest: Mapping[str, Any], chip: Accelerator | None) -> list[str]:
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
