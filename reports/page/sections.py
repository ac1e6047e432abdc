"""The sentences of the HTML report: the pick in numbers, how it was measured, what to type next."""

from __future__ import annotations

import math
import shlex

from reports import units
from reports.run.folder import Run
from reports.run.metrics import change, float_test_text, interval_text, known_costs, seeds_text


def cards(run: Run) -> list[dict[str, str]]:
    """The picked candidate in a few numbers: label, value, note."""
    picked, baseline = run.picked_row, run.baseline_row
    if picked is None:
        return []
    found = [_card("Validation accuracy", units.percent(picked["accuracy"]), _accuracy_note(run))]
    if math.isfinite(picked["test_accuracy"]):
        found.append(_card("Test accuracy", units.percent(picked["test_accuracy"]), _test_note(run)))
    for cost in known_costs(run.candidates)[:4]:
        value = picked[cost.key]
        note = "" if baseline is None else f"{change(value, baseline[cost.key])} than {run.baseline_name}"
        found.append(_card(cost.label, cost.written(value), note))
    return found


def _card(label: str, value: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def _accuracy_note(run: Run) -> str:
    interval = interval_text(run.picked_row, "accuracy")
    parts = [f"95 %: {interval}" if interval else "no count of images, so no interval"]
    if math.isfinite(run.picked_row["believed"]):
        parts.append(f"believed {units.percent(run.picked_row['believed'])}")
    if run.float_accuracy is not None:
        score = run.float_accuracy
        parts.append(f"float {units.percent(score.value)} ({score.interval})")
    return "; ".join(parts)


def _test_note(run: Run) -> str:
    parts = [f"95 %: {interval_text(run.picked_row, 'test')}", seeds_text(run.picked_row)]
    if run.float_test is not None:
        parts.append(f"float {float_test_text(run.float_test)}")
    return "; ".join(part for part in parts if part)


def method(run: Run) -> list[dict[str, str]]:
    """How the numbers came about: model, definitions, splits, and what the run recorded."""
    model = f"{run.graph.name}, {len(run.graph.layers)} layers with MACs, fingerprint {run.graph.fingerprint}"
    items = [
        ("Model", model),
        ("Average precision", run.precision_definition),
        ("Objectives", ", ".join(run.objectives)),
        (
            "Splits",
            "The search sees the training and validation splits only. "
            "The test split is measured once, at the end, for the front"
            f"{' and the uniform widths of the search file' if run.rival_row is not None else ''}.",
        ),
        (
            "Intervals and ties",
            "95 %, by Wilson's score: what n images leave open about an accuracy. Two accuracies whose intervals "
            "overlap are a tie, and no win. All candidates saw the same images, so a paired comparison, image by "
            "image, could tell smaller differences apart; a run keeps counts only. Seeds see the same test images: "
            "more of them settle the mean over seeds, and do not narrow the interval.",
        ),
        *run.method,
    ]
    return [{"term": term, "text": text} for term, text in items if text]


def sources(run: Run) -> list[dict[str, str]]:
    """The accelerator's numbers with where they come from."""
    chip = run.accelerator
    if chip is None:
        return []
    items = [{"term": chip.name, "text": f"{chip.description}. {chip.source}"}]
    for name, memory in chip.memories().items():
        size = "unbounded" if memory.size_bits is None else units.data_size(memory.size_bits)
        access = f"read {memory.read_pj_per_bit:.3g}, write {memory.write_pj_per_bit:.3g} pJ/bit"
        items.append({"term": name, "text": f"{size}, {access}. {memory.source}"})
    return items


def commands(run: Run) -> list[str]:
    """What to type next; paths are as the run was opened."""
    folder = shlex.quote(str(run.folder))
    lines = ["# go on with the search", f"hwmodel resume {folder}"]
    if run.has_config:
        lines += [
            "# train the picked configuration further",
            f"hwmodel finetune --config {folder}/best.yaml --epochs 20 -o finetuned.safetensors",
            "# another point of the front: accurate, cheapest, knee, a bound or a number",
            f"hwmodel pick {folder} 'accuracy>=0.95'",
            "# bits per layer for another tool",
            f"hwmodel export {folder} --format csv",
            "# the same search again, from its record",
            f"hwmodel search {folder}/config.yaml --run {folder}-again",
        ]
    return lines
