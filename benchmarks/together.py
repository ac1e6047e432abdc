"""What a candidate costs alone and among many: processor time of a finetuning, from configuration to score.

A small CNN and ResNet-8 on digits. The plain loop trains the float model with torch alone, the product's one run is
`Scorer.qat`, many are `Scorer.qat_many`; they take turns, round by round, so that a crowded machine slows all of
them alike, and the fastest rounds count. The configurations are of mixed widths and densities, each with its own
seed. The threads are those of OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.provenance import provenance, store
from workloads import load_data, load_model
from workloads.compress import CompressionConfig, LayerChoice
from workloads.training import Scorer, TrainSettings, device_text

MODELS = ("small", "resnet8")
WIDTHS, DENSITIES = (2, 3, 4, 8), (1.0, 0.5)

Row = dict[str, Any]


class SmallNet(nn.Module):
    """Four convolutions of 8 to 32 channels with batch norms, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((1, 8, 1), (8, 16, 2), (16, 16, 1), (16, 32, 2))
        self.body = nn.Sequential(*(self._block(*size) for size in sizes))
        self.fc = nn.Linear(32, 10)

    @staticmethod
    def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 10)."""
        scores: Tensor = self.fc(self.body(x).mean((2, 3)))
        return scores


def model_of(name: str) -> nn.Module:
    """The float model, from seed 0."""
    torch.manual_seed(0)
    return SmallNet() if name == "small" else load_model(name, in_channels=1)


def configs_of(model: nn.Module, count: int) -> list[CompressionConfig]:
    """Configurations of every layer's own widths and density, from seed 0."""
    draw = random.Random(0)
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]

    def choice() -> LayerChoice:
        return LayerChoice(w_bits=draw.choice(WIDTHS), a_bits=draw.choice(WIDTHS), density=draw.choice(DENSITIES))

    return [CompressionConfig({name: choice() for name in names}) for _ in range(count)]


def plain_loop(model: nn.Module, split: Any, settings: TrainSettings, device: torch.device) -> None:
    """The float model through the loop that everyone writes."""
    model = copy.deepcopy(model).to(device).train()
    x, y = torch.as_tensor(split.x).to(device), torch.as_tensor(split.y).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.lr, momentum=0.9, nesterov=True)
    for _ in range(settings.epochs):
        order = torch.randperm(len(x)).to(device)
        for start in range(0, len(x) - settings.batch_size + 1, settings.batch_size):
            chosen = order[start : start + settings.batch_size]
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward([functional.cross_entropy(model(x[chosen]), y[chosen])])
            optimizer.step()


def measure(name: str, settings: TrainSettings, many: int, rounds: int, device: torch.device) -> Row:
    """One row: seconds of one candidate in each way, and their ratios to the run alone."""
    data, model = load_data("digits"), model_of(name)
    scorer = Scorer(model, data, settings, device=device, batch=many)
    configs = configs_of(model, many)
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "plain_float": (1, lambda: plain_loop(model, data.train, settings, device)),
        "alone": (1, lambda: scorer.qat(configs[0], 0)),
        "among_many": (many, lambda: scorer.qat_many(configs, range(many))),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds + 1):
        for way, (count, call) in ways.items():
            best[way] = min(best[way], seconds(call, device) / count)
    together = sorted({how.together for how in scorer.trained if how is not None})
    return {
        "model": name,
        "batch_size": settings.batch_size,
        "epochs": settings.epochs,
        "candidates": many,
        "together": together,
        **{f"{way}_s": round(value, 4) for way, value in best.items()},
        "ratio": round(best["alone"] / best["among_many"], 2),
    }


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Processor time of a call on the CPU, wall time on a GPU [s]."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        call()
        torch.cuda.synchronize(device)
        return time.perf_counter() - began
    began = time.process_time()
    call()
    return time.process_time() - began


def show(row: Row) -> None:
    print(
        f"{row['model']:8} batch {row['batch_size']:3}: plain float loop {row['plain_float_s']:.3f} s, alone "
        f"{row['alone_s']:.3f} s, one of {row['candidates']} {row['among_many_s']:.3f} s: {row['ratio']:.2f}x",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; with --store also write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="MODEL")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[16, 64])
    parser.add_argument("--candidates", type=int, default=16, help="trained as one")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2, help="timed, behind one that warms up")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/together.json")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    rows = []
    for name in options.models:
        for size in options.batch_sizes:
            settings = TrainSettings(epochs=options.epochs, lr=0.01, batch_size=size)
            rows.append(measure(name, settings, options.candidates, options.rounds, device))
            show(rows[-1])
    if options.store:
        data = {
            "benchmark": "together",
            **provenance(["torch"]),
            "device": device_text(device),
            "threads": torch.get_num_threads(),
            "load_average": round(os.getloadavg()[0], 2),
            "seeds": list(range(options.candidates)),
            "clock": "wall" if device.type == "cuda" else "processor",
            "rows": rows,
        }
        print(f"stored in {store('together', data).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
