"""How fast the mapper is, and that it is right: one run, ratios beside the peers.

    python benchmarks/mapper.py
    python benchmarks/mapper.py --zigzag PYTHON

The second one takes an interpreter with `zigzag-dse`, runs both mappers on layers of AlexNet, VGG-16 and
MobileNetV2, one after the other on this machine, and writes `benchmarks/results/zigzag.json`. The first one
reads `timeloop_eyeriss256.json`, `timeloop_mapper_best.json` and `zigzag_tpu_like.json` of `tests/reference` and
writes `benchmarks/results/mapper.json`. Times are the least and the median of several runs, compiled and
imported, with every cache emptied before each. Peers' figures are those of the README in that folder (two x86-64
cores).
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np

if __name__ == "__main__":  # works from any folder; this one has a `search` that must not hide the package
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.networks import gpt2, llama_7b, resnet18, resnet20
from benchmarks.provenance import provenance, store
from benchmarks.replays import eyeriss256, timeloop_best, zigzag_layers
from benchmarks.replays.figures import figures
from hwmodel import Accelerator, CostTable, Layer, LayerCost, evaluate, find_mapping, load_accelerator
from hwmodel.mapper import bounds, free, row_search, row_stationary, search
from hwmodel.mapper.edges import pair_edges
from hwmodel.mapper.scores import ENERGY
from hwmodel.mapper.shared import forget_mappings
from hwmodel.mapper.space.exchange import least_exchange, price_exchange
from hwmodel.mapper.space.hierarchy import Hierarchy, Kept
from hwmodel.mapper.space.tiles import TileSpace, tile_grid
from hwmodel.mapper.space.unrolling import padded_variants, unrollings
from hwmodel.nest.task import Task
from hwmodel.nest.view import array_view
from hwmodel.network.choice import Choice
from hwmodel.network.graph import LayerGraph

OUT = Path(__file__).parent / "results" / "mapper.json"
SEED = 0
DENSITIES = (1.0, 0.75, 0.5, 0.25)

#: tests/reference: Timeloop v3.0.3, 2 threads, its own `eyeriss-256` space; ZigZag 3.9.1, ResNet-18 on `tpu_like`.
TIMELOOP_SECONDS, TIMELOOP_MAPPINGS_PER_S, ZIGZAG_SECONDS = 17.1, 8200.0, 40.3

Row = dict[str, Any]


def forget() -> None:
    """Empty every cache that would make a second run cheaper than the first."""
    forget_mappings()
    for cached in (tile_grid, unrollings, padded_variants):
        cached.cache_clear()


def timed(work: Callable[[], object], repeats: int = 5) -> tuple[float, float]:
    """Least and median wall time of `work`, after one run that compiles [s]."""
    work()
    seconds = []
    for _ in range(repeats):
        forget()
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds), statistics.median(seconds)


def row(name: str, seconds: tuple[float, float], limit_s: float | None = None, **extra: Any) -> Row:
    return {"name": name, "least_s": seconds[0], "median_s": seconds[1], "limit_s": limit_s, **extra}


def eyeriss_256() -> Row:
    """Timeloop's `eyeriss-256` space: the same optimum, the same split by level."""
    data = figures("timeloop_eyeriss256.json")
    accelerator, layer = eyeriss256.chip_of(data), eyeriss256.problem_of(data)
    seconds = timed(lambda: find_mapping(layer, accelerator))
    _, found = find_mapping(layer, accelerator)
    split = eyeriss256.energy_by_level(layer, found)
    return row(
        "timeloop eyeriss-256", seconds, 0.020,
        pj_per_mac=found.energy_pj / layer.macs, reference_pj_per_mac=data["best_pj_per_mac"],
        worst_level_fj_per_mac=max(abs(split[name] - value) for name, value in data["best_fj_per_mac"].items()),
        covered_mappings_per_s=data["mapspace_size"] / seconds[0],
        peer="Timeloop v3.0.3, 17.1 s, 8,200 mappings/s (tests/reference)", ratio=TIMELOOP_SECONDS / seconds[0],
        ratio_covered_mappings_per_s=data["mapspace_size"] / seconds[0] / TIMELOOP_MAPPINGS_PER_S,
    )  # fmt: skip


