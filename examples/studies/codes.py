"""Study 6. How small does ResNet-20 get as NumPy codes of 8, 4 and 2 bits, and does stochastic rounding help?

Every parameter of the published network (weights, norms, biases) as packed codes between its extremes; sizes count
codes and scales. Ten stochastic draws stand beside rounding to the nearest, and beside the network of their mean.
The published 91.73 % is of Idelbayev, github.com/akamaster/pytorch_resnet_cifar10.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from torch import nn

from reports import plot_lines
from reports.experiments import Experiment, run
from reports.figures.theme import new_panels
from reports.units import percent
from workloads import load_model
from workloads.compress import code_arrays, load_weights
from workloads.training import Accuracy, measure_accuracy

NEEDS = ("cifar10", "resnet20_cifar10.npz")
BITS = (8, 4, 2)


@dataclass(frozen=True)
class Work:
    study: Experiment

    @cached_property
    def test(self) -> Any:
        return self.study.data("cifar10", normalize="imagenet").test

    @cached_property
    def model(self) -> nn.Module:
        model = load_model("resnet20", shortcut="pad")
        load_weights(self.study.weights("resnet20_cifar10.npz"), model)
        return model.eval()

    @cached_property
    def arrays(self) -> dict[str, Any]:
        return {name: value.detach().numpy().copy() for name, value in self.model.named_parameters()}

    def accuracy(self, images: int, arrays: dict[str, Any] | None = None) -> Accuracy:
        values = (arrays or self.arrays).items()
        self.model.load_state_dict({name: torch.from_numpy(value) for name, value in values}, strict=False)
        return measure_accuracy(self.model, self.test.take(images), memory_format="channels_last")

    def coded(self, bits: int, form: str, images: int) -> dict[str, Any]:
        coded = code_arrays(self.arrays, bits, rows=form == "channel")
        size = coded.save(self.study.file(f"codes-{bits}-{form}.npz"))
        return {
            "float_bytes": coded.float_bytes, "code_bytes": coded.code_bytes, "scale_bytes": coded.parameter_bytes,
            "ratio": coded.ratio, "file_bytes": size, "ratio_file": coded.float_bytes / size,
            "test": self.accuracy(images, coded.values()),
        }  # fmt: skip

    def drawn(self, bits: int, draws: int, images: int) -> list[dict[str, Any]]:
        """The nearest codes, the draws, and the network of the mean of all draws."""
        codes = partial(code_arrays, self.arrays, bits, rows=True)
        found = [codes().values(), *(codes(rounding="stochastic", seed=seed).values() for seed in range(draws))]
        found.append({name: np.mean([draw[name] for draw in found[1:]], 0, np.float32) for name in self.arrays})
        gaps = [np.concatenate([np.ravel(one[name] - self.arrays[name]) for name in one]) for one in found]
        return [
            {"test": self.accuracy(images, one), "rms_error": np.sqrt(np.mean(np.square(gap)))}
            for one, gap in zip(found, gaps, strict=True)
        ]


def main(study: Experiment) -> None:
    work, images, some = Work(study), study.choose(10_000, 100), study.choose(2500, 50)
    plain = study.once(work.accuracy, images=images)
    rows: list[dict[str, Any]] = [{"bits": 32, "scales_per": None, "test": plain, "published": 0.9173}]
    for form, bits in product(("array", "channel"), BITS):
        found = study.once(work.coded, bits=bits, form=form, images=images)
        rows.append({"bits": bits, "scales_per": form, **found})
    study.table("sizes", rows)
    study.cut(f"Roundings are compared on {some:,} test images.")
    table, points = [], []
    for bits in BITS[1:]:
        near, *drawn, mean = study.once(work.drawn, bits=bits, draws=study.choose(10, 2), images=some)
        tests = [row["test"].value for row in drawn]
        table.append({"bits": bits, "nearest": near["test"], "draws": fmean(tests), "deviation": stdev(tests),
                      "mean_of_draws": mean["test"], "rms_nearest": near["rms_error"],
                      "rms_draw": drawn[0]["rms_error"], "rms_mean_of_draws": mean["rms_error"]})  # fmt: skip
        shown = [("nearest", near), *(("draws", draw) for draw in drawn), ("mean of draws", mean)]
        points += [{"of": kind, "bits": f"{bits} bits", "test": row["test"].value} for kind, row in shown]
    study.table("rounding", table)
    sizes, draws = new_panels(2, 11, 4.2)
    plot_lines(rows[1:], "ratio_file", "test", "scales_per", sizes, percent=True,
               labels=("Times smaller in the file, scales per array or channel", "Test [%]"))  # fmt: skip
    plot_lines(points, "of", "test", "bits", draws, percent=True, joined=False, labels=("", "Test [%]"))
    study.figure(sizes)
    times = ", ".join(f"{row['ratio']:.1f}" for row in rows[-len(BITS) :])
    left = ", ".join(percent(row["test"].value) for row in rows[-len(BITS) :])
    study.finding(
        f"Codes of 8, 4, 2 bits, scales per channel, make the network of {percent(plain.value)} {times} times "
        f"smaller at {left}; at 2 bits draws reach {percent(fmean(tests))} (deviation {percent(stdev(tests))}), "
        f"the nearest codes {percent(near['test'].value)}, the draws' mean {percent(mean['test'].value)}."
    )


if __name__ == "__main__":
    run(main)
