"""How a run was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports import units
from search.finaltest import FinalRecord, summarize

if TYPE_CHECKING:
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
        if not spec.fuse:
            items.append(("Costs", "layers, pools, concatenations and attentions priced apart (fuse: false)"))
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
