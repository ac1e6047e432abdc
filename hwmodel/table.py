"""Every layer at every choice, priced once: after that the exact cost of a candidate is a few additions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hwmodel.chip.accelerator import Accelerator
from hwmodel.cost import price_situation, stored_weight_bits
from hwmodel.errors import ConfigError, check_names, did_you_mean
from hwmodel.mapper.free import Objective
from hwmodel.nest.task import Task
from hwmodel.network.choice import Choice
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Dims, Layer
from hwmodel.network.stored import first_reads
from hwmodel.place.placer import Placer
from hwmodel.place.plan import Plan
from hwmodel.price.strict import check_bits

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
    """One module: its choices, and per choice what does not depend on its neighbours."""

    choices: tuple[Choice | None, ...]
    layers: tuple[int, ...]
    weight_bits: Column
    bops: Column
    w_bits: Column


class CostTable:
    """Prices of every module at every choice, on one accelerator.

    Build it with `CostTable.build`. Modules without choices (matmuls of two activations that no
    configuration names) stay as the graph annotates them. What a layer costs between its neighbours (the width and
    the place of its input and output, and the room that is left) is priced when the first candidate needs it
    (Lemmas 19 and 20 of docs/explain/mapper.md).

    Attributes:
        modules: those that have choices, in order of first appearance.
        choices: module -> its choices; positions in it are the indices of `totals`.
        accelerator: the one it was priced on.
    """

    def __init__(self, graph: LayerGraph, placer: Placer, entries: Mapping[str, _Entry]) -> None:
        self.accelerator = placer.accelerator
        self._graph, self._placer = graph, placer
        self._entries = dict(entries)
        self.modules = tuple(module for module, entry in entries.items() if entry.choices != (None,))
        self.choices: dict[str, tuple[Choice, ...]] = {
            module: tuple(choice for choice in entries[module].choices if choice is not None)
            for module in self.modules
        }
        self._index = {module: {c: n for n, c in enumerate(found)} for module, found in self.choices.items()}
        column = {module: n for n, module in enumerate(self.modules)}
        self._columns = np.array([column.get(layer.module, -1) for layer in graph.layers], dtype=np.int64)

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
        """Price every module at every choice; where tensors or weights may stay, at the widest ones of them.

        Args:
            graph: traced.
            accelerator: the target.
            choices: per module, or one sequence for every module that owns weights.
            optimize: what the mapping of each layer minimises.
            progress: called with (modules done, modules in all).
            strict_bits: refuse choices whose widths the accelerator has no arithmetic for.
            fuse: layers, pools, concatenations and attentions may be fused, as in `evaluate`.

        Raises:
            PrecisionError: `strict_bits`, and a choice has such widths.
            ConfigError: a module is unknown (the nearest is offered), or has no choice.
            MappingError: a layer fits at no mapping, at its widest choice where tensors or weights may stay.
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
        wanted: dict[str, tuple[Choice | None, ...]] = {
            module: tuple(dict.fromkeys(choices.get(module, ()))) or (None,) for module in layers
        }
        annotated = [
            [layer if choice is None else choice.annotate(layer) for choice in wanted[layer.module]]
            for layer in graph.layers
        ]
        plan = Plan.of(graph, accelerator, fuse=fuse)
        placer = Placer(plan, accelerator, optimize, annotated, partial(price_situation, accelerator, optimize))
        placer.begin()
        entries: dict[str, _Entry] = {}
        for count, module in enumerate(layers):
            entries[module] = _entry(plan, placer, wanted[module], module)
            if progress is not None:
                progress(count + 1, len(layers))
        return cls(graph, placer, entries)

    def price(self, assignment: Mapping[str, Choice]) -> Totals:
        """Cost of one candidate.

        Args:
            assignment: a choice for every module of `modules`.

        Raises:
            ConfigError: a module is missing or unknown, or a choice is not in the table.
        """
        return Totals(
            **{name: float(column[0]) for name, column in self.totals(self.indices([assignment])).items()}
        )

    def indices(self, assignments: Sequence[Mapping[str, Choice]]) -> Indices:
        """Candidates as `totals` takes them. Shape (n, len(modules)).

        Args:
            assignments: of each a choice for every module of `modules`.

        Raises:
            ConfigError: as `price`.
        """
        for module in dict.fromkeys(module for assignment in assignments for module in assignment):
            if module not in self.choices:
                raise ConfigError(f"assignment: no choices for {module!r}.{did_you_mean(module, self.choices)}")
        rows = [[self._position(module, assignment) for module in self.modules] for assignment in assignments]
        return np.array(rows, dtype=np.int64).reshape(len(assignments), len(self.modules))

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
        columns = np.concatenate((indices, np.zeros((count, 1), dtype=np.int64)), axis=1)
        picks = np.ascontiguousarray(columns[:, self._columns])
        energy, cycles, peak = self._placer.run(picks).totals.T
        sums = {name: np.zeros(count) for name in ("weight_bits", "bops")}
        weighted = np.zeros(count)
        for module, entry in self._entries.items():
            chosen = picks[:, entry.layers[0]]
            for name in sums:
                sums[name] += getattr(entry, name)[chosen]
            weighted += self._graph.weights.get(module, 0) * entry.w_bits[chosen]
        weights = sum(self._graph.weights.values())
        return {
            "energy_pj": energy,
            "cycles": cycles,
            **sums,
            "latency_s": cycles / self.accelerator.clock_hz,
            "activation_bits": peak,
            "memory_bits": sums["weight_bits"] + peak,
            "avg_w_bits": weighted / weights if weights else np.zeros(count),
            "macs": np.full(count, float(self._graph.macs)),
        }


def _entry(plan: Plan, placer: Placer, choices: tuple[Choice | None, ...], module: str) -> _Entry:
    """A module: what is stored of its weights, its bit operations, and its plain prices ahead of time."""
    members = tuple(n for n, layer in enumerate(plan.layers) if layer.module == module)
    storing = list(compress(members, first_reads(plan.layers[n] for n in members)))
    count = len(choices)
    weight_bits, bops, w_bits = np.zeros(count), np.zeros(count), np.zeros(count)
    for c in range(count):
        tasks = {n: Task.of(placer.options[n][c], placer.accelerator) for n in members}
        weight_bits[c] = sum(stored_weight_bits(tasks[n].without_removed_filters()) for n in storing)
        bops[c] = sum(
            task.without_removed_filters().layer.macs * task.widths.w * task.widths.i for task in tasks.values()
        )
        w_bits[c] = tasks[members[0]].widths.w
        for n, task in tasks.items():
            if not placer.places:
                placer.prefill(n, c, task.widths.i, task.widths.o)
    for n in members if placer.places else ():
        tasks_of = [Task.of(layer, placer.accelerator) for layer in placer.options[n]]
        for c in _widest(tasks_of):
            placer.prefill(n, c, tasks_of[c].widths.i, tasks_of[c].widths.o)
    return _Entry(choices=choices, layers=members, weight_bits=weight_bits, bops=bops, w_bits=w_bits)


def _widest(tasks: Sequence[Task]) -> list[int]:
    """Choices of a layer that no other of its shape is as wide as, in w and i: what holds them holds all."""
    ranked = sorted(range(len(tasks)), key=lambda n: (-tasks[n].widths.w, -tasks[n].widths.i))
    most: dict[Dims, int] = {}
    found = []
    for n in ranked:
        dims, width = tasks[n].without_removed_filters().layer.dims, tasks[n].widths.i
        if width > most.get(dims, 0):
            most[dims] = width
            found.append(n)
    return found
