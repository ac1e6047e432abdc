"""What does the best mapping on four and five levels cost, and how long does it take to find?

    python benchmarks/deep.py             layers of tests/reference/deep_hierarchies.json, and networks (a minute)
    python benchmarks/deep.py --store     write benchmarks/results/deep.json

Per layer the optimum of an independent search with one tile per level (`even`, no padding), ours under the same
rules, and ours under all: reuse that goes on past a level whose places need different words, and bounds padded
to fill an axis; then the same chip for latency and for the product, and with a tile per operand and memory (`tiles:
uneven`), which is compared with ours under all rules. Per network (`hwmodel cost`) all of its layers, with one tile
per level and with one per operand, found cold: the cache of mappings is off, kernels are compiled. Times are of the
processor, one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

if __name__ == "__main__":  # run as a file, from any folder
    sys.path[0] = str(Path(__file__).parents[1])

os.environ["HWMODEL_CACHE"] = "off"

from benchmarks.provenance import provenance, store
from benchmarks.replays.deep import EVEN, chip_of, layer_of
from benchmarks.replays.figures import figures
from hwmodel import evaluate, load_accelerator
from hwmodel.chip.accelerator import Tiles
from hwmodel.mapper.deep.branch import EVERYTHING, Rules
from hwmodel.mapper.deep.find import deep_mapping
from hwmodel.mapper.free import Objective
from hwmodel.mapper.uneven.find import uneven_mapping
from hwmodel.nest.task import Task
from hwmodel.price.spatial import price
from workloads import trace
from workloads.models.registry import load_model_with_input

Row = dict[str, Any]
HEAD = "{:32} {:>12} {:>11} {:>6} {:>10} {:>6} {:>12} {:>8} {:>8} {:>6}"
NETWORKS = (
    ("resnet18", "simba"), ("resnet18", "meta_like"), ("resnet18", "ascend_like"), ("resnet18", "tpu_v4i"),
    ("resnet18", "edge_npu"), ("mobilenetv2", "simba"), ("transformer", "simba"),
)  # fmt: skip


def layers() -> list[Row]:
    """One row per layer of the reference."""
    data = figures("deep_hierarchies.json")
    chips = {name: chip_of(name, spec["outer_to_inner"]) for name, spec in data["architectures"].items()}
    first = data["rows"][0]
    _uneven_energy(
        Task.of(layer_of(first), replace(chips[first["arch"]], tiles="uneven"))
    )  # what is not compiled yet
    rows = []
    for row in data["rows"]:
        task, stated = Task.of(layer_of(row), chips[row["arch"]]), row["even_without_drain_reads"]["pj"]
        same, same_s = _energy(task, "energy", EVEN)
        ours, ours_s = _energy(task, "energy", EVERYTHING)
        uneven, uneven_s = _uneven_energy(Task.of(layer_of(row), replace(chips[row["arch"]], tiles="uneven")))
        rows.append(
            {
                "chip": row["arch"], "layer": row["layer"], "even_pj": stated, "same_rules": same / stated - 1,
                "same_rules_s": same_s, "all_rules": ours / stated - 1, "all_rules_s": ours_s,
                "latency_s": _energy(task, "latency", EVERYTHING)[1], "edp_s": _energy(task, "edp", EVERYTHING)[1],
                "uneven": uneven / ours - 1, "uneven_s": uneven_s,
            }
        )  # fmt: skip
    return rows


def _energy(task: Task, optimize: Objective, rules: Rules) -> tuple[float, float]:
    """Energy of the mapping that is found [pJ], and the seconds."""
    start = time.process_time()
    mapping = deep_mapping(task, optimize, rules)
    return sum(price(task, mapping).energy_pj.values()), time.process_time() - start


def _uneven_energy(task: Task) -> tuple[float, float]:
    """The same with a tile per operand and memory."""
    start = time.process_time()
    mapping = uneven_mapping(task)
    return sum(price(task, mapping).energy_pj.values()), time.process_time() - start


def networks() -> list[Row]:
    """One row per network on a preset, with one tile per level and with one per operand, all layers found anew."""
    rows = []
    for model_name, chip_name in NETWORKS:
        model, example = load_model_with_input(model_name)
        graph, chip = trace(model, *example), load_accelerator(chip_name)
        for tiles in get_args(Tiles):
            start = time.process_time()
            cost = evaluate(graph, replace(chip, tiles=tiles))
            spent = time.process_time() - start
            row = {"network": model_name, "chip": chip_name, "tiles": tiles}
            rows.append({**row, "energy_uj": cost.energy_pj / 1e6, "cycles": cost.cycles, "seconds": spent})
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/deep.json")
    options = parser.parse_args(arguments)
    found = layers()
    print(HEAD.format("layer", "even [pJ]", "same rules", "[s]", "all rules", "[s]", "latency [s]", "edp [s]",
                      "uneven", "[s]"))  # fmt: skip
    for row in found:
        print(
            f"{row['chip'] + ' ' + row['layer']:32} {row['even_pj']:12.6g} {row['same_rules']:+11.2%} "
            f"{row['same_rules_s']:6.2f} {row['all_rules']:+10.2%} {row['all_rules_s']:6.2f} "
            f"{row['latency_s']:12.2f} {row['edp_s']:8.2f} {row['uneven']:+8.2%} {row['uneven_s']:6.2f}"
        )
    whole = networks()
    print(
        "\n{:12} {:13} {:6} {:>12} {:>12} {:>6}".format("network", "chip", "tiles", "energy [uJ]", "cycles", "[s]")
    )
    for row in whole:
        numbers = f"{row['energy_uj']:12.1f} {row['cycles']:12,} {row['seconds']:6.2f}"
        print(f"{row['network']:12} {row['chip']:13} {row['tiles']:6} {numbers}")
    if options.store:
        store("deep", {"benchmark": "deep", **provenance(["numpy", "numba"]), "seeds": [], "layers": found,
                       "rows": whole})  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
