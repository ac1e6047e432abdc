"""Study 4. How much of its accuracy does ResNet-20 keep at W4A4 and W2A2, and do integers give the same sums?

Published weights of CIFAR-10, finetuned with learned steps (LSQ, a step per tensor). W4A4 leaves the first and the
last layer float; W2A2 quantizes the first convolution too, with the image in 2 bits, or in the 8 bits that it has.
Integers of the second convolution, times their scales, stand beside the sums of the fake-quantized layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from reports import plot_lines
from reports.experiments import FAST, Experiment, run
from reports.figures.theme import new_panels
from workloads import load_model
from workloads.compress import CompressionConfig, LayerChoice, apply, calibrate, load_weights
from workloads.integer import LayerIntegers, layer_integers
from workloads.training import Accuracy, TrainSettings, measure_accuracy

NEEDS = ("cifar10", "resnet20_cifar10.npz")
SECOND = "layer1.0.conv1"
PIXEL = 16  # row and column of the sums that are shown
PUBLISHED = 0.9173  # of the float weights: Idelbayev, github.com/akamaster/pytorch_resnet_cifar10
AIM = 0.90
#: name -> bits of the blocks, weights and image of the first convolution, epochs; fixed beforehand.
MODELS = {"W4A4": (4, 32, 32, 2), "W2A2 image 2": (2, 2, 2, 5), "W2A2 image 8": (2, 2, 8, 5)}


@dataclass(frozen=True)
class Work:
    """The steps."""

    study: Experiment

    @cached_property
    def data(self) -> Any:
        return self.study.data("cifar10", normalize="imagenet")

    def quantized(self, bits: int, first: tuple[int, int]) -> nn.Module:
        model = load_model("resnet20", shortcut="pad")
        load_weights(self.study.weights("resnet20_cifar10.npz"), model)
        choices = {"conv1": LayerChoice(w_bits=first[0], a_bits=first[1]), "layer*.conv*": bits}
        qmodel = apply(model.eval(), CompressionConfig.from_bits(choices, a_bits=bits))
        calibrate(qmodel, self.data.train.x[: self.study.choose(256, 32)])
        return qmodel

    def published(self) -> Accuracy:
        return measure_accuracy(self.quantized(32, (32, 32)), self.data.test)

    def trained(self, name: str, settings: TrainSettings) -> dict[str, Any]:
        bits, first_w, image, _ = MODELS[name]
        qmodel = self.quantized(bits, (first_w, image))
        before = measure_accuracy(qmodel, self.data.validation)
        self.study.train(name, qmodel, self.data.train.take(self.study.choose(50_000, 128)), settings)
        found = layer_integers(qmodel, SECOND, self.data.test.x[:1])
        scores = {"validation_before": before, "test": measure_accuracy(qmodel, self.data.test)}
        row = {**scores, "scale_x": found.scale_x, "scale_w": found.scale_w, **vars(found.error)}
        return {"row": row, **integers(found)}


def integers(found: LayerIntegers) -> dict[str, Any]:
    """What one pixel of filter 0 adds up from, the sums of all filters there, and some sums from everywhere."""
    seen = found.x_int[0, :, PIXEL - 1 : PIXEL + 2, PIXEL - 1 : PIXEL + 2].flatten(1)
    products = [
        {"channel": c, "x_int": str(x.tolist()), "w_int": str(w.tolist()), "sum": (x * w).sum()}
        for c, (x, w) in enumerate(zip(seen, found.w_int[0].flatten(1), strict=True))
    ]
    columns = {"psum_int": found.psum_int, "recovered": found.psum, "float": found.computed}
    sums = [{"filter": k, **{key: value[0, k, PIXEL, PIXEL] for key, value in columns.items()}} for k in range(16)]
    some = found.computed.flatten()[::64], (found.psum - found.computed).flatten()[::64]
    sample = [{"float": own, "difference": off} for own, off in zip(*some, strict=True)]
    return {"products": products, "sums": sums, "sample": sample}


def main(study: Experiment) -> None:
    work, found = Work(study), {}
    free = study.once(work.published)
    rows: list[dict[str, Any]] = [{"model": "float", "epochs": 0, "test": free, "published": PUBLISHED}]
    for name, (*_, full) in MODELS.items():
        settings = TrainSettings(epochs=study.choose(full, 1), lr=0.02, seed=study.seed, batch_size=128, **FAST)
        found[name] = one = study.once(work.trained, name=name, settings=settings)
        rows.append({"model": name, "epochs": settings.epochs, "aim": AIM, **one["row"]})
    study.table("models", rows)
    study.table("psums of filter 0 of W4A4 at one pixel, by channel", found["W4A4"]["products"])
    study.table("psums of all filters of W4A4 at this pixel", found["W4A4"]["sums"])
    study.cut("2 epochs at 4 bits and 5 at 2 bits, in place of hundreds.")
    accuracy, sums = new_panels(2, 11, 4)
    plot_lines(rows, "model", "test", None, accuracy, percent=True, joined=False,
               labels=("", "Test [%]"))  # fmt: skip
    accuracy.axhline(100 * AIM, linestyle=":")
    points = [{"model": name, **pair} for name, one in found.items() for pair in one["sample"]]
    plot_lines(points, "float", "difference", "model", sums, joined=False,
               labels=("Psums of the second convolution, float", "Recovered from integers - float"))  # fmt: skip
    study.figure(accuracy)
    start, four, two, eight = (f"{100 * row['test'].value:.2f} %" for row in rows)
    worst = max(row["max_error"] / row["max_psum"] for row in rows[1:])
    study.finding(
        f"From {start}, W4A4 ends at {four} and W2A2 at {two}, with the image in 8 bits at {eight}; psums "
        f"recovered from integers are within {worst:.1e} of the largest from those in float32."
    )


if __name__ == "__main__":
    run(main)
