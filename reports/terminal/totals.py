"""A network in totals, notes, and what was not counted: the lines under its tree, and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwmodel.network.names import OK, WARNING, times
from hwmodel.price.footprint import does_it_fit
from hwmodel.show.coverage import coverage_lines
from hwmodel.show.load import load_lines
from hwmodel.show.sums import NOTHING, layer_sums
from reports import units
from reports.run.frames import records
from reports.terminal.placement import placement_data, placement_lines

if TYPE_CHECKING:
    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.network.graph import LayerGraph
    from hwmodel.price.results import NetworkCost


def cost_lines(
    cost: NetworkCost,
    graph: LayerGraph | None = None,
    *,
    accelerator: Accelerator | None = None,
    verbose: bool = False,
) -> list[tuple[str, str]]:
    """The lines under the table: totals, what runs in stripes, the notes of the model, and what was not counted.

    Args:
        cost: of `graph`.
        graph: names the ops without MACs; None where it is not at hand.
        accelerator: that it was priced on, for its clock and its buffer.
        verbose: name the ops priced as memory only, and the free ones.
    """
    clock = f" @ {units.frequency(accelerator.clock_hz)}" if accelerator else ""
    totals = [
        f"latency {units.seconds(cost.latency_s)}{clock}",
        f"energy {units.energy(cost.energy_pj)}",
        f"weights {units.data_size(cost.weight_bits)}",
        f"peak activations {units.data_size(cost.activation_bits)}{_fits(cost, accelerator)}",
        f"memory {units.data_size(cost.memory_bits)}",
    ]
    lines = [("", " · ".join(totals)), *(("", line) for line in load_lines(cost))]
    if accelerator is not None:
        lines += placement_lines(cost, accelerator)
    widths = sum(layer_sums([item.layer for item in cost.layers]), NOTHING).w_bits
    if cost.layers and not widths.is_uniform:
        lines.append(
            (
                "",
                f"average weight precision {widths.value:.4f} bit, over conv and linear weights (no bias, no norm)",
            )
        )
    lines += [(WARNING, note) for note in (cost.notes if graph is None else cost.price_notes)]
    if graph is None:
        return lines if cost.is_lower_bound else [*lines, (OK, "all MACs counted")]
    priced = "priced by traffic and vector cycles"
    if accelerator is not None and not accelerator.levels:
        priced = f"that {accelerator.name} does not price"
    return lines + coverage_lines(graph, priced=priced, verbose=verbose)


def _fits(cost: NetworkCost, accelerator: Accelerator | None) -> str:
    """Whether the largest bounded memory of activations can hold their peak; empty where there is none."""
    sized = [
        (fit.capacity_bits, fit.activations, fit.name)
        for fit in (() if accelerator is None else does_it_fit(cost, accelerator))
        if fit.capacity_bits is not None and fit.activations is not None
    ]
    if not sized:
        return ""
    size, fits, name = max(sized)
    return f" ({'fits' if fits else 'exceeds'} {name}, {units.data_size(size)})"


def graph_lines(graph: LayerGraph, *, verbose: bool = False) -> list[tuple[str, str]]:
    """The lines under the tree: exact totals, and what was not counted."""
    sums = sum(layer_sums(graph.layers), NOTHING)
    biases = f" + {sums.biases:,} biases" if sums.biases else ""
    totals = [
        times(sums.num_layers, "layer"),
        f"{sums.weights:,} weights{biases} (no norms, no embedding tables)",
        f"{sums.macs:,} MACs",
        times(len(graph.vector_ops), "other op"),
        f"traced by {graph.route or 'hand'}",
    ]
    return [("", " · ".join(totals)), *coverage_lines(graph, verbose=verbose)]


def graph_data(graph: LayerGraph) -> dict[str, Any]:
    """A graph as JSON: its nodes and edges, totals, and what was not counted (`uncounted`)."""
    frame = graph.to_dataframe()
    return {
        **graph.to_dict(),
        "fingerprint": graph.fingerprint,
        "macs": graph.macs,
        "weights": sum(graph.weights.values()),
        "params": int(frame["params"].sum()) if len(frame) else 0,
        "lower_bound": graph.is_lower_bound,
    }


def cost_data(priced: NetworkCost, graph: LayerGraph) -> dict[str, Any]:
    """A cost as JSON: totals, layers, where tensors lie, notes, what was not counted. Units are in the names."""
    totals = ("macs", "effectual_macs", "energy_pj", "cycles", "latency_s", "weight_bits", "activation_bits",
              "memory_bits", "bops", "utilization")  # fmt: skip
    return {
        "model": graph.name,
        "fingerprint": graph.fingerprint,
        "total": {name: getattr(priced, name) for name in totals},
        "layers": records(priced.to_dataframe()),
        **placement_data(priced),
        "notes": list(priced.notes),
        "load": None if priced.load is None else vars(priced.load),
        "lower_bound": graph.is_lower_bound,
        "uncounted": [{"op": u.op, "module": u.module, "calls": u.calls} for u in graph.uncounted],
    }
