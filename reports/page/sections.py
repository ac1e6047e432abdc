"""The sentences of the HTML report: what was found, how it was measured, what to type next."""

from __future__ import annotations

import math
import shlex

from reports import units
from reports.page.htmltables import change
from reports.run.costs import known_costs, write_cost
from reports.run.folder import RunData
from reports.run.frames import front_rows


def cards(run: RunData) -> list[dict[str, str]]:
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
        found.append(_card(cost.label, write_cost(cost, value), note))
    return found


def _card(label: str, value: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def _accuracy_note(run: RunData) -> str:
    parts = []
    if run.picked_row is not None and math.isfinite(run.picked_row["standard_error"]):
        parts.append(f"± {run.picked_row['standard_error'] * 100:.2f} standard error")
    if run.float_accuracy is not None:
        parts.append(f"float {units.percent(run.float_accuracy)}")
    return "; ".join(parts)


def _test_note(run: RunData) -> str:
    spread, num_seeds = run.picked_row["test_sd"], int(run.picked_row["test_runs"])
    parts = [f"± {spread * 100:.2f} over {num_seeds} seeds"] if math.isfinite(spread) else []
    if run.float_test_accuracy is not None:
        parts.append(f"float {units.percent(run.float_test_accuracy)}")
    return "; ".join(parts)


def summary(run: RunData) -> str:
    """One sentence on what the search found; a difference within the noise is called that."""
    candidates, picked = run.candidates, run.picked_row
    failed = int((candidates["status"] == "failed").sum())
    scored = f"{len(candidates) - failed} scores of {candidates['key'].nunique()} configurations"
    tail = f", {failed} failed" if failed else ""
    if picked is None:
        return f"{scored}{tail}. No configuration is picked yet."
    text = f"{scored}{tail}; {len(front_rows(candidates))} on the front. Picked: candidate {int(picked['number'])}"
    if run.float_accuracy is None or not math.isfinite(picked["standard_error"]):
        return f"{text}."
    gap = picked["accuracy"] - run.float_accuracy
    noise = math.hypot(picked["standard_error"], run.float_error)
    spread = f"± {noise * 100:.2f}"
    if abs(gap) <= noise:
        return f"{text}, within one standard error of the float model ({gap * 100:+.2f} points, {spread})."
    side = "above" if gap > 0 else "below"
    return f"{text}, {abs(gap) * 100:.2f} points {side} the float model ({spread})."


def method(run: RunData) -> list[dict[str, str]]:
    """How the numbers came about: model, definitions, splits, and the facts of the run."""
    model = f"{run.graph.name}, {len(run.graph.layers)} layers with MACs, fingerprint {run.graph.fingerprint}"
    items = [
        ("Model", model),
        ("Average precision", run.precision_definition),
        ("Objectives", ", ".join(run.objectives)),
        (
            "Splits",
            "The search sees the training and validation splits only. "
            "The test split is measured once, at the end, for the front.",
        ),
        (
            "Standard error",
            "sqrt(p (1 − p) / n) of the accuracy p over n validation images. A smaller difference is no win.",
        ),
        *run.facts,
    ]
    return [{"term": term, "text": text} for term, text in items if text]


def sources(run: RunData) -> list[dict[str, str]]:
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


def commands(run: RunData) -> list[str]:
    """What to type next; paths are as the run was opened."""
    place = shlex.quote(run.place)
    lines = ["# go on with the search", f"hwmodel resume {place}"]
    if run.has_config:
        lines += [
            "# train the picked configuration further",
            f"hwmodel finetune --config {place}/best.yaml --epochs 20 -o finetuned.safetensors",
            "# bits per layer for another tool",
            f"hwmodel export {place} --format csv",
            "# the same search again, from its record",
            f"hwmodel search {place}/config.yaml --run {place}-again",
        ]
    return lines
