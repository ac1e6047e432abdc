"""Study 8. How much of a ResNet-20 can go, whole filters at a time or weight by weight?

The published weights, finetuned while 10 % more goes every epoch up to 50 %: the filters with the smallest L1
norms, the smallest weights, or nothing. Then one cut each to several rates, with the same short finetuning.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from reports import plot_lines
from reports.experiments import FAST, Experiment, run
from reports.figures.theme import GREY, new_panels
from workloads import load_model
from workloads.compress import load_weights
from workloads.compress.pruning import OneShot, Stepwise, model_size
from workloads.training import MagnitudePruner, TrainSettings, finetune, measure_accuracy

NEEDS = ("cifar10", "resnet20_cifar10.npz")
#: Of every convolution in the blocks; the first one and the linear layer stay dense.
PATTERNS = ("filter", "unstructured")
#: The usual schedule is 10 % more every ten epochs to 50 %.
STEPS = Stepwise(step=0.1, every=1, final=0.5)


def main(study: Experiment) -> None:
    rates, epochs, short = study.choose(((0.3, 0.5, 0.7, 0.8, 0.9, 0.95), 6, 1), ((0.5,), 2, 1))
    # The weights have seen every training image: what is followed on the way comes from the test files.
    parts = {"train": study.choose(10_000, 128), "validation": 2000}
    data = study.data("cifar10", limit=10_000, normalize="imagenet", validation="test", parts=parts)
    study.cut(f"{epochs} epochs of {len(data.train):,} images, 10 % more every epoch in the place of every tenth.")
    study.cut(
        f"50 % holds for the last epoch only, at a tenth of the step; one cut is finetuned for {short} epoch."
    )
    settings = TrainSettings(
        epochs=epochs, lr=0.01, schedule="multistep", milestones=(epochs - 1,), warmup_epochs=0, batch_size=128,
        seed=study.seed, **FAST,
    )  # fmt: skip

    def pruned(pattern: str | None, rate: float | None, settings: TrainSettings) -> dict[str, Any]:
        model = load_model("resnet20", shortcut="pad")
        load_weights(study.weights("resnet20_cifar10.npz"), model)
        blocks = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)][1:]
        schedule = STEPS if rate is None else OneShot(final=rate)
        hooks = [] if pattern is None else [MagnitudePruner(schedule, pattern=pattern, layers=blocks)]
        history = finetune(
            model, data.train, settings, validation=data.validation, hooks=hooks, device=study.device
        ).history
        alive = sum(int(parameter.count_nonzero()) for parameter in model.parameters())
        return {
            "parameters": alive, "remaining": alive / model_size(model, data.example()).parameters,
            "test": measure_accuracy(model, data.test, study.device, memory_format=settings.memory_format),
            "epochs": [{"epoch": record.epoch, "validation": record.validation} for record in history],
        }  # fmt: skip

    schedule, curve, cuts = [], [], []
    runs = {"published weights": None, "dense": None, **{pattern: pattern for pattern in PATTERNS}}
    for name, pattern in runs.items():
        how = replace(settings, epochs=0) if name == "published weights" else settings
        found = study.once(pruned, pattern=pattern, rate=None, settings=how)
        curve += [{"pruned": name, **row} for row in found.pop("epochs")]
        schedule.append({"pruned": name, **found})
    for pattern in PATTERNS:
        for rate in rates:
            found = study.once(pruned, pattern=pattern, rate=rate, settings=settings.shortened(short / epochs))
            cuts.append({"pruned": pattern, "rate": rate, **{k: v for k, v in found.items() if k != "epochs"}})
    study.table("schedule", schedule)
    draw(study, study.curves("epochs", curve), study.table("one cut", cuts), schedule[1]["test"].value)
    study.finding(said(schedule, cuts))


def said(schedule: list[dict[str, Any]], cuts: list[dict[str, Any]]) -> str:
    """What half of it costs on the schedule, and the least that is left at a tie with the dense network."""
    _, dense, *halves = schedule
    parts = []
    for row in halves:
        ties = [cut["remaining"] for cut in cuts if cut["pruned"] == row["pruned"]
                and cut["test"].interval.high >= dense["test"].interval.low]  # fmt: skip
        least = f"a tie down to {min(ties):.0%} of the parameters" if ties else "a tie at no rate"
        parts.append(
            f"{row['pruned']} {100 * (row['test'].value - dense['test'].value):+.1f} points at half, and after one "
            f"cut {least}"
        )
    return f"Against the dense network's {dense['test'].value:.1%}: {'; '.join(parts)}."


def draw(study: Experiment, curve: list[Any], cuts: list[Any], dense: float) -> None:
    """Validation along the schedule; test against what is left."""
    left, right = new_panels(2, 10.5, 4.4)
    plot_lines(
        curve, "epoch", "validation", "pruned", left, percent=True, legend="inside",
        labels=("Epoch", "Validation [%]"),
    )  # fmt: skip
    right.axhline(dense * 100, color=GREY, linestyle="--", linewidth=1.2, label="dense")
    plot_lines(
        cuts, "parameters", "test", "pruned", right, percent=True, legend="inside",
        labels=("Remaining parameters", "Test [%]"),
    )  # fmt: skip
    study.figure(left)


if __name__ == "__main__":
    run(main)
