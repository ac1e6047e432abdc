"""Study 5. What does a penalty on the first convolution's weights buy, and what does it cost?

A narrowed VGG-16 trained on CIFAR-10, then finetuned with loss + gamma * sum |w of the first convolution|: the same
epochs, rate and batches for every gamma. Validation chooses the gamma; the test images are read once per model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from reports import plot_lines
from reports.experiments import FAST, Experiment, run
from reports.figures.theme import new_panels
from workloads import load_model
from workloads.compress import load_weights
from workloads.training import Accuracy, PenaltyHook, TrainSettings, measure_accuracy, penalty, penalty_of

NEEDS = ("cifar10",)
FIRST = ("features.0",)
GAMMAS = (0.0, 0.001, 0.003, 0.01, 0.1, 1.0)
#: The tuned gamma is the largest one that loses no more on the validation images than this, fixed beforehand.
ALLOWED = 0.005


@dataclass(frozen=True)
class Work:
    """The steps; `width` is the channels of the first convolution, 64 in the paper."""

    study: Experiment
    width: int

    @cached_property
    def data(self) -> Any:
        return self.study.data("cifar10")

    def model(self, name: str) -> nn.Module:
        model = load_model("vgg16", width=self.width, seed=self.study.seed)
        load_weights(self.study.file(f"{name}.safetensors"), model)
        return model

    def trained(self, settings: TrainSettings, width: int) -> dict[str, Any]:
        model = load_model("vgg16", width=width, seed=self.study.seed)
        self.study.train("float", model, self.data.train, settings)
        return self.weights(model)

    def penalised(self, gamma: float, settings: TrainSettings) -> dict[str, Any]:
        model = self.model("float")
        hook = PenaltyHook(gamma, penalty("l1"), FIRST)
        self.study.train(f"gamma-{gamma:g}", model, self.data.train, settings, hooks=[hook])
        found = measure_accuracy(model, self.data.validation, memory_format="channels_last")
        return {"gamma": gamma, "validation": found, **self.weights(model)}

    @torch.no_grad()
    def weights(self, model: nn.Module) -> dict[str, Any]:
        size = model.get_submodule(FIRST[0]).weight.abs()
        return {
            "weight_sum": round(float(penalty_of(model, penalty("l1"), FIRST)), 4),
            "l1_over_l2": round(float(penalty_of(model, penalty("hoyer"), FIRST)), 2),
            "below_1_percent": round(float((size < 0.01 * size.max()).float().mean()), 4),
        }

    def tested(self, name: str) -> Accuracy:
        return measure_accuracy(self.model(name), self.data.test, memory_format="channels_last")


def main(study: Experiment) -> None:
    work = Work(study, study.choose(24, 4))
    scratch = TrainSettings.from_scratch(epochs=study.choose(16, 1), seed=study.seed, batch_size=128, **FAST)
    short = TrainSettings(
        epochs=1, lr=0.01, weight_decay=5e-4, warmup_epochs=0.1, seed=study.seed, batch_size=128, **FAST
    )
    study.cut(
        f"VGG-16 with {work.width} channels in place of 64 and one linear layer, trained {scratch.epochs} epochs; "
        f"{short.epochs} epoch of finetuning for each gamma."
    )
    start = {"model": "before", "gamma": None, **study.once(work.trained, settings=scratch, width=work.width)}
    trend = [study.once(work.penalised, gamma=gamma, settings=short) for gamma in GAMMAS]
    free, full = trend[0], trend[-1]
    allowed = [r for r in trend[1:-1] if r["validation"].value >= free["validation"].value - ALLOWED]
    tuned = allowed[-1] if allowed else trend[1]
    rows = [start, {"model": "gamma 0", **free}, {"model": "tuned", **tuned}, {"model": "gamma 1", **full}]
    for row in rows:
        row["file"] = "float" if row["gamma"] is None else f"gamma-{row['gamma']:g}"
        row["test"] = study.once(work.tested, name=row["file"])
    study.table("models", [{key: row[key] for key in row if key != "validation"} for row in rows])
    study.table("trend", trend)
    accuracy, sums = new_panels(2, 9.6, 3.8)
    plot_lines(trend, "gamma", "validation", None, accuracy, percent=True, labels=("gamma", "Validation [%]"))
    plot_lines(trend, "gamma", "weight_sum", None, sums, labels=("gamma", "sum |w| of the first convolution"))
    for ax in (accuracy, sums):
        ax.set_xscale("symlog", linthresh=0.001)
    study.figure(accuracy)
    before, zero, best, one = (f"{100 * row['test'].value:.2f} %" for row in rows)
    study.finding(
        f"From a VGG-16 of {before} on the test images, gamma {tuned['gamma']:g} takes the sum of the first "
        f"convolution's weights from {free['weight_sum']:.1f} (gamma 0, {zero}) to {tuned['weight_sum']:.1f} at "
        f"{best}; gamma 1 to {full['weight_sum']:.2f} at {one}."
    )


if __name__ == "__main__":
    run(main)
