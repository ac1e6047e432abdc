"""How far the commands of Gemmini carry: errors on layers that no cycle was fitted to, and the tilings chosen.

    python benchmarks/gemmini.py [FILE] [--store]

FILE is by default `gemmini_rtl_cycles.json` of `tests/reference`. Counts (commands, words, missed lines, requests)
come from the preset's machine, and the cycles of each are fitted again to nine tenths of the layers, and to half of
them; errors are of the layers left out. Then, over all layers: how often the given mapping beats on the RTL
the library's default tiling, how often our cycles of the given one say the same, and our cycles of the fastest
tiling on the preset beside the RTL's of the default one. `--store` writes `benchmarks/results/gemmini.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import spearmanr

if __name__ == "__main__":  # works from any folder; this one has a `search` that must not hide the package
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.provenance import provenance, store
from benchmarks.replays.figures import figures_path
from benchmarks.replays.gemmini import PRESET, cycles_of, layer_of, mapping_of, sized
from hwmodel import Accelerator, load_accelerator
from hwmodel.chip.timing.commands import Commands
from hwmodel.mapper.commands.tilings import candidates
from hwmodel.nest.task import Task
from hwmodel.nest.view import array_view
from hwmodel.price.commands.cycles import Phases, commands_of, phases_of_mapping

Floats = NDArray[np.float64]
#: The cycles that are fitted, and where each starts.
FITTED = {
    "load latency": 100.0, "L2 load": 5.0, "LLC load": 5.0, "store": 1.0, "L2 store": 10.0, "LLC store": 10.0,
    "same word": 10.0,
}  # fmt: skip
SEEDS = range(5)


@dataclass(frozen=True)
class Counts:
    """What a layer under its mapping does, each linear in one of the fitted cycles.

    Attributes:
        reference: cycles of the RTL.
        phases: with no cycles but those of the passes.
        loads, stores: of a tile, per cycle of each of `FITTED`.
        words: cycles of a tile's loads that are not fitted.
    """

    reference: float
    phases: Phases
    loads: Floats
    stores: Floats
    words: float

    def cycles(self, costs: Floats) -> float:
        """What the layer takes at these cycles of each."""
        loads, stores = self.words + float(self.loads @ costs), float(self.stores @ costs)
        often = float(self.phases.last_stores[0] / max(self.phases.stores[0], 1e-300))
        own = replace(
            self.phases, loads=np.array([loads]), stores=np.array([stores]), last_stores=np.array([stores * often])
        )
        return float(own.total[0])


def machine(own: Commands, costs: Sequence[float]) -> Commands:
    """The machine with other cycles."""
    latency, near, far, request, near_store, far_store, word = costs
    first, last = own.caches
    return replace(
        own,
        loads=replace(own.loads, latency=latency),
        stores=replace(own.stores, cycles=request, same_word=word),
        caches=(
            replace(first, load_cycles=near, store_cycles=near_store),
            replace(last, load_cycles=far, store_cycles=far_store),
        ),
    )


def counts_of(row: dict[str, Any], chip: Accelerator) -> Counts:
    """The counts of a row, from what one cycle more of each costs."""
    own, layer = commands_of(chip), layer_of(row)
    task = Task.of(layer, sized(chip, row))
    mapping = mapping_of(row, layer)
    base = (1000.0, *(0.0 for _ in list(FITTED)[1:]))  # so slow that words never limit
    at = [phases_of_mapping(machine(own, base), task, mapping)]
    for n in range(len(FITTED)):
        costs = [cost + (1.0 if n == k else 0.0) for k, cost in enumerate(base)]
        at.append(phases_of_mapping(machine(own, costs), task, mapping))
    loads = np.array([one.loads[0] - at[0].loads[0] for one in at[1:]])
    return Counts(
        reference=float(row["rtl_cycles"]),
        phases=at[4],  # some stores, so that how often a tile stores is known
        loads=loads,
        stores=np.array([one.stores[0] - at[0].stores[0] for one in at[1:]]),
        words=float(at[0].loads[0] - 1000.0 * loads[0]),
    )


def fit(layers: Sequence[Counts]) -> Floats:
    """The cycles that these layers say: least relative errors, outliers counted less."""

    def errors(costs: Floats) -> list[float]:
        return [float(np.log(layer.cycles(costs) / layer.reference)) for layer in layers]

    found = least_squares(errors, list(FITTED.values()), bounds=(0.0, 1000.0), loss="soft_l1", f_scale=0.05)
    return np.asarray(found.x)


def left_out(layers: Sequence[Counts], folds: int) -> list[float]:
    """Absolute errors of every layer, each by cycles fitted to the other folds, for all seeds."""
    errors: list[float] = []
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(len(layers))
        for fold in range(folds):
            held = set(order[fold::folds].tolist())
            costs = fit([layer for n, layer in enumerate(layers) if n not in held])
            errors += [abs(layers[n].cycles(costs) / layers[n].reference - 1) for n in sorted(held)]
    return errors


def choices(rows: Sequence[dict[str, Any]], chip: Accelerator) -> dict[str, Any]:
    """Given mapping, default tiling, and our fastest one."""
    ours = [cycles_of(row, chip) for row in rows]
    best = [float(candidates(array_view(Task.of(layer_of(row), chip))).cycles[0]) for row in rows]
    default = [row["rtl_cycles_default_tiling"] for row in rows]
    given = [row["rtl_cycles"] for row in rows]
    sides = [(o < d) == (g < d) for o, g, d in zip(ours, given, default, strict=True)]
    return {
        "layers": len(rows),
        "given mapping faster than the default tiling, RTL": sum(
            a < b for a, b in zip(given, default, strict=True)
        ),
        "the same side by our cycles of the given mapping": sum(sides),
        "our fastest tiling below the RTL's default tiling": sum(a < b for a, b in zip(best, default, strict=True)),
        "our fastest / the RTL's default tiling, geometric mean": statistics.geometric_mean(
            a / b for a, b in zip(best, default, strict=True)
        ),
        "given / default tiling on the RTL, geometric mean": statistics.geometric_mean(
            a / b for a, b in zip(given, default, strict=True)
        ),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/gemmini.json")
    options = parser.parse_args(arguments)
    path = options.file or figures_path("gemmini_rtl_cycles.json")
    rows, chip = json.loads(path.read_text(encoding="utf-8"))["cases"], load_accelerator(PRESET)
    layers = [counts_of(row, chip) for row in rows]
    ours = [cycles_of(row, chip) for row in rows]
    errors = [abs(cycles / row["rtl_cycles"] - 1) for cycles, row in zip(ours, rows, strict=True)]
    table: dict[str, Any] = {
        "preset: mean error": statistics.fmean(errors),
        "preset: median error": statistics.median(errors),
        "preset: rank correlation": float(spearmanr([row["rtl_cycles"] for row in rows], ours).statistic),
        "Timeloop: mean error": statistics.fmean(abs(r["timeloop_cycles"] / r["rtl_cycles"] - 1) for r in rows),
        "fitted to all": dict(zip(FITTED, fit(layers).round(2).tolist(), strict=True)),
    }
    for folds in (10, 2):
        held = left_out(layers, folds)
        table[f"left out, {folds} folds: mean error"] = statistics.fmean(held)
        table[f"left out, {folds} folds: median error"] = statistics.median(held)
    table |= choices(rows, chip)
    for name, value in table.items():
        print(f"{name:60} {value if isinstance(value, (dict, int)) else format(value, '.4f')}")
    if options.store:
        made = provenance(["numpy", "scipy"])
        print(store("gemmini", {"benchmark": "gemmini", **made, "seeds": list(SEEDS), "rows": [table]}))


if __name__ == "__main__":
    main()
