"""How large a model can be traced, and how deep a network priced?

    python benchmarks/tracing.py            all cases (about a minute)
    python benchmarks/tracing.py --store    write benchmarks/results/tracing.json

Every case runs in a fresh process, so that its peak of memory is its own. `start` is the import of torch and of
this package, `peak_gib` the largest resident set of the whole process, torch included. The mapping cache is off.

- `gpt3-meta`: a decoder with the proportions of GPT-3 175B (Brown et al., NeurIPS 2020, table 2.1: 96 blocks of
  width 12288 with 96 heads, 2048 tokens), on the meta device: no weight is allocated.
- `linear-10k`: 10,000 linear layers with an activation each, traced, priced on `tpu_like` and on `edge_npu`.
- `residual-10k`: 10,000 residual blocks of convolution, batch norm, activation and add: 40,000 ops.

Every time is kept twice, of the clock and of the processor: they differ on a machine that others use too.
The limits: 10 s and 1 GiB to trace the first; 10 s to trace and price the second.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":  # run as a file, from any folder
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.provenance import provenance, store

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.network.graph import LayerGraph

Row = dict[str, Any]
CHIPS = ("tpu_like", "edge_npu")
DEPTH = 10_000
#: Brown et al., table 2.1, "GPT-3 175B"; the vocabulary is that of GPT-2.
GPT3 = {"vocab": 50257, "dim": 12288, "depth": 96, "heads": 96, "context": 2048}
LIMIT_S, LIMIT_GIB = 10.0, 1.0


def linear_network(depth: int) -> nn.Module:
    """`depth` linear layers 64 -> 64 with a ReLU each."""
    from torch import nn

    return nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(depth)))


def residual_network(depth: int) -> nn.Module:
    """`depth` blocks x + relu(norm(conv(x))) of 16 channels."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.relu(self.norm(self.conv(x)))

    return nn.Sequential(*(Block() for _ in range(depth)))


def trace_gpt3() -> Row:
    """Build on the meta device and trace."""
    import torch

    from workloads import trace
    from workloads.models.transformer import TransformerLM

    seconds: dict[str, float] = {}
    with torch.device("meta"):
        model = timed(seconds, "build", lambda: TransformerLM(**GPT3))
    graph = timed(seconds, "trace", lambda: trace(model, model.example_input()))
    row = facts(graph, seconds, limited=["trace"])
    return {**row, "parameters": sum(parameter.numel() for parameter in model.parameters())}


def trace_and_price(build: Callable[[int], nn.Module], shape: tuple[int, ...]) -> Row:
    """Trace, price on every chip, and what else is done with a graph."""
    import torch

    from hwmodel import LayerGraph, load_accelerator, repeated_blocks
    from workloads import trace

    seconds: dict[str, float] = {}
    model = timed(seconds, "build", lambda: build(DEPTH))
    graph = timed(seconds, "trace", lambda: trace(model, torch.zeros(shape)))
    for name in CHIPS:
        timed(seconds, f"price {name}", partial(price, graph, load_accelerator(name)))
    limited = ["trace", *(f"price {name}" for name in CHIPS)]
    timed(seconds, "fingerprint", lambda: graph.fingerprint)
    timed(seconds, "blocks", lambda: repeated_blocks(graph))
    text = timed(seconds, "to json", graph.to_json)
    timed(seconds, "from json", lambda: LayerGraph.from_json(text))
    return facts(graph, seconds, limited=limited)


CASES: dict[str, Callable[[], Row]] = {
    "gpt3-meta": trace_gpt3,
    "linear-10k": lambda: trace_and_price(linear_network, (1, 64)),
    "residual-10k": lambda: trace_and_price(residual_network, (1, 16, 32, 32)),
}


def price(graph: LayerGraph, chip: Accelerator) -> pd.DataFrame:
    from hwmodel import evaluate

    return evaluate(graph, chip).to_dataframe()


def timed(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    began, cpu = time.perf_counter(), time.process_time()
    result = work()
    seconds[name] = time.perf_counter() - began
    seconds[f"{name} (cpu)"] = time.process_time() - cpu
    return result


def facts(graph: LayerGraph, seconds: dict[str, float], *, limited: list[str]) -> Row:
    return {
        "route": graph.route,
        "layers": len(graph.layers),
        "nodes": len(graph.nodes),
        "macs": graph.macs,
        "seconds": seconds,
        "limited_s": sum(seconds[name] for name in limited),
        "limited_cpu_s": sum(seconds[f"{name} (cpu)"] for name in limited),
    }


def run_here(name: str) -> Row:
    """One case in this process."""
    seconds: dict[str, float] = {}
    timed(seconds, "start", lambda: __import__("workloads.tracing"))
    start_gib = peak_gib()
    row = CASES[name]()
    return {
        "name": name,
        **row,
        "seconds": {**seconds, **row["seconds"]},
        "start_gib": start_gib,
        "peak_gib": peak_gib(),
    }


def peak_gib() -> float:
    """Largest resident set of this process so far [GiB]; getrusage gives KiB, on macOS bytes."""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def run_apart(name: str) -> Row:
    """One case in a fresh process."""
    command = [sys.executable, __file__, "--here", name]
    environment = {**os.environ, "HWMODEL_CACHE": "off", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    row: Row = json.loads(done.stdout)
    return row


def show(row: Row) -> None:
    parts = ", ".join(f"{name} {value:.2f}" for name, value in row["seconds"].items() if "(cpu)" not in name)
    print(
        f"{row['name']:14} {row['layers']:6,} layers, {row['nodes']:6,} nodes, {row['macs']:.3g} MACs, "
        f"by {row['route']}: {row['limited_s']:.2f} s "
        f"(limit {LIMIT_S:g}; processor {row['limited_cpu_s']:.2f} s), "
        f"peak {row['peak_gib']:.2f} GiB, of it {row['start_gib']:.2f} to start\n{'':14} [s] {parts}",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the cases; with --store also write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/tracing.json")
    parser.add_argument("--here", choices=CASES, help="run one case in this process and print it as JSON")
    options = parser.parse_args(arguments)
    if options.here:
        print(json.dumps(run_here(options.here)))
        return 0
    rows = []
    for name in options.cases:
        rows.append(run_apart(name))
        show(rows[-1])
    if options.store:
        data = {
            "benchmark": "tracing",
            **provenance(["torch", "networkx", "numba", "numpy"]),
            "device": "cpu",
            "threads": 1,
            "seeds": [],
            "limits": {"seconds": LIMIT_S, "gib": LIMIT_GIB},
            "rows": rows,
        }
        print(f"stored in {store('tracing', data).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
