"""Study 1. How few bits do the weights of ResNet-20 bear, before finetuning and after?

Published weights (91.73 %), the residual blocks at 6 to 2 bits, first convolution, last linear layer and all
activations float. Published accuracies of the min-max grid per tensor are those of a course's lab; so are the ones
after 10 epochs at 4 and 3 bits and 20 at 2, from a model of 91.51 %. Of the readings of "affine" the plain formula
(`minmax`) gives the published counts; an integral zero point (`affine`) and re-estimated norms give others.
"""

from __future__ import annotations

from typing import Any

from reports import plot_lines
from reports.experiments import Experiment, run
from reports.figures.theme import new_panels
from workloads import load_model
from workloads.compress import LayerChoice, apply, load_weights, uniform_config
from workloads.training import Accuracy, TrainSettings, finetune, ladder, measure_accuracy

NEEDS = ("cifar10", "resnet20_cifar10.npz")
FLOAT = ("conv1", "fc")
WIDTHS = (6, 5, 4, 3, 2)
#: name -> (quantizer, granularity, norms re-estimated on 256 training images)
LADDERS = {
    "min-max": ("minmax", "tensor", False),
    "affine, integral zero point": ("affine", "tensor", False),
    "LSQ": ("lsq", "tensor", False),
    "LSQ per channel": ("lsq", "channel", False),
    "LSQ per channel, norms": ("lsq", "channel", True),
}
BEFORE = {6: 0.9174, 5: 0.9123, 4: 0.8807, 3: 0.3465, 2: 0.1000}
AFTER = {4: 0.9127, 3: 0.9064, 2: 0.8654}
#: Epochs by width, per ladder that is finetuned.
EPOCHS = {"LSQ per channel": {4: 2, 3: 3, 2: 5}, "min-max": {4: 1, 3: 2, 2: 4}}
RATES = {4: 0.01, 3: 0.01, 2: 0.02}


def main(study: Experiment) -> None:
    data = study.data("cifar10", normalize="imagenet")
    model = load_model("resnet20", shortcut="pad").eval()
    load_weights(study.weights("resnet20_cifar10.npz"), model)

    def choice(name: str) -> LayerChoice:
        quantizer, granularity, _ = LADDERS[name]
        return LayerChoice(quantizer=quantizer, granularity=granularity)

    def before(name: str, bits: int) -> Accuracy:
        return ladder(
            model, data.test, [bits], like=choice(name), keep_float=FLOAT, calibration=data.train.x[:256],
            norms=LADDERS[name][2], device=study.device, memory_format="channels_last",
        )[0].score  # fmt: skip

    def after(name: str, bits: int, settings: TrainSettings) -> dict[str, Any]:
        like = LayerChoice(**{**choice(name).to_dict(), "w_bits": bits})
        compressed = apply(model, uniform_config(model, like, FLOAT), seed=0)
        history = finetune(compressed, data.train, settings, device=study.device).history
        score = measure_accuracy(compressed, data.test, study.device, memory_format="channels_last")
        return {"test": score, "losses": [record.loss for record in history]}

    full = study.once(before, name="LSQ", bits=32)
    rows = [
        {"grid": name, "bits": bits, "test": study.once(before, name=name, bits=bits),
         "published": BEFORE[bits] if name == "min-max" else None}
        for name in LADDERS for bits in WIDTHS
    ]  # fmt: skip
    tuned = []
    for name, epochs in EPOCHS.items():
        for bits in epochs:
            settings = TrainSettings(
                epochs=study.choose(epochs[bits], 1), lr=RATES[bits], batch_size=128, warmup_epochs=0.1, crop=4,
                flip=True, amp="bf16", memory_format="channels_last", seed=study.seed,
            )  # fmt: skip
            found = study.once(after, name=name, bits=bits, settings=settings)
            tuned.append({
                "grid": name, "bits": bits, "epochs": settings.epochs, "test": found["test"], "published": AFTER[bits],
                "published_epochs": {4: 10, 3: 10, 2: 20}[bits], "loss": round(found["losses"][-1], 4),
            })  # fmt: skip
    study.table("before finetuning", [{"grid": "float", "bits": 32, "test": full, "published": 0.9173}, *rows])
    study.table("after finetuning", tuned)
    study.cut("Epochs: 2, 3 and 5 at 4, 3 and 2 bits (min-max 1, 2 and 4) in the place of 10, 10 and 20.")
    study.cut("45,000 of the 50,000 training images; the float model had seen all.")
    draw(study, rows, tuned)
    tell(study, full, rows, tuned)


def draw(study: Experiment, rows: list[dict[str, Any]], tuned: list[dict[str, Any]]) -> None:
    """Left everything before finetuning, right what finetuning makes of it; both with the published points."""
    left, right = new_panels(2, 11, 4.6)
    shown = [{**row, **interval(row["test"])} for row in rows]
    plot_lines(shown, "bits", "test", "grid", left, percent=True, legend="inside", labels=("Weight bits", "Test accuracy before finetuning [%]"))
    published = [{"bits": bits, "test": value, "grid": "published"} for bits, value in BEFORE.items()]
    plot_lines(published, "bits", "test", "grid", left, percent=True, joined=False, legend="inside")


def interval(score: Accuracy) -> dict[str, float]:
    return {"test": score.value, "test_low": score.interval.low, "test_high": score.interval.high}
