"""Every layer at every choice, priced once: after that the exact cost of a candidate is a few additions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hwmodel.chip.accelerator import Accelerator
from hwmodel.cost import layer_cost
from hwmodel.errors import ConfigError, check_names, did_you_mean
from hwmodel.mapper.free import Objective
from hwmodel.nest.task import Task
from hwmodel.network.choice import Choice
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Layer
from hwmodel.network.liveness import Liveness
from hwmodel.price.results import LayerCost, stored_once
from hwmodel.price.strict import check_bits
from hwmodel.price.vector import VectorCost, fuses_pools, vector_costs

Indices = NDArray[np.int64]
Column = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Cost of one candidate; the same numbers as `evaluate` gives."""

    energy_pj: float
    cycles: float
    latency_s: float
    weight_bits: float
    activation_bits: float
    memory_bits: float
    bops: float
    avg_w_bits: float
    macs: float


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One module: its choices, and per choice the sums over its layers."""

    choices: tuple[Choice | None, ...]
    energy_pj: Column
    cycles: Column
    weight_bits: Column
    bops: Column
    w_bits: Column
    out_bits: Column


class CostTable:
    """Prices of every module at every choice, on one accelerator.

    Build it with `CostTable.build`. Modules without choices (matmuls of two activations that no
    configuration names) stay as the graph annotates them.

    Attributes:
        modules: those that have choices, in order of first appearance.
        choices: module -> its choices; positions in it are the indices of `totals`.
        accelerator: the one it was priced on.
    """

    def __init__(
        self, graph: LayerGraph, accelerator: Accelerator, entries: Mapping[str, _Entry], *, fuse: bool = True
    ) -> None:
        self.accelerator = accelerator
        self._graph = graph
        self._entries = dict(entries)
        self._fixed = {module for module, entry in entries.items() if entry.choices == (None,)}
        self.modules = tuple(module for module in entries if module not in self._fixed)
        self.choices: dict[str, tuple[Choice, ...]] = {
            module: tuple(choice for choice in entries[module].choices if choice is not None)
            for module in self.modules
        }
        self._liveness = Liveness.of(graph, pools=fuses_pools(accelerator, fuse=fuse))
        self._index = {module: {c: n for n, c in enumerate(found)} for module, found in self.choices.items()}

    @classmethod
    def build(
        cls,
        graph: LayerGraph,
        accelerator: Accelerator,
        choices: Mapping[str, Sequence[Choice]] | Sequence[Choice],
        optimize: Objective = "energy",
        progress: Callable[[int, int], None] | None = None,
        *,
        strict_bits: bool = False,
        fuse: bool = True,
    ) -> Self:
        """Price every module at every choice.

        Args:
            graph: traced.
            accelerator: the target.
            choices: per module, or one sequence for every module that owns weights.
            optimize: what the mapping of each layer minimises.
            progress: called with (modules done, modules in all).
            strict_bits: refuse choices whose widths the accelerator has no arithmetic for.
            fuse: pools may be fused with the layer that feeds them.

        Raises:
            PrecisionError: `strict_bits`, and a choice has such widths.
            ConfigError: a module is unknown (the nearest is offered), or has no choice.
            MappingError: a layer fits at no mapping.
        """
        if not isinstance(choices, Mapping):
            choices = dict.fromkeys(graph.modules, choices)
        layers: dict[str, list[Layer]] = {}
        for layer in graph.layers:
            layers.setdefault(layer.module, []).append(layer)
        check_names(choices, layers, place="choices")
        for module, options in choices.items():
            if not options:
                raise ConfigError(f"choices: {module!r} needs at least one choice, but got none")
        if strict_bits:
            check_bits(
                (option.annotate(layer) for module, options in choices.items()
                 for layer in layers[module] for option in options),
                accelerator,
            )  # fmt: skip
        builder = _Builder(graph, accelerator, optimize, fuse)
        entries: dict[str, _Entry] = {}
        for count, (module, members) in enumerate(layers.items()):
            options = tuple(dict.fromkeys(choices.get(module, ())))
            entries[module] = builder.entry(members, options or (None,))
            if progress is not None:
                progress(count + 1, len(layers))
        return cls(graph, accelerator, entries, fuse=fuse)

    def price(self, assignment: Mapping[str, Choice]) -> Totals:
        """Cost of one candidate.

        Args:
            assignment: a choice for every module of `modules`.

        Raises:
            ConfigError: a module is missing or unknown, or a choice is not in the table.
        """
        row = np.array([[self._position(module, assignment) for module in self.modules]], dtype=np.int64)
        for module in assignment:
            if module not in self.choices:
                raise ConfigError(f"assignment: no choices for {module!r}.{did_you_mean(module, self.choices)}")
        return Totals(**{name: float(column[0]) for name, column in self.totals(row).items()})

    def _position(self, module: str, assignment: Mapping[str, Choice]) -> int:
        if module not in assignment:
            raise ConfigError(f"assignment: {module!r} has no choice")
        try:
            return self._index[module][assignment[module]]
        except KeyError:
            raise ConfigError(f"assignment: {assignment[module]} of {module!r} is not in the table") from None

    def totals(self, indices: Indices) -> dict[str, Column]:
        """Costs of many candidates.

        Args:
            indices: (n, len(modules)), positions in `choices` of each module.

        Returns:
            The fields of `Totals`, each (n,). Sums run in module order, so they equal those of
            `evaluate` to the last bit.
        """
        if indices.ndim != 2 or indices.shape[1] != len(self.modules):
            raise ConfigError(f"indices must be (n, {len(self.modules)}), but got {indices.shape}")
        count = len(indices)
        column_of = {module: indices[:, n] for n, module in enumerate(self.modules)}
        zeros = np.zeros(count, dtype=np.int64)
        sums = {name: np.zeros(count) for name in ("energy_pj", "cycles", "weight_bits", "bops")}
        weighted, out_bits = np.zeros(count), {}
        for module, entry in self._entries.items():
            chosen = column_of.get(module, zeros)
            for name in sums:
                sums[name] += getattr(entry, name)[chosen]
            weighted += self._graph.weights.get(module, 0) * entry.w_bits[chosen]
            out_bits[module] = entry.out_bits[chosen]
        weights = sum(self._graph.weights.values())
        activation = self._activation_bits(out_bits, count)
        return {
            **sums,
            "latency_s": sums["cycles"] / self.accelerator.clock_hz,
            "activation_bits": activation,
            "memory_bits": sums["weight_bits"] + activation,
            "avg_w_bits": weighted / weights if weights else zeros.astype(np.float64),
            "macs": np.full(count, float(self._graph.macs)),
        }

    def _activation_bits(self, out_bits: Mapping[str, Column], count: int) -> Column:
        peak = np.zeros(count)
        native = np.full(count, float(self.accelerator.native_bits.i))
        for alive in {tuple(sorted(step.items())) for step in self._liveness.steps}:
            peak = np.maximum(peak, sum((n * out_bits.get(m, native) for m, n in alive), np.zeros(count)))
        return peak


class _Builder:
    """Prices the layers of one module at one choice after the other."""

    def __init__(self, graph: LayerGraph, accelerator: Accelerator, optimize: Objective, fuse: bool) -> None:
        self.graph, self.accelerator, self.optimize, self.fuse = graph, accelerator, optimize, fuse
        self.last = graph.layers[-1].name if graph.layers else ""
        self.vectors: dict[Choice | None, dict[str, VectorCost]] = {}

    def entry(self, layers: Sequence[Layer], choices: tuple[Choice | None, ...]) -> _Entry:
        priced = [[self.cost(layer, choice) for layer in layers] for choice in choices]
        widths = [Task.of(costs[0].layer, self.accelerator).widths for costs in priced]
        return _Entry(
            choices=choices,
            energy_pj=np.array([sum(cost.energy_pj for cost in costs) for costs in priced], dtype=np.float64),
            cycles=np.array([sum(cost.cycles for cost in costs) for costs in priced], dtype=np.float64),
            weight_bits=np.array([stored_once(costs) for costs in priced], dtype=np.float64),
            bops=np.array([sum(cost.bops for cost in costs) for costs in priced], dtype=np.float64),
            w_bits=np.array([width.w for width in widths], dtype=np.float64),
            out_bits=np.array([width.o for width in widths], dtype=np.float64),
        )

    def cost(self, layer: Layer, choice: Choice | None) -> LayerCost:
        annotated = layer if choice is None else choice.annotate(layer)
        vector = self.vector(choice).get(layer.name)
        last = layer.name == self.last
        return layer_cost(annotated, self.accelerator, self.optimize, vector=vector, last=last)

    def vector(self, choice: Choice | None) -> dict[str, VectorCost]:
        """Vector costs with every layer at one choice: an operation takes the width of its owner alone."""
        key = None if choice is None else replace(choice, density=1.0, pattern="unstructured")
        if key not in self.vectors:
            graph = self.graph
            if key is not None:
                graph = graph.with_layers({layer.name: key.annotate(layer) for layer in graph.layers})
            self.vectors[key] = vector_costs(graph, self.accelerator, fuse=self.fuse)
        return self.vectors[key]
