"""What a finetuning did, as text and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import OK, WARNING, times
from reports import units

if TYPE_CHECKING:
    from search.finetuning import FinetuneResult
    from workloads.training import Accuracy


def finetune_data(result: FinetuneResult) -> dict[str, Any]:
    """Accuracies, files and time as JSON."""

    def score(value: Accuracy | None) -> dict[str, Any] | None:
        return None if value is None else {"correct": value.correct, "total": value.total}

    return {
        "output": str(result.output),
        "epochs": result.epochs,
        "before": score(result.before),
        "after": score(result.after),
        "test": score(result.test),
        "recorded": score(result.recorded),
        "reproduced": result.reproduced,
        "device": result.device,
        "wall_s": result.wall_s,
        "curves": str(result.curves),
    }


def finetune_lines(result: FinetuneResult, figure: Path | None) -> list[tuple[str, str]]:
    """The score before, against the recorded one; the scores after; the files."""

    def text(score: Accuracy) -> str:
        return str(score)

    before = f"before: {text(result.before)} on the validation split"
    if result.recorded is None:
        first = ("", before)
    elif result.reproduced:
        first = (OK, f"{before}, as recorded")
    else:
        first = (WARNING, f"{before}, recorded {text(result.recorded)}")
    trained = f"after {times(result.epochs, 'epoch')} on {result.device}, {units.seconds(result.wall_s)}"
    files = [result.output, result.curves, *([figure] if figure else [])]
    return [
        first,
        ("", f"{trained}: {text(result.after)} validation, {text(result.test)} test"),
        (OK, f"wrote {', '.join(map(str, files))}"),
    ]