def enumeration(name: str, layer: Layer, accelerator: Accelerator, most_pairs: int, most_tiles: int) -> Row:
    """Mappings that the compiled kernel counts one by one when every bound lets every mapping pass.

    So many pairs of register tile and unrolling, in so many buffer tiles, in all orders. What does
    not fit is looked at and not counted; orders that do the same are counted once.
    """
    branch, energy = (
        free.Branch(_space(layer, accelerator), (), _keeps(layer, accelerator)),
        free.Search(ENERGY, 1),
    )
    tiles, held, _ = price_exchange(branch.space, branch.kept[1], branch.nest, 1)
    least = least_exchange(branch.space, branch.kept[1], branch.nest, 1)
    branch.bound(energy)
    registers = branch.space.register_tiles(branch.kept[0])
    pairs, lines, scores = branch.join(energy, registers, least, (np.inf, np.inf))
    pairs, lines = pairs[:most_pairs], lines[:most_pairs].copy()
    tiles, held, keys = tiles[-most_tiles:], held[-most_tiles:], np.full(len(tiles[-most_tiles:]), -np.inf)
    lines[:, :, : bounds.CONSTANT] = -np.inf  # what the bounds are made of
    scores = np.full(len(pairs), -np.inf)
    sizes = bounds.pair_sizes(registers, branch.unrollings, pairs)
    edges = pair_edges(branch.nest, registers, branch.unrollings, pairs)
    shares = branch.shares(registers, pairs)
    counted = 0

    def count() -> None:
        nonlocal counted
        found = search.search(
            branch.nest, ENERGY, 1, registers, branch.unrollings,
            pairs, lines, scores, sizes, edges, shares, tiles, held, keys, (np.inf, np.inf),
        )[2]  # fmt: skip
        counted = int(found[search.COUNTED])

    seconds = timed(count)
    return row(
        f"enumerated without bounds, {name}", seconds, None, mappings=counted,
        looked_at_per_s=len(pairs) * len(tiles) / seconds[0], enumerated_mappings_per_s=counted / seconds[0],
    )  # fmt: skip


def row_stationary_network(graph: LayerGraph, limit_s: float | None = None) -> Row:
    """A network on `eyeriss`: the time of `evaluate` alone, and the mappings that no bound ruled out."""
    accelerator = load_accelerator("eyeriss")
    seconds = timed(lambda: evaluate(graph, accelerator))
    tasks = {task.identity: task for task in (array_view(Task.of(layer, accelerator)) for layer in graph.layers)}
    priced = sum(int(row_stationary.search(task, "energy")[-1][row_search.NUM_COUNTED]) for task in tasks.values())
    return row(f"{graph.name} on eyeriss", seconds, limit_s, mappings=priced)


def _space(layer: Layer, accelerator: Accelerator) -> TileSpace:
    return TileSpace(Task.of(layer, accelerator), Hierarchy.of(accelerator), layer.dims)


def _keeps(layer: Layer, accelerator: Accelerator) -> Kept:
    """Every level keeps all that it holds."""
    return Hierarchy.of(accelerator).choices(Task.of(layer, accelerator))[0]


def best_known() -> list[Row]:
    """Every problem of `timeloop_mapper_best.json` with free dataflow and bypass."""
    data = figures("timeloop_mapper_best.json")
    rows = []
    for item, case in zip(data["rows"], timeloop_best.replay(data), strict=True):
        layer, accelerator = timeloop_best.problem_of(data, item)
        seconds = timed(partial(find_mapping, layer, accelerator), 3)
        rows.append(
            row(
                f"best known {item['layer']}", seconds, 0.5, pj_per_mac=case.prediction,
                reference_pj_per_mac=case.reference, peer_pj_per_mac=item["mapper_pj_per_mac"],
                peer="timeloop-mapper v3.0.3, 40 s, 2 threads", ratio=40.0 / seconds[0],
            )
        )  # fmt: skip
    return rows


#: Layers of `few_pes`: 3x3 convolutions of ResNet-18 and VGG-16, and one with a batch of 16.
FEW_PES = {
    "r18_l2": {"P": 28, "Q": 28, "C": 128, "K": 128, "N": 1},
    "vgg_conv3_1": {"P": 56, "Q": 56, "C": 128, "K": 256, "N": 1},
    "r18_l2_batch16": {"P": 28, "Q": 28, "C": 128, "K": 128, "N": 16},
}


