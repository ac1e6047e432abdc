"""How long it takes to explore 10,000 designs of a chip for ResNet-18, and that the front is right.

    python benchmarks/explore.py [--jobs 2] [--check 200] [--store]

The chip is `examples/npu_ranges.yaml` (an MCU-class NPU whose parts all have an area). 10,000 designs: 10 x 10
arrays, 10 sizes of the scratchpad, 10 bandwidths of DRAM; `plain` without tensors that stay in the scratchpad,
`resident` with, `energies` with energies that follow its size, so that designs share less; `deep` as `plain`,
with a memory of 8 KiB more next to the array: four levels. Nothing is known at the start, neither mappings in
memory nor on disk, but kernels are compiled. `--check N` evaluates N designs by themselves, drawn at random: none
may be better than the front, and each that was priced costs the same to the last bit. Beside the wall time stands
the processor time of all processes, which a busy machine does not change much.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # works from any folder; this one has a `search` that must not hide the package
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np

from benchmarks.provenance import provenance, store
from hwmodel import evaluate, load_accelerator
from hwmodel.chip.area import chip_area
from hwmodel.chip.sweep.space import DesignSpace
from hwmodel.mapper.shared import forget_mappings
from hwmodel.network.graph import LayerGraph
from search import ChipExploration, explore_chips

CHIP = Path(__file__).resolve().parent.parent / "examples" / "npu_ranges.yaml"
SEED = 0
SIZES = [64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536]
BASE_KIB, BASE_PJ, EXPONENT = 128, 0.595, 0.464  # as the file has it: energy as capacity^0.464
RANGES: dict[str, Any] = {
    "array.X.size": "4..40+4",
    "array.Y.size": "2..20+2",
    "memories.sram.size": [f"{size} KiB" for size in SIZES],
    "memories.dram.bandwidth": "0.8 GB/s..8 GB/s+0.8 GB/s",
}
CASES = ("plain", "resident", "energies", "deep")
#: A fourth level: 8 KiB next to the array, at Horowitz's 10 pJ per 64-bit access.
L1 = """\
  - name: l1
    holds: [W, I, O]
    size: 8 KiB
    read_energy: 0.15625 pJ/bit
    double_buffered: true
    area: 0.346 um^2/bit
    source: as sram
"""


@cache
def resnet18() -> LayerGraph:
    """ResNet-18 at 224 x 224, as `hwmodel explore resnet18` traces it."""
    from workloads import load_model_with_input
    from workloads.tracing import trace_model

    module, args = load_model_with_input("resnet18")
    return trace_model(module, args, name="resnet18")


def chip_file(folder: Path, case: str) -> Path:
    """The chip of the example without its ranges, and of `plain` without residents."""
    text = CHIP.read_text(encoding="utf-8").partition("sweep:")[0]
    if case in ("plain", "deep"):
        text = "".join(line for line in text.splitlines(keepends=True) if "resident:" not in line)
    if case == "deep":
        text = text.replace("  - name: sram\n", L1 + "  - name: sram\n")
    path = folder / f"{case}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def ranges_of(case: str) -> list[dict[str, Any]]:
    """The ranges of a case."""
    found = [{path: values} for path, values in RANGES.items()]
    if case == "energies":
        energies = [f"{BASE_PJ * (size / BASE_KIB) ** EXPONENT:.4g} pJ/bit" for size in SIZES]
        found[2]["memories.sram.read_energy"] = energies
    return found


def explored(case: str, jobs: int, checks: int) -> dict[str, Any]:
    """One case, timed in a fresh state; so many of its designs are checked."""
    with tempfile.TemporaryDirectory() as name:
        path = chip_file(Path(name), case)
        graph, ranges = resnet18(), ranges_of(case)
        evaluate(graph, load_accelerator(path))  # compiles what is not compiled
        forget_mappings()
        began, worked = time.perf_counter(), os.times()
        found = explore_chips(graph, path, set=ranges, jobs=jobs, progress=told(began))
        wall, ended = time.perf_counter() - began, os.times()
        cpu = sum(ended[:4]) - sum(worked[:4])
        row = {"case": case, "jobs": jobs, "wall_s": round(wall, 1), "processor_s": round(cpu, 1)}
        row |= {key: getattr(found.counts, key) for key in ("space", "priced", "ruled_out", "no_chip", "failed")}
        row["front"] = len(found.front())
        if checks:
            row |= checked(found, path, ranges, checks)
    return row


def told(began: float) -> Any:
    """A line now and then."""
    last = [began]

    def progress(what: str, done: int, total: int, front: int) -> None:
        if time.perf_counter() - last[0] > 15:
            last[0] = time.perf_counter()
            print(f"  {last[0] - began:6.0f} s  {what} {done}/{total}  front {front}", file=sys.stderr, flush=True)

    return progress


def checked(found: ChipExploration, path: Path, ranges: Any, count: int) -> dict[str, Any]:
    """Designs evaluated by themselves: how many, how many were priced before and cost the same."""
    space, graph = DesignSpace(path, ranges), resnet18()
    priced = {row.number: row for row in found.rows}
    front = np.array([found.values(row, graph.name) for row in found.front()])
    same = 0
    numbers = np.random.default_rng(SEED).choice(space.size, count, replace=False).tolist()
    for number in numbers:
        forget_mappings()  # what the exploration has found is not what it is compared with
        chip = space.design(number).accelerator
        cost, area = evaluate(graph, chip), chip_area(chip).mm2
        point = np.array([cost.energy_pj, cost.latency_s, area])
        if not ((front <= point).all(axis=1)).any():
            raise SystemExit(f"design {number} is better than the front: {point}")
        if number in priced:
            row = priced[number]
            if (row.energy_pj[graph.name], row.latency_s[graph.name]) != (cost.energy_pj, cost.latency_s):
                raise SystemExit(f"design {number} costs {cost.energy_pj} pJ, but was priced at {row.energy_pj}")
            same += 1
    return {"checked": count, "same_as_priced": same}


def main() -> None:
    """Run the cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=CASES, help="of " + ", ".join(CASES))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--check", type=int, default=0, metavar="N")
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    os.environ["HWMODEL_CACHE"] = "off"  # nothing from disk, here and in the workers
    rows = [explored(case, options.jobs, options.check) for case in options.cases]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if options.store:
        data = {"benchmark": "explore", **provenance(["hwmodel", "numba", "numpy"])}
        data |= {"load_during": round(os.getloadavg()[2], 2), "seeds": [SEED], "rows": rows}
        print(store("explore", data))


if __name__ == "__main__":
    main()
