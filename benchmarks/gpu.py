"""GPU and CPU targets: the A100 figures, and a calibration of this machine judged on shapes it has not seen.

    python benchmarks/gpu.py [--gemm FILE] [--count N]

Writes results/gpu.json beside this file. FILE is a measured-GEMM file (the format is in replays/gemm.py), by
default that of tests/reference.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

from benchmarks.replays import gemm
from benchmarks.replays.figures import figures_path
from hwmodel.price.fit import predict_seconds
from workloads.calibrate import calibrate_device

RESULTS = Path(__file__).parent / "results" / "gpu.json"
NOT_MEASURED = "not measured"


def a100(path: Path) -> Any:
    cases = gemm.replay(json.loads(path.read_text(encoding="utf-8")))
    errors = [abs(case.error) for case in cases]
    return {
        "target_mean_abs_error": 0.12,
        "mean_abs_error": round(sum(errors) / len(errors), 4),
        "max_abs_error": round(max(errors), 4),
        "cases": [
            {"name": c.name, "measured_ms": c.reference, "predicted_ms": round(c.prediction, 5),
             "error": round(c.error, 4)}
            for c in cases
        ],
    }  # fmt: skip


def calibration(device: str, count: int, seed: int) -> Any:
    start = time.perf_counter()
    result = calibrate_device(device, count=count, seed=seed)
    seconds = time.perf_counter() - start
    groups: dict[str, list[float]] = defaultdict(list)
    for sample in result.held_out:
        group = sample.layer.name.rstrip("0123456789")
        predicted = predict_seconds(sample.layer, result.fit.machine, sample.fmt)
        groups[f"{sample.fmt} {group}"].append(abs(predicted / sample.seconds - 1))
    return {
        "device": result.device,
        "threads": torch.get_num_threads(),
        "seed_fit": seed,
        "seed_held_out": seed + 1,
        "seconds": round(seconds, 1),
        "fit_mean_abs_error": round(result.fit.error, 4),
        "held_out_layers": len(result.held_out),
        "held_out_mean_abs_error": round(result.held_out_error, 4),
        "target_held_out_mean_abs_error": 0.15,
        "held_out_by_group": {name: round(sum(e) / len(e), 4) for name, e in groups.items()},
        "load_average": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gemm", type=Path, default=figures_path("a100_gemm_ms.json"))
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    report = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "a100_gemm": a100(options.gemm),
        "cpu": [calibration("cpu", options.count, seed) for seed in (0, 10, 20)],
        "cuda": calibration("cuda", options.count, 0) if torch.cuda.is_available() else NOT_MEASURED,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
