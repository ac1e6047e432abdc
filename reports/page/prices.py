"""What the layers of the front cost, each price once: the page shows those of any of its candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from hwmodel import evaluate
from hwmodel.network.names import out_shape, safe_name
from hwmodel.price.results import LEAKAGE
from reports import units
from reports.run.folder import Run
from reports.units import scaled_label
from workloads.compress import CompressionConfig

if TYPE_CHECKING:
    from hwmodel import NetworkCost
    from hwmodel.price.results import LayerCost

#: Candidates of the front that are priced layer by layer, the pick first; the page says which are not.
MAX_PRICED = 64


class LayerRow(TypedDict):
    """A layer as the table names it; `module` is its position in `Configs.modules`, -1 where none names it."""

    name: str
    module: int
    out: str
    weights: int
    macs: str


class Prices(TypedDict):
    """Prices of layers.

    A row is [energy [unit], cycles, utilization [%], bound, operands that stay on chip, then the energy of every
    level [unit]]; `of` is, by row of the candidates, one position in `rows` per layer.
    """

    layers: list[LayerRow]
    levels: list[str]
    unit: str
    rows: list[list[float | str]]
    of: dict[str, list[int]]


def layer_rows(run: Run, modules: Sequence[str]) -> list[LayerRow]:
    """The layers of the network, in order; `modules` are those of `Configs`."""
    position = {name: index for index, name in enumerate(modules)}
    return [
        {
            "name": safe_name(layer.name), "module": position.get(safe_name(layer.module), -1),
            "out": out_shape(layer), "weights": layer.weights, "macs": units.count(layer.macs),
        }
        for layer in run.graph.layers
    ]  # fmt: skip


def prices_of(run: Run, modules: Sequence[str]) -> Prices:
    """The front of a run, and its baselines, priced layer by layer; nothing without an accelerator."""
    layers = layer_rows(run, modules)
    costs = _costs(run)
    levels = list(
        dict.fromkeys(level for cost in costs.values() for item in cost.layers for level in _levels(item))
    )
    largest = max((item.energy_pj for cost in costs.values() for item in cost.layers), default=1.0)
    label, scale = scaled_label("", "J", largest * 1e-12, 1e-12)
    known: dict[tuple[Any, ...], int] = {}
    of: dict[str, list[int]] = {}
    for row, cost in costs.items():
        found = [_price(item, levels, scale) for item in cost.layers]
        of[str(row)] = [known.setdefault(price, len(known)) for price in found]
    return {
        "layers": layers,
        "levels": [units.level_name(level) for level in levels],
        "unit": label.strip(" []"),
        "rows": [list(price) for price in known],
        "of": of,
    }


def _costs(run: Run) -> dict[int, NetworkCost]:
    """Row of the candidates -> its cost on the accelerator of the run."""
    if run.accelerator is None:
        return {}
    configs = {result.number: result.config for result in run.results}
    return {
        row: evaluate(run.graph, run.accelerator, CompressionConfig.from_dict(configs[number]), fuse=run.fuse)
        for row, number in _wanted(run)
    }


def _wanted(run: Run) -> list[tuple[int, int]]:
    """(row, number) of what is priced: the pick, the front and the uniform candidates, on the picked design."""
    frame = run.candidates.reset_index(drop=True)
    shown = frame["front"] | frame["picked"] | ((frame["origin"] == "uniform") & (frame["stage"] == "qat"))
    if "design" in frame.columns:
        shown &= (frame["design"] == frame.loc[frame["picked"], "design"].max()) | frame["picked"]
    chosen = frame[shown & (frame["status"] == "done")].sort_values(["picked", "front"], ascending=False)
    return list(zip(chosen.index.tolist(), chosen["number"].tolist(), strict=True))[:MAX_PRICED]


def _levels(item: LayerCost) -> list[str]:
    return [LEAKAGE if kind == LEAKAGE else place for place, kind in item.energy_breakdown]


def _price(item: LayerCost, levels: Sequence[str], scale: float) -> tuple[float | str, ...]:
    sums = dict.fromkeys(levels, 0.0)
    for level, energy in zip(_levels(item), item.energy_breakdown.values(), strict=True):
        sums[level] += energy
    return (
        _rounded(item.energy_pj * scale), item.cycles, round(item.utilization * 100), item.bound,
        " ".join(item.resident), *(_rounded(value * scale) for value in sums.values()),
    )  # fmt: skip


def _rounded(value: float) -> float:
    """To four significant digits."""
    return float(f"{value:.4g}")
