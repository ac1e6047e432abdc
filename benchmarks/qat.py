"""What a QAT step costs beside the float step: ResNet-20, W4A4, batch 128, CIFAR shapes.

    OMP_NUM_THREADS=1 python benchmarks/qat.py [--rounds N] [--skip-compiled]

Writes results/qat.json beside this file. A step is forward, loss, backward and an SGD step. The float and the
quantized models take turns, round by round, so that a crowded machine slows all of them alike; the ratios are those
of the fastest rounds and of the medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from torch import nn
from torch.nn import functional

from benchmarks.provenance import provenance, store
from workloads import load_model
from workloads.compress import CompressionConfig, apply, calibrate
from workloads.training import compile_training

BATCH = 128
BITS = 4
QUANTIZERS = ("lsq", "minmax")
NOT_MEASURED = "not measured"
#: Of the QAT step over the float step.
TARGETS = {"cpu eager": 1.6, "cpu compiled": 1.3, "cuda compiled": 1.15}

Step = Callable[[], object]


def models(images: torch.Tensor) -> dict[str, nn.Module]:
    """`float`, and one W4A4 model per quantizer, calibrated."""
    torch.manual_seed(0)
    plain = load_model("resnet20").to(images.device)
    layers = [name for name, module in plain.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    found = {"float": plain}
    for quantizer in QUANTIZERS:
        config = CompressionConfig.from_bits(dict.fromkeys(layers, BITS), a_bits=BITS, quantizer=quantizer)
        found[quantizer] = apply(plain, config)
        calibrate(found[quantizer], images)
    return found


def training_step(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, compiled: bool) -> Step:
    """One step, as `TrainSettings(compile=...)` takes it."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    forward = compile_training(model, images.device) if compiled else model

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([functional.cross_entropy(forward(images), labels)])
        optimizer.step()
        if images.is_cuda:
            torch.cuda.synchronize()

    return step


def measure(device: str, compiled: bool, rounds: int) -> dict[str, Any]:
    """Seconds of the step of each model, and its ratio to the float step."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, 32, 32, generator=generator).to(device)
    labels = torch.randint(0, 10, (BATCH,), generator=generator).to(device)
    steps = {name: training_step(model, images, labels, compiled) for name, model in models(images).items()}
    first: dict[str, float] = {}
    for name, step in steps.items():
        began = time.perf_counter()
        step()
        first[name] = time.perf_counter() - began
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - began)
    return {name: _row(values, times["float"], first[name]) for name, values in times.items()}


def _row(values: list[float], base: list[float], first: float) -> dict[str, float]:
    return {
        "first_step_s": round(first, 2),
        "min_s": round(min(values), 4),
        "median_s": round(statistics.median(values), 4),
        "ratio_of_min": round(min(values) / min(base), 3),
        "ratio_of_median": round(statistics.median(values) / statistics.median(base), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--skip-compiled", action="store_true")
    arguments = parser.parse_args()
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    rows: dict[str, Any] = {"cuda eager": NOT_MEASURED, "cuda compiled": NOT_MEASURED}
    for device in devices:
        for kind in ("eager", "compiled"):
            if kind == "compiled" and arguments.skip_compiled:
                rows[f"{device} compiled"] = NOT_MEASURED
                continue
            rows[f"{device} {kind}"] = measure(device, kind == "compiled", arguments.rounds)
            print(f"{device} {kind}: {rows[f'{device} {kind}']}", flush=True)
    report = provenance(["torch"]) | {
        "model": "resnet20", "batch": BATCH, "bits": f"W{BITS}A{BITS}", "rounds": arguments.rounds,
        "threads": torch.get_num_threads(), "load_average": round(os.getloadavg()[0], 2),
        "targets": TARGETS, "steps": rows,
    }  # fmt: skip
    print(f"wrote {store('qat', report).name}")


if __name__ == "__main__":
    main()