def few_pes() -> list[Row]:
    """The architecture of `timeloop_mapper_best.json` with 8 x 8 PEs: more of the space is in reach of the best."""
    data = copy.deepcopy(figures("timeloop_mapper_best.json"))
    spec = data["arch_specs"]["a16x16_rf64_glb108"]
    for part in (spec["arithmetic"], spec["storage"][0]):
        part.update(instances=64, meshX=8)
    plain = {"R": 3, "S": 3, "Wstride": 1, "Hstride": 1, "Wdilation": 1, "Hdilation": 1}
    rows = []
    for name, sizes in FEW_PES.items():
        item = {"arch": "a16x16_rf64_glb108", "layer": name, "problem": {**plain, **sizes}}
        layer, accelerator = timeloop_best.problem_of(data, item)
        seconds = timed(partial(find_mapping, layer, accelerator), 3)
        _, found = find_mapping(layer, accelerator)
        rows.append(row(f"64 PEs, free bypass, {name}", seconds, 0.3, pj_per_mac=found.energy_pj / layer.macs))
    return rows


def network(graph: LayerGraph) -> Row:
    accelerator = load_accelerator("tpu_like")
    seconds = timed(lambda: evaluate(graph, accelerator))
    total = evaluate(graph, accelerator)
    return row(
        "ResNet-18 on tpu_like", seconds, 0.060, energy_pj=total.energy_pj, cycles=total.cycles,
        peer="ZigZag 3.9.1, 40.3 s (tests/reference)", ratio=ZIGZAG_SECONDS / seconds[0],
    )  # fmt: skip


def beside_zigzag(graph: LayerGraph) -> list[Row]:
    """Energy and cycles per layer beside ZigZag's, and the rules behind differences above 10 %.

    The preset is that architecture at its widths (`tests/hwmodel/chip/test_presets.py` compares them).
    """
    theirs = {item["layer"]: item for item in figures("zigzag_tpu_like.json")["layers"]}
    accelerator = load_accelerator("tpu_like")
    rows = []
    for layer in graph.layers:
        item = theirs[zigzag_name(layer.name)]
        mapping, ours = find_mapping(layer, accelerator)
        compute = mapping.iterations
        edges = sum(item["latency"][part] for part in ("data_onloading", "data_offloading"))
        energy, cycles = ours.energy_pj / item["energy_pj"] - 1, ours.cycles / item["cycles"] - 1
        rows.append(
            {
                "name": layer.name, "energy_pj": ours.energy_pj, "zigzag_energy_pj": item["energy_pj"],
                "cycles": ours.cycles, "zigzag_cycles": item["cycles"], "energy_error": energy,
                "compute_cycles": compute, "bound": ours.bound, "zigzag_edge_cycles": edges,
                "without_gaps_energy_error": without_gaps(layer, ours) / item["energy_pj"] - 1,
                "cycles_error": cycles, "why": reasons(layer, ours, compute, item, energy, cycles),
            }
        )  # fmt: skip
    return rows


def zigzag_name(name: str) -> str:
    """ZigZag's name of a layer of ResNet-18, from the ONNX node."""
    if name in ("conv1", "fc"):
        return {"conv1": "conv1_Conv", "fc": "fc_Gemm"}[name]
    stage, block, *rest = name.split(".")
    kind = f"{rest[0]}_{rest[0]}.{rest[1]}" if len(rest) > 1 else rest[0]
    return f"{stage}_{stage}.{block}_{kind}_Conv"


def touched(layer: Layer) -> float:
    """Fraction of the rows and columns between first and last input that some MAC reads."""
    share = 1.0
    for out, filt, stride in ((layer.dims.OY, layer.dims.FY, 0), (layer.dims.OX, layer.dims.FX, 1)):
        pace = layer.stride[stride]
        share *= ((out - 1) * min(pace, filt) + filt) / ((out - 1) * pace + filt)
    return share


def without_gaps(layer: Layer, ours: LayerCost) -> float:
    """Energy if inputs that a stride skips were not moved into the buffer [pJ]."""
    inputs = ours.energy_breakdown["dram", "I"]
    return ours.energy_pj - (1 - touched(layer)) * inputs


def reasons(
    layer: Layer, ours: LayerCost, compute: int, item: dict[str, Any], energy: float, cycles: float
) -> list[str]:
    """Counting rules behind a difference above 10 %, as far as the figures show them."""
    found = []
    if touched(layer) < 1 and max(abs(energy), abs(cycles)) > 0.1:
        found.append("a strided tile is contiguous here (Timeloop's rule): skipped rows and columns are moved too")
    if abs(cycles) > 0.1:
        if cycles > 0:
            found.append("our cycles hold first fill and last drain; ZigZag states on- and offloading apart")
        if ours.bound == "dram":
            found.append("ours are bound by DRAM's one port for W, I and O")
        if item["cycles"] > compute * 1.1 and ours.cycles < item["cycles"]:
            found.append("ZigZag stalls on weights that our DRAM port moves beside the array")
    return found


