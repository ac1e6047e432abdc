"""`hwmodel ladder`: a checkpoint at a list of widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import WARNING
from reports.jobs.arguments import check_among, parse_options, parse_widths
from reports.jobs.outputs import check_csv, write_csv
from reports.terminal.console import emit_json, make_console, say
from reports.terminal.ladders import ladder_rows, ladder_table
from reports.terminal.tables import print_lines
from workloads import compress, trace, training
from workloads.compress.config import GRANULARITIES, MAX_QUANTIZED_BITS, QUANTIZERS, LayerChoice
from workloads.models.checkpoint import load_checkpoint
from workloads.training.chance import chance_level
from workloads.training.inputs import drawn_inputs
from workloads.training.scorer import CALIBRATION_IMAGES

if TYPE_CHECKING:
    from workloads.data import Dataset
    from workloads.training import Accuracy, MetricValue, WidthScore

SPLITS = ("validation", "test")


def ladder(
    *,
    model: str,
    weights: Path,
    data: str,
    bits: str,
    a_bits: int | None,
    quantizer: str,
    granularity: str,
    keep_float: Sequence[str] | None,
    norms: bool,
    split: str,
    images: int | None,
    option: Sequence[str] | None,
    data_option: Sequence[str] | None,
    csv: str | None,
    device: str | None,
    json: bool,
) -> None:
    """Score the checkpoint in float and at every width; show the table, write its rows."""
    widths = parse_widths(bits, MAX_QUANTIZED_BITS)
    check_among(quantizer, QUANTIZERS, "--quantizer")
    check_among(granularity, GRANULARITIES, "--granularity")
    check_among(split, SPLITS, "--split")
    check_csv(csv, json=json)
    like = LayerChoice(a_bits=a_bits, quantizer=quantizer, granularity=granularity)
    kept = tuple(name.strip() for names in keep_float or () for name in names.split(","))
    held = load_checkpoint(
        model, weights, data, split=split, options=parse_options(option),
        data_options=parse_options(data_option, "--data-option"),
    )  # fmt: skip
    found = held.data if images is None else held.data.subset(**{split: images})
    full, steps = _scores(held.model, found, split, widths, like=like, kept=kept, norms=norms, device=device)
    rows = ladder_rows(trace(held.model, found.example()), full, steps)
    named = {
        "model": model, "weights": str(weights), "data": found.describe(), "split": split,
        "quantizer": quantizer, "granularity": granularity, "norms": "re-estimated" if norms else "as trained",
        "layers": list(steps[0].config.layers), "precision": compress.precision_definition(),
    }  # fmt: skip
    if csv is not None:
        import pandas as pd

        write_csv(pd.DataFrame(rows), csv, "widths")
    if json:
        emit_json({**named, "notes": held.notes, "widths": rows})
    elif csv != "-":
        console = make_console()
        console.print(ladder_table(rows, console.width))
        chance = [] if full.value > _chance(found, split) else [(WARNING, _AT_CHANCE)]
        print_lines(console, [*chance, *(("", line) for line in _notes(named, held.notes, full))])


_AT_CHANCE = "The float model answers at random: are these its weights, and its data options (normalize)?"


def _scores(
    model: Any, data: Dataset, split: str, widths: Sequence[int], *, like: LayerChoice, kept: tuple[str, ...],
    norms: bool, device: str | None,
) -> tuple[Accuracy | MetricValue, list[WidthScore]]:  # fmt: skip
    """(score of the float model, score at every width)."""
    compress.uniform_config(model, like, kept)  # a wrong name is said before anything is measured
    scored = getattr(data, split)
    full = training.measure(model, scored, device, data.metric)
    say(f"float: {full}")
    steps = training.ladder(
        model, scored, widths, like=like, keep_float=kept, norms=norms, metric=data.metric, device=device,
        calibration=drawn_inputs(data.train, CALIBRATION_IMAGES),
        progress=lambda step: say(f"{step.w_bits} bits: {step.score}"),
    )  # fmt: skip
    return full, steps


def _chance(data: Dataset, split: str) -> float:
    """What the most frequent class scores; of what are no classes, minus infinity."""
    if data.is_regression or data.metric is not None:
        return float("-inf")
    return chance_level(getattr(data, split)).value


def _notes(named: Mapping[str, Any], assumed: Sequence[str], full: Accuracy | MetricValue) -> list[str]:
    """What the numbers are of."""
    grids = f"{named['quantizer']}, a grid per {named['granularity']}, in {len(named['layers'])} layers"
    return [
        f"{grids}, the others float; norms {named['norms']}; {full.total:,} {named['split']} items; lost: to float",
        named["data"],
        *assumed,
        named["precision"],
    ]
