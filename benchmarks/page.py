"""How large the report of a large run is, and how fast Chromium opens it.

A run of ResNet-20 on Bit Fusion with made-up accuracies: candidates drawn at random over three objectives, real
costs, a fifth of them finetuned, the front tested. The page is opened several times in one browser, whose start is
not counted; the time is from the start of the navigation to the first drawn chart: on the clock (beside the
machine's load), and on the processor (of the page's main thread: what a crowded machine does not change).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.chromium import MISSING, chromium
from benchmarks.provenance import provenance, store
from hwmodel import CostTable, load_accelerator
from hwmodel.network.choice import Choice
from reports import write_report
from search.finaltest import FinalRecord
from search.front.costs import COSTS
from search.front.pareto import pareto_front
from search.front.results import Result
from search.guard.manifest import write_manifest
from search.spec import parse_spec
from workloads import load_model, trace
from workloads.compress import CompressionConfig, LayerChoice, write_config

IMAGES = 5000
OBJECTIVES = ["accuracy", "energy", "latency"]
SPEC = """
model: resnet20
accelerator: bitfusion
objectives: [accuracy, energy, latency]
search: {trials: 4, qat: 2}
"""
WIDTHS = (2, 4, 8)


def make_run(folder: Path, count: int, seed: int = 0) -> Path:
    """The folder of a finished run with `count` candidates."""
    folder.mkdir(parents=True)
    graph, chip = trace(*_model()), load_accelerator("bitfusion")
    choices = [Choice(w_bits=w, a_bits=a) for w in WIDTHS for a in WIDTHS]
    table = CostTable.build(graph, chip, choices)
    results = _results(table, count, random.Random(seed))
    (folder / "ledger.jsonl").write_text("".join(json.dumps(result.to_dict()) + "\n" for result in results))
    record = {"name": "large", "seed": seed, "objectives": OBJECTIVES, "graph": graph.fingerprint, "context": {},
              "accelerator": f"{chip.name} ({chip.fingerprint})", "space": {}}  # fmt: skip
    write_manifest(folder, record)
    (folder / "graph.json").write_text(graph.to_json())
    (folder / "config.yaml").write_text(parse_spec(SPEC, name="large").to_yaml())
    (folder / "float.json").write_text(json.dumps({"correct": 4600, "total": IMAGES}))
    front = pareto_front([result for result in results if result.stage == "qat"], OBJECTIVES)
    (folder / "test.jsonl").write_text("".join(json.dumps(asdict(_tested(result))) + "\n" for result in front))
    picked = front[len(front) // 2]
    config = CompressionConfig.from_dict(picked.config)
    write_config(folder / "best.yaml", config, graph, metrics={"candidate": picked.number})
    return folder


def _model() -> tuple[Any, Any]:
    import torch

    return load_model("resnet20"), torch.zeros(1, 3, 32, 32)


def _results(table: CostTable, count: int, draw: random.Random) -> list[Result]:
    """PTQ scores, and every fifth candidate finetuned."""
    drawn = [[draw.choice(table.choices[module]) for module in table.modules] for _ in range(count * 5 // 6)]
    totals = table.totals(table.indices([dict(zip(table.modules, found, strict=True)) for found in drawn]))
    results: list[Result] = []
    for row, found in enumerate(drawn):
        costs = {cost.key: float(totals[cost.key][row]) for cost in COSTS if cost.key in totals}
        config = CompressionConfig(
            {
                module: LayerChoice(w_bits=choice.w_bits, a_bits=choice.a_bits)
                for module, choice in zip(table.modules, found, strict=True)
            }
        )
        harm = sum(2.0**-choice.w_bits + 2.0**-choice.a_bits for choice in found) / len(found)
        for stage, factor in (("ptq", 12.0), ("qat", 4.0)) if row % 5 == 0 else (("ptq", 12.0),):
            share = 1 / (1 + math.exp(factor * harm - 2.6 + draw.gauss(0, 0.15)))
            results.append(
                Result(
                    number=len(results), stage="qat" if stage == "qat" else "ptq", config=config.to_dict(),
                    key=config.key, costs=costs, correct=round(share * IMAGES), total=IMAGES, wall_s=1.0,
                )
            )  # fmt: skip
    return results


def _tested(result: Result) -> FinalRecord:
    return FinalRecord(
        key=result.key, stage=result.stage, run=0, correct=round(result.correct * 0.99), total=IMAGES,
        validation_correct=result.correct, validation_total=IMAGES,
    )  # fmt: skip


def opening(driver: Any, page: Path) -> tuple[float, float]:
    """(time to the first drawn chart, processor time of the page's main thread until it is loaded) [s]."""
    driver.get("about:blank")
    driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    before = _busy(driver)
    driver.get(page.as_uri())
    drawn = "return performance.getEntriesByName('hwmodel-first-chart').map((mark) => mark.startTime)[0]"
    while (started := driver.execute_script(drawn)) is None:
        time.sleep(0.05)
    return started / 1000, _busy(driver) - before


def _busy(driver: Any) -> float:
    metrics = {
        item["name"]: item["value"] for item in driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    }
    return float(metrics["TaskDuration"])


def measure(count: int, rounds: int) -> dict[str, Any]:
    """Size and opening of the page of a run with `count` candidates."""
    with tempfile.TemporaryDirectory() as place:
        folder = make_run(Path(place) / "large", count)
        began = time.process_time()
        page = write_report(folder)
        writing = time.process_time() - began
        with chromium() as driver:
            opened = [opening(driver, page) for _ in range(rounds)]
        clock, processor = (statistics.median(column) for column in zip(*opened, strict=True))
        return {
            "candidates": count, "objectives": len(OBJECTIVES), "size_mb": round(page.stat().st_size / 1e6, 2),
            "writing_cpu_s": round(writing, 2), "first_chart_s": round(clock, 2),
            "main_thread_cpu_s": round(processor, 2), "rounds": rounds,
            "load": round(os.getloadavg()[0], 1),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, nargs="+", default=[100, 3000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--store", action="store_true", help="write results/page.json")
    options = parser.parse_args()
    if MISSING:
        sys.exit(f"page.py {MISSING}")
    rows = [measure(count, options.rounds) for count in options.candidates]
    for row in rows:
        print(", ".join(f"{name} {value}" for name, value in row.items()))
    if options.store:
        data = {"benchmark": "page", **provenance(["plotly", "selenium"]), "seeds": [0], "rows": rows}
        print(store("page", data))


if __name__ == "__main__":
    main()
