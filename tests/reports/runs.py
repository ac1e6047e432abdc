"""A run folder written by hand with the writers of the search, with names that break careless pages."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from hwmodel.chip.loader import load_accelerator
from search.finaltest import FinalRecord
from search.front.results import Result
from search.guard.manifest import write_manifest
from search.ledger import Ledger
from search.spec import parse_spec
from tests.reports.conftest import NASTY, make_graph
from workloads.compress import CompressionConfig, average_precision, write_config

TOTAL = 200
ERROR = 'RuntimeError: [/red] <img src="http://evil.example/x.png" onerror=alert(1)> \x1b[31m& more'
SPEC = (
    "model: lenet5\naccelerator: eyeriss\nobjectives: [accuracy, avg_w_bits, energy]\nsearch: {trials: 4, qat: 2}\n"
)
#: (stage, bits of the middle layer, images right, origin); None fails.
ROWS = (("ptq", 8, 190, "uniform"), ("ptq", 4, 180, "uniform"), ("ptq", 2, 120, "sensitivity"),
        ("ptq", 3, None, "sampler"), ("qat", 4, 188, "promoted"), ("qat", 2, 170, "promoted"))  # fmt: skip


def make_config(bits: int) -> CompressionConfig:
    return CompressionConfig.from_bits({"conv1": 8, NASTY: bits, "head.fc": 8}, a_bits=8)


def make_results() -> list[Result]:
    graph = make_graph()
    results = []
    for number, (stage, bits, correct, origin) in enumerate(ROWS):
        config = make_config(bits)
        done = correct is not None
        bits_mean = average_precision(graph, config)
        costs = {"avg_w_bits": bits_mean, "energy_pj": bits * 1e6, "latency_s": bits * 1e-4}
        results.append(
            Result(
                number=number, stage=stage,
                point={"mid.w_bits": bits} if (stage, origin) == ("qat", "uniform") else {},
                config=config.to_dict(), key=config.key, costs=costs,
                status="done" if done else "failed", error="" if done else ERROR, origin=origin,
                correct=correct or 0, total=TOTAL if done else 0, wall_s=0.25,
            )
        )  # fmt: skip
    return results


def write_run(folder: Path, *, finished: bool = True) -> Path:
    """The folder of a run with four PTQ results (one failed) and two QAT results; the 4-bit one is picked."""
    folder.mkdir(parents=True)
    graph = make_graph()
    chip = load_accelerator("eyeriss")
    ledger = Ledger(folder)
    for result in make_results():
        ledger.append(result)
    record = {"name": "tiny", "seed": 7, "objectives": ["accuracy", "avg_w_bits", "energy"],
              "accelerator": f"{chip.name} ({chip.fingerprint})", "graph": graph.fingerprint, "context": {},
              "space": {}}  # fmt: skip
    write_manifest(folder, record)
    (folder / "graph.json").write_text(graph.to_json())
    (folder / "config.yaml").write_text(parse_spec(SPEC, name="tiny").to_yaml())
    (folder / "float.json").write_text(json.dumps({"correct": 192, "total": TOTAL}))
    if finished:
        _finish(folder)
    return folder


def _finish(folder: Path) -> None:
    """The float model and the picked candidate, two seeds, on the test split; `best.yaml`."""
    picked = make_config(4)
    tests = [("float", "float", 0, 192, 184), (picked.key, "qat", 0, 188, 180), (picked.key, "qat", 1, 187, 184)]
    records = [
        FinalRecord(
            key=key, stage=stage, run=run, correct=correct, total=TOTAL,
            validation_correct=validation, validation_total=TOTAL,
        )
        for key, stage, run, validation, correct in tests
    ]  # fmt: skip
    (folder / "test.jsonl").write_text("".join(json.dumps(asdict(record)) + "\n" for record in records))
    provenance = {"versions": {"torch": "2.13.0"}, "command": "hwmodel search tiny.yaml"}
    write_config(folder / "best.yaml", picked, make_graph(), metrics={"candidate": 4}, provenance=provenance)
