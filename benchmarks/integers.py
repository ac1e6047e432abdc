"""Accuracy of networks in integers only, beside fake-quantized and float, and how narrow their accumulators may be.

    python benchmarks/integers.py [--mnist FILE] [--cifar DATA --weights FILE] [--images 1000] [--store]

ResNet-8 on the digits always; LeNet-5 on MNIST and the published ResNet-20 on CIFAR-10 where their files are given:
FILE and DATA are what `load_data("mnist" | "cifar10", path=...)` reads, --weights an .npz for `load_weights`.
8 bits are calibrated only, 4 bits trained with LSQ. Accuracies are of test images; accumulator widths are found on
validation images (100, no hit lost). `codes_differing`: of 32
images, codes that are not those of the same network in float64.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

if __name__ == "__main__":  # run as a file, from any folder
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.provenance import provenance, store
from hwmodel import evaluate, load_accelerator
from workloads import load_data, load_model, trace
from workloads.compress import CompressionConfig, apply, calibrate, load_weights, reestimate_norms
from workloads.data import Dataset
from workloads.integer import (
    Accumulator,
    IntegerNetwork,
    fake_quantized,
    integerize,
    psum_errors,
    record_psums,
    smallest_widths,
    with_accumulators,
)
from workloads.training import TrainSettings, finetune, measure_accuracy

VARIANTS: dict[str, dict[str, Any]] = {
    "fixed": {},
    "fixed, floor": {"rounding": "floor"},
    "fixed, 16-bit stream": {"stream_bits": 16},
    "reciprocal": {"multiplier": "reciprocal"},
}


def compressed(model: nn.Module, data: Dataset, bits: int) -> tuple[nn.Module, CompressionConfig]:
    """PTQ at 8 bits, QAT below."""
    names = [name for name, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    config = CompressionConfig.from_bits(
        dict.fromkeys(names, bits), a_bits=bits, quantizer="affine" if bits == 8 else "lsq", granularity="channel"
    )
    qmodel = apply(model, config)
    sample = data.train.x[:256]
    calibrate(qmodel, sample)
    if bits < 8:
        finetune(qmodel, data.train, TrainSettings(epochs=3, lr=0.02), device="cpu")
        reestimate_norms(qmodel, data.train.x[:1024])
    return qmodel.eval(), config


def differing(network: IntegerNetwork, x: torch.Tensor) -> tuple[int, int]:
    """(codes compared, codes that are not the float64 reference's)."""
    values, codes = fake_quantized(network, x), network.codes(x)
    compared = wrong = 0
    for step in network.steps[:-1]:
        steps = torch.round(values[step.name] / step.grid.scale) + step.grid.zero
        compared += steps.numel()
        wrong += int((steps != codes[step.name]).sum())
    return compared, wrong


def accuracies(
    name: str, bits: int, model: nn.Module, qmodel: nn.Module, data: Dataset, images: int
) -> dict[str, Any]:
    """One row: hits of every way to run the network."""
    test, sample = data.test.take(images), data.train.x[:256]
    compared, wrong = differing(integerize(qmodel, sample), data.test.x[:32])
    worst = max(psum_errors(qmodel, data.test.x[:32]), key=lambda error: error.relative)
    row: dict[str, Any] = {
        "network": name, "bits": f"W{bits}A{bits}", "images": len(test),
        "float": measure_accuracy(model, test).value, "fake-quantized": measure_accuracy(qmodel, test).value,
    }  # fmt: skip
    for label, options in VARIANTS.items():
        row[label] = measure_accuracy(integerize(qmodel, sample, **options), test).value
    return row | {
        "codes_compared": compared, "codes_differing": wrong,
        "psum_max_error": worst.max_error, "psum_max_relative_error": worst.relative,
    }  # fmt: skip


def widths(
    name: str, bits: int, model: nn.Module, qmodel: nn.Module, config: CompressionConfig, data: Dataset
) -> list[dict[str, Any]]:
    """Two rows: the accumulators that lose no hit, saturating and wrapping, and the energy on Eyeriss."""
    network = integerize(qmodel, data.train.x[:256])
    recorded = record_psums(network, data.validation.x[:32])
    accelerator, graph = load_accelerator("eyeriss"), trace(model, data.test.x[:1])

    def energy_pj(layers: dict[str, int]) -> float:
        return evaluate(graph, accelerator, with_accumulators(config, layers)).energy_pj

    wide = energy_pj(dict.fromkeys(network.layers, 32))
    test, rows = data.test.take(200), []
    exact = measure_accuracy(network, test).value
    for overflow in ("wrap", "saturate"):
        found = smallest_widths(network, data.validation.take(100), overflow=overflow)
        rows.append({
            "network": name, "bits": f"W{bits}A{bits}", "overflow": overflow, "chunk": found.chunk,
            "one_width": found.network, "layer_min": min(found.layers.values()),
            "layer_max": max(found.layers.values()), "guaranteed": max(item.guaranteed_bits for item in recorded),
            "worst": max(item.worst_bits for item in recorded),
            "test_images": len(test), "test_accuracy_wide": exact,
            "test_accuracy": measure_accuracy(registers(network, found.layers, overflow), test).value,
            "energy_32_uj": wide / 1e6, "energy_uj": energy_pj(dict(found.layers)) / 1e6,
            "layers": dict(found.layers),
        })  # fmt: skip
    return rows


def registers(network: IntegerNetwork, layers: Any, overflow: str) -> IntegerNetwork:
    """The network with these accumulators."""
    return network.with_registers(
        {name: Accumulator(bits=width, overflow=overflow, chunk=16) for name, width in layers.items()}
    )


def cases(options: argparse.Namespace) -> list[tuple[str, nn.Module, Dataset, tuple[int, ...]]]:
    """(name, trained float model, data, widths to try)."""
    digits = load_data("digits", size=32)
    resnet8 = load_model("resnet8", in_channels=1)
    finetune(resnet8, digits.train, TrainSettings.from_scratch(epochs=12), device="cpu")
    found: list[tuple[str, nn.Module, Dataset, tuple[int, ...]]] = [("resnet8/digits", resnet8, digits, (8, 4))]
    if options.mnist:
        mnist = load_data("mnist", path=options.mnist, size=32, limit=10_000)
        lenet = load_model("lenet5")
        finetune(lenet, mnist.train, TrainSettings.from_scratch(epochs=4, shift=0), device="cpu")
        found.append(("lenet5/mnist", lenet, mnist, (8, 4)))
    if options.cifar and options.weights:
        cifar = load_data("cifar10", path=options.cifar, normalize="imagenet")
        resnet20 = load_model("resnet20", shortcut="pad")
        load_weights(options.weights, resnet20)
        found.append(("resnet20/cifar10", resnet20, cifar, (8,)))
    return found


def show(row: dict[str, Any]) -> None:
    """One line."""
    print(
        ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items() if k != "layers")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--cifar", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--images", type=int, default=1000, help="test images")
    parser.add_argument("--store", action="store_true", help="write results/integers.json")
    options = parser.parse_args()
    start = time.perf_counter()
    rows, accumulators = [], []
    for name, model, data, bits in cases(options):
        for width in bits:
            qmodel, config = compressed(model, data, width)
            rows.append(accuracies(name, width, model, qmodel, data, options.images))
            show(rows[-1])
            for row in widths(name, width, model, qmodel, config, data):
                accumulators.append(row)
                show(row)
    if options.store:
        seconds = round(time.perf_counter() - start, 1)
        made = provenance(("torch", "numpy"))
        store("integers", {
            "benchmark": "integers", **made, "seeds": [0], "seconds": seconds, "rows": rows,
            "accumulators": accumulators,
        })  # fmt: skip


if __name__ == "__main__":
    main()