def cost_table(graph: LayerGraph, name: str) -> tuple[Row, Row]:
    """All widths 2..8 x 2..8 and four densities, then random candidates from the table."""
    accelerator = load_accelerator(name)
    choices = [Choice(w_bits=w, a_bits=a, density=d) for w in range(2, 9) for a in range(2, 9) for d in DENSITIES]
    seconds = timed(lambda: CostTable.build(graph, accelerator, choices), 3)
    table = CostTable.build(graph, accelerator, choices)
    rng = np.random.default_rng(SEED)
    indices = rng.integers(0, len(choices), (200_000, len(table.modules)))
    pricing = timed(lambda: table.totals(indices), 5)
    totals = table.totals(indices[:20])
    equal = True
    for n in range(20):
        chosen = {module: choices[indices[n, m]] for m, module in enumerate(table.modules)}
        exact = evaluate(graph, accelerator, chosen)
        equal &= exact.energy_pj == totals["energy_pj"][n] and exact.cycles == totals["cycles"][n]
    prices = len(choices) * len(graph.layers)
    return (
        row(f"CostTable ResNet-20 on {name}", seconds, 2.0, prices=prices, prices_per_s=prices / seconds[0]),
        row(
            f"candidates from the table, {name}", pricing, len(indices) / 1e6,
            candidates_per_s=len(indices) / pricing[0], equal_to_evaluate=bool(equal),
        ),
    )  # fmt: skip


def device() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        model = next(
            (x.partition(":")[2].strip() for x in info.read_text().splitlines() if "model name" in x), model
        )
    return {
        "cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), "numpy": np.__version__,
        "numba": numba.__version__, "date": datetime.now(UTC).date().isoformat(), "seed": SEED, "threads": 1,
    }  # fmt: skip


def show(rows: list[Row], layers: list[Row]) -> None:
    print(f"{'what':44s} {'least':>10s} {'median':>10s} {'limit':>10s}  result")
    skip = {"name", "least_s", "median_s", "limit_s"}
    for item in rows:
        facts = ", ".join(
            f"{k} {v:,.6g}" if isinstance(v, float) else f"{k} {v}" for k, v in item.items() if k not in skip
        )
        limit = f"{1e3 * item['limit_s']:7.1f} ms" if item["limit_s"] else ""
        times = f"{1e3 * item['least_s']:7.1f} ms {1e3 * item['median_s']:7.1f} ms"
        print(f"{item['name']:44s} {times} {limit:>10s}  {facts}")
    heads = f"{'ours pJ':>12s} {'ZigZag':>12s} {'error':>8s} {'cycles':>9s} {'ZigZag':>9s} {'error':>8s}"
    print(f"\n{'layer on tpu_like':24s} {heads}  why")
    for item in layers:
        print(
            f"{item['name']:24s} {item['energy_pj']:12.5g} {item['zigzag_energy_pj']:12.5g} "
            f"{item['energy_error']:+8.1%} {item['cycles']:9d} {item['zigzag_cycles']:9.0f} "
            f"{item['cycles_error']:+8.1%}  {'; '.join(item['why'])}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast the mapper is, and that it is right.")
    parser.add_argument("--zigzag", metavar="PYTHON", help="an interpreter with zigzag-dse: both in one run")
    python = parser.parse_args().zigzag
    os.environ["HWMODEL_CACHE"] = "off"
    if python is not None:
        data = zigzag_layers.run(python)
        zigzag_layers.show(data)
        store("zigzag", {**provenance(("hwmodel", "numpy", "numba")), **data})
        return
    graph = resnet18()
    rows = [eyeriss_256(), *best_known(), *few_pes(), network(graph)]
    for name in ("tpu_like", "edge_npu"):
        rows.append(enumeration(name, graph.layers[5], load_accelerator(name), 2000, 300))
    rows += [row_stationary_network(graph), *(row_stationary_network(item, 1.0) for item in (gpt2(), llama_7b()))]
    for name in ("eyeriss", "bitfusion", "edge_npu", "tpu_like"):
        rows += cost_table(resnet20(), name)
    layers = beside_zigzag(graph)
    show(rows, layers)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"device": device(), "rows": rows, "zigzag_tpu_like": layers}, indent=1) + "\n")


if __name__ == "__main__":
    main()
