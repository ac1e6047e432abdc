"""Study 12. How good is a network a fraction of the size, and how much does a teacher help?

A separable student of 222,000 parameters learns alone, from a teacher trained from scratch on the same images, and
from a better one (published ResNet-56, 93.39 %), with T = 20 and alpha = 0.5; an 8-bit file holds all of it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from reports import plot_lines
from reports.experiments import FAST, Experiment, run
from workloads import load_model
from workloads.compress import load_compressed, load_weights, save_compressed
from workloads.compress.pruning import model_size
from workloads.rewrite import SeparableConv2d
from workloads.training import TrainSettings, finetune, measure_accuracy, pretrain

NEEDS = ("cifar10", "resnet56_cifar10.npz")
#: Output channels and stride of the separable layers behind the first convolution.
BLOCKS = ((64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1))


def student(seed: int) -> nn.Module:
    """(B, 3, 32, 32) -> (B, 10)."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    channels = 32
    for out, stride in BLOCKS:
        layers += [SeparableConv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def main(study: Experiment) -> None:
    data = study.data("cifar10", normalize="imagenet", **study.choose({"limit": 10_000}, {}))
    settings = TrainSettings.from_scratch(epochs=study.choose(6, 1), seed=study.seed, **FAST)

    def scratch_teacher() -> nn.Module:
        model = load_model("resnet20", seed=study.seed)
        pretrain(model, data, settings, study.file("teacher.safetensors"), device=study.device)
        return model

    def better_teacher() -> nn.Module:
        model = load_model("resnet56", shortcut="pad")
        load_weights(study.weights("resnet56_cifar10.npz"), model)
        return model

    teachers = {"none": None, "scratch ResNet-20": scratch_teacher, "published ResNet-56": better_teacher}

    def taught(by: str, settings: TrainSettings) -> dict[str, Any]:
        model, teacher = student(study.seed), teachers[by]
        finetune(model, data.train, settings, teacher=teacher() if teacher else None, device=study.device)
        file = study.file(f"student-{by.replace(' ', '-')}.safetensors")
        save_compressed(file, model, bits=8)
        small = student(study.seed)
        load_compressed(file, small)
        return {
            "network": f"student, teacher: {by}", "parameters": model_size(model, data.example()).parameters,
            "mb": file.stat().st_size / 1e6,
            "test_float": measure_accuracy(model, data.test, study.device),
            "test": measure_accuracy(small, data.test, study.device),
        }  # fmt: skip

    def alone(name: str) -> dict[str, Any]:
        model = (scratch_teacher if name == "scratch ResNet-20" else better_teacher)()
        accuracy = measure_accuracy(model, data.test, study.device)
        size = model_size(model, data.example()).parameters
        return {"network": name, "parameters": size, "mb": size * 4 / 1e6, "test_float": accuracy, "test": accuracy}

    rows = [study.once(alone, name=name) for name in teachers if name != "none"]
    for by in teachers:
        distilled = {} if by == "none" else {"distill_weight": 0.5, "distill_temperature": 20.0}
        chosen = TrainSettings.from_scratch(epochs=settings.epochs, seed=study.seed, **FAST, **distilled)
        rows.append(study.once(taught, by=by, settings=chosen))
    study.table("networks", rows)
    study.cut("222,000 parameters, not 265,000: at 8 bits with scales and norms those do not fit into 0.28 MB.")
    study.cut("10,000 of the 45,000 training images and 6 epochs, for the students and the scratch teacher.")
    study.figure(plot_lines(rows, "mb", "test", "network", log="x", percent=True, joined=False,
                            labels=("File [MB], logarithmic", "Test accuracy [%]")))  # fmt: skip
    scratch, better, lone, by_scratch, by_better = rows
    study.finding(
        f"The student's 8-bit file takes {lone['mb']:.3f} MB, {better['mb'] / lone['mb']:.0f} times less than "
        f"ResNet-56; it reaches {lone['test'].value:.1%} alone, {by_scratch['test'].value:.1%} taught by a scratch "
        f"teacher of {scratch['test'].value:.1%} and {by_better['test'].value:.1%} by one of "
        f"{better['test'].value:.1%}; 8 bits change "
        f"{(lone['test'].value - lone['test_float'].value) * 100:+.2f} points."
    )


if __name__ == "__main__":
    run(main)
