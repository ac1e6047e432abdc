"""Study 1. How few bits do the weights of ResNet-20 bear, before finetuning and after?

Published weights (91.73 %), residual blocks at 6 to 2 bits; first convolution, last layer, activations float. The
published accuracies are a course's: min-max per tensor, from the same weights; after 10 epochs at 4 and 3 bits and
20 at 2, from 91.51 %. Of the readings of its grid the plain formula, norms as they were trained, gives its counts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reports import plot_lines
from reports.experiments import FAST, Experiment, run
from reports.figures.theme import new_panels
from workloads import load_model
from workloads.compress import LayerChoice, load_weights, uniform_config
from workloads.training import Accuracy, Scorer, TrainSettings, ladder

NEEDS = ("cifar10", "resnet20_cifar10.npz")
FLOAT = ("conv1", "fc")
PER_CHANNEL = LayerChoice(quantizer="lsq", granularity="channel")
#: name -> (grid, norms re-estimated on 256 training images)
LADDERS = {
    "min-max": (LayerChoice(quantizer="minmax"), False),
    "min-max, integral zero": (LayerChoice(quantizer="affine"), False),
    "LSQ": (LayerChoice(quantizer="lsq"), False),
    "LSQ per channel": (PER_CHANNEL, False),
    "LSQ per channel, norms": (PER_CHANNEL, True),
}
BEFORE = {6: 0.9174, 5: 0.9123, 4: 0.8807, 3: 0.3465, 2: 0.1000}
AFTER = {4: 0.9127, 3: 0.9064, 2: 0.8654}
#: Highest rate, and epochs of each grid that is finetuned, by bits.
RATES = {4: 0.01, 3: 0.01, 2: 0.02}
EPOCHS = {"LSQ per channel": {4: 1, 3: 1, 2: 3}, "min-max": {4: 1, 3: 1, 2: 1}}


def main(study: Experiment) -> None:
    data = study.data("cifar10", normalize="imagenet")
    model = load_model("resnet20", shortcut="pad")
    load_weights(study.weights("resnet20_cifar10.npz"), model)
    widths = study.choose([6, 5, 4, 3, 2], [4, 2])

    def before(name: str, bits: list[int]) -> list[Any]:
        grid, norms = LADDERS[name]
        found = ladder(
            model, data.test, bits, like=grid, keep_float=FLOAT, calibration=data.train.x[:256], norms=norms,
            device=study.device, memory_format="channels_last",
        )  # fmt: skip
        return [step.score for step in found]

    def after(name: str, bits: int, settings: TrainSettings) -> Any:
        scorer = Scorer(model, data, settings, study.device)
        _, tuned = scorer.qat(uniform_config(model, replace(LADDERS[name][0], w_bits=bits), FLOAT), study.seed)
        return scorer.test(tuned)

    (start,) = study.once(before, name="LSQ", bits=[32])
    rows = [{"grid": "float", "bits": 32, "test": start, "published": 0.9173}]
    for name in LADDERS:
        scores = study.once(before, name=name, bits=widths)
        known = BEFORE if name == "min-max" else {}
        rows += [
            {"grid": name, "bits": bits, "test": score, "published": known.get(bits)}
            for bits, score in zip(widths, scores, strict=True)
        ]
    tuned = []
    for name, epochs in EPOCHS.items():
        for bits in study.choose([4, 3, 2], [4]):
            settings = TrainSettings(
                epochs=study.choose(epochs[bits], 1), lr=RATES[bits], batch_size=128, warmup_epochs=0.1,
                **FAST,
            )  # fmt: skip
            end = {"test": study.once(after, name=name, bits=bits, settings=settings), "published": AFTER[bits]}
            tuned.append({"grid": name, "bits": bits, "epochs": settings.epochs, **end})
    spent = [list(epochs.values()) for epochs in EPOCHS.values()]
    study.cut(f"Epochs at 4, 3 and 2 bits: {spent[0]} with LSQ, {spent[1]} with min-max, for 10, 10 and 20.")
    study.cut("Finetuned on 45,000 of the 50,000 training images; rates from a few short tries on these.")
    draw(study, study.table("before", rows)[1:], study.table("after", tuned), start)
    tell(study, rows, tuned)


def draw(study: Experiment, rows: list[dict[str, Any]], tuned: list[dict[str, Any]], start: Accuracy) -> None:
    """Left the ladders, right what finetuning makes of two, beside the published accuracies."""
    panels = new_panels(2, 11, 4.8)
    sides = ((rows, BEFORE, "untrained"), (tuned, AFTER, "finetuned"))
    for ax, (own, known, when) in zip(panels, sides, strict=True):
        ax.axhline(start.value * 100, color="grey", linewidth=1, linestyle=":")
        for part in (own, [{"grid": "published", "bits": bits, "test": value} for bits, value in known.items()]):
            labels = ("Weight bits (dotted: float)", f"Test accuracy, {when} [%]")
            options: Any = {"percent": True, "legend": "inside", "labels": labels, "joined": part is own}
            plot_lines(part, "bits", "test", "grid", ax, **options)
        ax.set_xticks(sorted({row["bits"] for row in own}))
    study.figure(panels[0])


def tell(study: Experiment, rows: list[dict[str, Any]], tuned: list[dict[str, Any]]) -> None:
    same = sum(round(row["test"].value, 4) == row["published"] for row in rows[1:])
    low = ", ".join(f"{100 * row['test'].value:.2f} ({row['grid']})" for row in rows if row["bits"] == 2)
    best = [row for row in tuned if row["grid"] == "LSQ per channel"]
    ends = [f"{100 * row['test'].value:.2f} at {row['bits']} ({100 * row['published']:.2f})" for row in best]
    above = [str(row["bits"]) for row in best if row["test"].interval.low > row["published"]]
    study.finding(
        f"Untrained, {same} of {len(BEFORE)} min-max accuracies equal the published ones to the digit, and 2 bits "
        f"score {low} %; finetuned, LSQ per channel has {', '.join(ends)} bits (in brackets published), more than "
        f"published beyond its interval at {' and '.join(above) or 'no'} bits."
    )


if __name__ == "__main__":
    run(main)
