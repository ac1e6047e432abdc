"""Study 9. How little of a trained ResNet-20 must be trained to read other images?

Published CIFAR-10 weights with a new head, finetuned on few digits of MNIST in colour: the whole network, its last
stage, the head alone, and adapters of low rank. What is frozen keeps its norm statistics, unless it says so.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from torch import nn

from reports import plot_lines
from reports.experiments import Experiment, run
from reports.figures.theme import new_panels
from workloads import load_model
from workloads.compress import load_weights
from workloads.compress.pruning import model_size
from workloads.rewrite import add_lora, freeze, new_head
from workloads.training import DivergedError, TrainSettings, finetune, measure_accuracy

NEEDS = ("mnist", "resnet20_cifar10.npz")
RATES = (0.01, 0.1)
STAGES = ["layer1.*", "layer2.*", "layer3.*"]


def main(study: Experiment) -> None:
    epochs = study.choose(12, 1)
    parts = {"train": study.choose(1000, 64), "validation": study.choose(1000, 100)}
    data = study.data("mnist", size=32, channels=3, parts=parts)
    study.cut(f"{len(data.train):,} training images, {epochs} epochs; rates {RATES}, chosen on validation.")

    def trained() -> nn.Module:
        model = load_model("resnet20", shortcut="pad")
        load_weights(study.weights("resnet20_cifar10.npz"), model)
        return new_head(model, "fc", data.num_classes, seed=study.seed)

    def lora(layers: list[str], train: str) -> nn.Module:
        return add_lora(trained(), data.example(), layers=layers, rank=4, train=train, seed=study.seed)[0]

    methods: dict[str, Callable[[], nn.Module]] = {
        "from scratch": lambda: load_model("resnet20", shortcut="pad", seed=study.seed),
        "finetuned": trained,
        "last stage and head": lambda: freeze(trained(), ["layer3", "fc"]),
        "LoRA and head": lambda: lora(STAGES, "fc"),
        "head, statistics follow": lambda: freeze(trained(), "fc", norms=False),
        "head": lambda: freeze(trained(), "fc"),
        "LoRA head": lambda: lora(["fc"], "fc.bias"),
    }

    def adapted(method: str, rates: list[float], settings: TrainSettings) -> dict[str, Any]:
        """The rate with the best last epoch; only its network is tested. A rate that diverges is no candidate."""
        runs: list[Any] = []
        for rate in rates:
            model, how = methods[method](), replace(settings, lr=rate)
            with suppress(DivergedError):
                result = finetune(model, data.train, how, validation=data.validation, device=study.device)
                runs.append((result, rate, model))
        result, rate, model = max(runs, key=lambda one: one[0].history[-1].validation)
        return {
            "trainable": model_size(model, data.example()).trainable, "lr": rate,
            "diverged": len(rates) - len(runs),
            "validation": result.history[-1].validation, "seconds": round(result.wall_s, 1),
            "test": measure_accuracy(model, data.test, study.device, memory_format=settings.memory_format),
            "epochs": [{"epoch": e.epoch, "loss": e.loss, "validation": e.validation} for e in result.history],
        }  # fmt: skip

    settings = TrainSettings(
        epochs=epochs, batch_size=32, shift=2, warmup_epochs=epochs / 12, amp="bf16", memory_format="channels_last",
        seed=study.seed,
    )  # fmt: skip
    rows, curve = [], []
    for method in methods:
        found = study.once(adapted, method=method, rates=RATES, settings=settings)
        curve += [{"method": method, **row} for row in found.pop("epochs")]
        rows.append({"method": method, **found})
    draw(study, study.curves("epochs", curve), study.table("methods", rows))
    study.finding(said({row["method"]: row for row in rows}))


def said(rows: dict[str, dict[str, Any]]) -> str:
    """What every way gives, and how many parameters it trains."""
    parts = [f"{name} {row['test'].value:.1%} ({row['trainable']:,})" for name, row in rows.items()]
    whole = rows["finetuned"]["test"].interval
    tied = [n for n, row in rows.items() if n != "finetuned" and row["test"].interval.overlaps(whole)]
    return f"Test (trained parameters): {', '.join(parts)}. Tied with finetuning: {', '.join(tied) or 'none'}."


def draw(study: Experiment, curve: list[Any], rows: list[Any]) -> None:
    """Validation over the epochs; test against what trains."""
    left, right = new_panels(2, 11, 4.6)
    plot_lines(
        curve,
        "epoch",
        "validation",
        "method",
        left,
        percent=True,
        legend="none",
        labels=("Epoch", "Validation [%]"),
    )
    plot_lines(
        rows, "trainable", "test", "method", right, percent=True, log="x", joined=False, legend="inside",
        labels=("Trained parameters", "Test [%]"),
    )  # fmt: skip
    study.figure(left)


if __name__ == "__main__":
    run(main)
