"""Study 11. What does a depthwise-separable convolution save, and what does it cost in accuracy at equal size?

One layer: parameters and MACs against theory, and the time of each form (`groups`, and without it a loop and a
product of patches, which give the same numbers). Then a plain, a grouped and a separable network of 1 MB each.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch import nn

from reports import plot_bars
from reports.experiments import FAST, Experiment, run
from reports.figures.theme import new_panels
from workloads.compress.pruning import model_size
from workloads.rewrite import SeparableConv2d, to_grouped, to_separable
from workloads.training import TrainSettings, finetune, measure_accuracy

NEEDS = ("cifar10",)
C, K, SIZE = 64, 128, 16
BYTES = 1_000_000
KINDS = ("standard", "grouped", "separable")
FORMS = ("groups", "loop", "unfold")


def plain(width: int) -> nn.Module:
    """Six 3 x 3 convolutions with norms, halving the image three times; (B, 3, 32, 32) -> (B, 10)."""
    layers: list[nn.Module] = []
    channels = 3
    for number, out in enumerate((width, width, 2 * width, 2 * width, 4 * width, 4 * width)):
        stride = 2 if number in (0, 2, 4) else 1
        layers += [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def network(kind: str, width: int, seed: int) -> nn.Module:
    """The plain network, its convolutions behind the first in 4 groups, or separable."""
    torch.manual_seed(seed)
    model, x = plain(width), torch.zeros(1, 3, 32, 32)
    if kind == "separable":
        return to_separable(model, x, skip="0", init="random", seed=seed)[0]
    return to_grouped(model, x, 4, skip="0", init="random", seed=seed)[0] if kind == "grouped" else model


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def layers(repeats: int) -> list[dict[str, Any]]:
    """Parameters, MACs, median milliseconds for 16 images, and the difference to `groups`, of each form."""
    x = torch.randn(16, C, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    made: dict[str, nn.Module] = {"standard": nn.Conv2d(C, K, 3, padding=1, bias=False)}
    made |= {form: SeparableConv2d(C, K, 3, padding=1, bias=False, form=form) for form in FORMS}
    rows = []
    for name, layer in made.items():
        if name != "standard":
            layer.load_state_dict(made["groups"].state_dict())
        theory = C * K * 9 if name == "standard" else C * (9 + K)
        size, times = model_size(layer, x[:1]), []
        for _ in range(repeats):
            start = time.perf_counter()
            with torch.inference_mode():
                out = layer(x)
            times.append((time.perf_counter() - start) * 1e3)
        rows.append({
            "layer": name, "parameters": size.parameters, "theory": theory, "macs": size.macs,
            "macs_theory": theory * SIZE * SIZE, "median_ms": round(statistics.median(times), 3),
            "difference": None if name == "standard" else float((out - made["groups"](x)).detach().abs().max()),
        })  # fmt: skip
    return rows


def main(study: Experiment) -> None:
    data = study.data("cifar10", **study.choose({"limit": 20_000}, {}))
    settings = TrainSettings.from_scratch(epochs=study.choose(10, 1), seed=study.seed, **FAST)

    def trained(kind: str, width: int, settings: TrainSettings) -> dict[str, Any]:
        model = network(kind, width, study.seed)
        finetune(model, data.train, settings, device=study.device)
        size = model_size(model, data.example())
        return {"kind": kind, "width": width, "parameters": size.parameters, "mb": size.parameters * 4 / 1e6,
                "macs": size.macs, "test": measure_accuracy(model, data.test, study.device)}  # fmt: skip

    rows = []
    for kind in KINDS:
        fitting = [width for width in range(8, 200, 4) if 4 * parameters(network(kind, width, 0)) <= BYTES]
        rows.append(study.once(trained, kind=kind, width=study.choose(fitting[-1], 8), settings=settings))
    layer_rows = study.once(layers, repeats=study.choose(51, 3))
    study.table("one layer", layer_rows)
    study.table("networks", rows)
    study.cut("20,000 of the 45,000 training images, 10 epochs.")
    panels = new_panels(2, 10, 4)
    plot_bars(rows, "kind", "test", None, panels[0], percent=True, labels=("About 1 MB each", "Test accuracy [%]"))
    plot_bars(layer_rows, "layer", "median_ms", None, panels[1], labels=("One layer", "Time of 16 images [ms]"))
    study.figure(panels[0])
    dense, separable, small, form = rows[0], rows[2], layer_rows[0], layer_rows[1]
    study.finding(
        f"A separable layer has {small['parameters'] / form['parameters']:.1f} times fewer weights and MACs, as in "
        f"theory, and takes {small['median_ms'] / form['median_ms']:.1f} times less time; at 1 MB the separable "
        f"network reaches {separable['test'].value:.1%} with {separable['macs'] / 1e6:.0f} M MACs, the standard "
        f"one {dense['test'].value:.1%} with {dense['macs'] / 1e6:.0f} M."
    )


if __name__ == "__main__":
    run(main)
