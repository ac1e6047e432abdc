"""What a QAT step costs beside the float step: ResNet-20, W4A4, batch 128, CIFAR shapes.

A step is forward, loss, backward and an SGD step. The float and the quantized models take turns, round by round, so
that a crowded machine slows all of them alike; the ratios are those of the fastest rounds and of the medians. The
threads are those of OMP_NUM_THREADS.

With --fast the same on the CPU for the ways of `TrainSettings` to make a step shorter: `memory_format`, `amp`, and
both (benchmarks/results/qat_fast.json). There processor time counts, which neighbours disturb less.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
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
from workloads.training.step.layout import laid_out
from workloads.training.step.precision import Precision

BATCH, BITS = 128, 4
QUANTIZERS = ("lsq", "minmax")
#: Name -> (amp, memory format).
FAST = {
    "usual": ("off", "contiguous"),
    "channels_last": ("off", "channels_last"),
    "bf16": ("bf16", "contiguous"),
    "bf16, channels_last": ("bf16", "channels_last"),
}
DEVICES, MODES = ("cpu", "cuda"), ("eager", "compiled")
NOT_MEASURED = "not measured"
#: Of the QAT step over the float step.
TARGETS = {"cpu eager": 1.6, "cpu compiled": 1.3, "cuda compiled": 1.15}

Row = dict[str, Any]
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


def measure(device: str, mode: str, rounds: int) -> list[Row]:
    """One row per model: seconds of its step, and their ratio to the float step's."""
    if device == "cuda" and not torch.cuda.is_available():
        return [{"device": device, "mode": mode, "model": name, "step": NOT_MEASURED} for name in QUANTIZERS]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, 32, 32, generator=generator).to(device)
    labels = torch.randint(0, 10, (BATCH,), generator=generator).to(device)
    steps = {
        name: training_step(model, images, labels, mode == "compiled") for name, model in models(images).items()
    }
    first = {name: seconds(step) for name, step in steps.items()}
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(seconds(step))
    fastest, middle = min(times["float"]), statistics.median(times["float"])
    return [
        {
            "device": device,
            "mode": mode,
            "model": name,
            "first_step_s": round(first[name], 2),
            "min_s": round(min(values), 4),
            "median_s": round(statistics.median(values), 4),
            "ratio_of_min": round(min(values) / fastest, 3),
            "ratio_of_median": round(statistics.median(values) / middle, 3),
        }
        for name, values in times.items()
    ]


def fast_models(images: torch.Tensor) -> dict[str, nn.Module]:
    """`float`, W4A4 with learned steps, and W4 alone between the extremes."""
    found = models(images)
    layers = [name for name, module in found["float"].named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    config = CompressionConfig.from_bits(dict.fromkeys(layers, BITS), quantizer="minmax")
    return {
        "float": found["float"], f"W{BITS}A{BITS} lsq": found["lsq"],
        f"W{BITS} minmax": apply(found["float"], config),
    }  # fmt: skip


def fast_step(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, amp: str, memory_format: str) -> Step:
    """One step, as `TrainSettings(amp=..., memory_format=...)` takes it."""
    own, images = copy.deepcopy(model).train(), laid_out(images, memory_format)
    optimizer = torch.optim.SGD(own.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    precision = Precision(amp, images.device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with precision.autocast():
            scores = own(images)
        precision.backward(functional.cross_entropy(scores.float(), labels), optimizer)
        precision.step(optimizer)

    return step


def measure_fast(rounds: int) -> list[Row]:
    """One row per model and way: processor time of its step, and its share of the model's usual step."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, 32, 32, generator=generator)
    labels = torch.randint(0, 10, (BATCH,), generator=generator)
    steps = {
        (name, way): fast_step(model, images, labels, *FAST[way])
        for name, model in fast_models(images).items()
        for way in FAST
    }
    times: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
    for number in range(rounds + 1):
        for key, step in steps.items():
            began = time.process_time()
            step()
            if number:
                times[key].append(time.process_time() - began)
    return [
        {
            "model": name,
            "way": way,
            "min_s": round(min(values), 4),
            "median_s": round(statistics.median(values), 4),
            "share_of_min": round(min(values) / min(times[name, "usual"]), 3),
            "share_of_median": round(statistics.median(values) / statistics.median(times[name, "usual"]), 3),
        }
        for (name, way), values in times.items()
    ]


def seconds(step: Step) -> float:
    """Wall time of one call [s]."""
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def show(row: Row) -> None:
    place = f"{row['device']:5} {row['mode']:9} {row['model']:7}"
    if "min_s" not in row:
        print(f"{place} {NOT_MEASURED}", flush=True)
        return
    target = TARGETS.get(f"{row['device']} {row['mode']}")
    limit = f" (target {target:g})" if target and row["model"] != "float" else ""
    print(
        f"{place} min {row['min_s']:.3f} s, median {row['median_s']:.3f} s: "
        f"{row['ratio_of_min']:.2f}x and {row['ratio_of_median']:.2f}x the float step{limit}",
        flush=True,
    )


def record(name: str, rounds: int, rows: list[Row]) -> Row:
    """What was measured, and how."""
    return {
        "benchmark": name,
        **provenance(["torch"]),
        "model": "resnet20",
        "batch": BATCH,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2),
        "seeds": [0],
        "rows": rows,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; with --store also write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=20, help="steps of each model that are timed")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), metavar="MODE")
    parser.add_argument("--fast", action="store_true", help="memory formats and bf16 on the CPU instead")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/qat.json, or qat_fast.json")
    options = parser.parse_args(arguments)
    rows = []
    if options.fast:
        rows = measure_fast(options.rounds)
        for row in rows:
            print(
                f"{row['model']:10} {row['way']:20} min {row['min_s']:.3f} s, median {row['median_s']:.3f} s: "
                f"{row['share_of_min']:.2f} and {row['share_of_median']:.2f} of the usual step"
            )
        if options.store:
            print(f"stored in {store('qat_fast', record('qat_fast', options.rounds, rows)).name}")
        return 0
    for device in DEVICES:
        for mode in options.modes:
            for row in measure(device, mode, options.rounds):
                rows.append(row)
                show(row)
    if options.store:
        data = record("qat", options.rounds, rows) | {"bits": f"W{BITS}A{BITS}", "targets": TARGETS}
        print(f"stored in {store('qat', data).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
