"""The space of candidates: groups of layers, what each may choose, and the layers that are frozen.

A *point* is {parameter: value} with parameters `GROUP.w_bits`, `GROUP.a_bits` and `GROUP.density`; an axis
on which a group has a single value is no parameter. Values rise along every axis, so the last is the
most precise.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hwmodel.errors import ConfigError, did_you_mean
from hwmodel.network.choice import Choice
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import parse_pattern
from search.groups import (
    AXES,
    AxisValue,
    Frozen,
    Group,
    Groups,
    Parameter,
    axis_values,
    choice_of,
    resolve_frozen,
    resolve_groups,
    resolve_own,
)
from workloads.compress.config import CompressionConfig, LayerChoice

Point = Mapping[str, AxisValue]


@dataclass(frozen=True, kw_only=True)
class Space:
    """All candidates of a search. Build one with `Space.from_graph`.

    Attributes:
        groups: in the order of the graph.
        frozen: module -> its fixed choice.
        modules: every module with weights, in the order of the graph: the columns of `encode`.
        pattern: of the zeros where the density is below 1.
        quantizer, granularity: of `LayerChoice`: a name such as `lsq`, and one grid per `tensor` or `channel`.
        notes: what was narrowed, in words.
    """

    groups: tuple[Group, ...]
    frozen: Mapping[str, LayerChoice]
    modules: tuple[str, ...]
    pattern: str = "unstructured"
    quantizer: str = "lsq"
    granularity: str = "tensor"
    notes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def from_graph(
        cls,
        graph: LayerGraph,
        *,
        w_bits: Sequence[int] = (2, 4, 8),
        a_bits: Sequence[int] = (8,),
        density: Sequence[float] | None = None,
        pattern: str = "unstructured",
        groups: Groups = None,
        frozen: Frozen = "first_last",
        quantizer: str = "lsq",
        granularity: str = "tensor",
        floating: Collection[str] = (),
        layers: Mapping[str, Mapping[str, Sequence[AxisValue]]] | None = None,
    ) -> Self:
        """The space over the weight layers of a graph.

        Args:
            graph: of the model.
            w_bits, a_bits: widths that every group may take [bit]; 32 is float.
            density: non-zero fractions that every group may take; None is dense, or N/M for an `N:M` pattern.
            pattern: `unstructured`, whole `filter`s or `N:M`.
            groups: `{"stage1": ["layer1.*"]}`: layers that decide together, by name or glob. Layers in no
                group decide alone; so does every layer where this is None or "per-layer".
            frozen: `first_last` (8 bits in the first and last weight layer), `first_last_float`, a mapping
                `{"conv1": 8 | "float" | {"w_bits": 4, "a_bits": 8}}` by name or glob, or None.
            quantizer: of every layer: `lsq` (learned step) or another name of `LayerChoice`.
            granularity: of the weights' grids: one per `tensor`, or one per output `channel`.
            layers: groups that may take other values, `{"conv1": {"w_bits": [4, 8]}, "fc": {"density": [1]}}`: by
                the name or glob of a group or of a layer in it; an exact name wins over a glob.
            floating: modules that cannot be compressed; they stay float whatever `frozen` says.

        Raises:
            ConfigError: a name matches no layer, groups overlap, a list of values is empty or out of range.
        """
        if not graph.modules:
            raise ConfigError(f"space: {graph.name!r} has no layer with weights.")
        values = axis_values(w_bits, a_bits, density, pattern, quantizer, granularity)
        widths = [int(bits) for bits in values["a_bits"]]
        fixed = resolve_frozen(graph, frozen, widths, {"quantizer": quantizer, "granularity": granularity})
        found, notes = [], []
        for name in graph.modules:
            if name in floating:
                fixed[name] = LayerChoice()
                notes.append(f"{name!r} stays float: its kind of module cannot be compressed")
        fixed = {name: fixed[name] for name in graph.modules if name in fixed}
        resolved = resolve_groups(graph, groups, fixed)
        own = resolve_own(resolved, layers or {}, frozen=tuple(fixed))
        for name, modules in resolved.items():
            usual = {"w_bits": w_bits, "a_bits": a_bits, "density": density, **own.get(name, {})}
            values = axis_values(**usual, pattern=pattern, quantizer=quantizer, granularity=granularity)
            blocked = _blocked(graph, modules, pattern) if min(values["density"]) < 1 else ""
            if blocked:
                notes.append(f"{name!r} stays dense: {blocked}")
            densities = (1.0,) if blocked else values["density"]
            found.append(
                Group(
                    name=name, modules=modules, density=tuple(float(value) for value in densities),
                    w_bits=tuple(int(value) for value in values["w_bits"]),
                    a_bits=tuple(int(value) for value in values["a_bits"]),
                )
            )  # fmt: skip
        return cls(
            groups=tuple(found), frozen=fixed, modules=graph.modules, pattern=pattern, quantizer=quantizer,
            granularity=granularity, notes=tuple(notes),
        )  # fmt: skip

    # ---- what is in it -------------------------------------------------------------------------

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The decisions, group by group."""
        return tuple(
            Parameter(name=f"{group.name}.{axis}", group=group.name, axis=axis, values=group.values(axis))
            for group in self.groups
            for axis in AXES
            if len(group.values(axis)) > 1
        )

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(len(parameter.values) for parameter in self.parameters)

    @cached_property
    def most_precise(self) -> dict[str, AxisValue]:
        """The point with the last value on every axis."""
        return {parameter.name: parameter.values[-1] for parameter in self.parameters}

    def choices(self) -> dict[str, tuple[Choice, ...]]:
        """Module -> its choices in hardware terms, in the order of the indices of `encode`; for a `CostTable`."""
        found: dict[str, tuple[Choice, ...]] = {module: (choice.choice,) for module, choice in self.frozen.items()}
        for group in self.groups:
            options = tuple(self._layers[combination].choice for combination in group.combinations)
            found.update(dict.fromkeys(group.modules, options))
        return {module: found[module] for module in self.modules}

    @cached_property
    def group_choices(self) -> tuple[tuple[Choice, ...], ...]:
        """Per group its combinations in hardware terms."""
        return tuple(tuple(self._layers[c].choice for c in group.combinations) for group in self.groups)

    def points(self) -> Iterator[dict[str, AxisValue]]:
        """Every point, in lexicographic order of the indices."""
        names = [parameter.name for parameter in self.parameters]
        for values in itertools.product(*(parameter.values for parameter in self.parameters)):
            yield dict(zip(names, values, strict=True))

    def uniform_points(self) -> list[dict[str, AxisValue]]:
        """The same bits in every group, most precise first: every w_bits x a_bits dense, then each density.

        A group that lacks a value takes its nearest above, else its largest.
        """
        bits = itertools.product(*(self._all_values(axis)[::-1] for axis in ("w_bits", "a_bits")))
        points = [self.uniform_point(w_bits=w, a_bits=a) for w, a in bits]
        points += [self.uniform_point(density=density) for density in self._all_values("density")[-2::-1]]
        return [point for index, point in enumerate(points) if point not in points[:index]]

    def uniform_point(self, **wanted: AxisValue) -> dict[str, AxisValue]:
        """The same value in every group, by axis, and its most precise one on the others.

        A group that lacks a value takes its nearest above, else its largest.
        """
        return {
            p.name: _at_least(p.values, wanted[p.axis]) if p.axis in wanted else p.values[-1]
            for p in self.parameters
        }

    def _all_values(self, axis: str) -> list[AxisValue]:
        return sorted({value for group in self.groups for value in group.values(axis)})

    # ---- points, indices, configurations -------------------------------------------------------

    def indices(self, point: Point) -> tuple[int, ...]:
        """Position of each value along its parameter.

        Raises:
            ConfigError: a parameter is missing or unknown, or a value is not allowed.
        """
        names = [parameter.name for parameter in self.parameters]
        for name in point:
            if name not in names:
                raise ConfigError(f"point: unknown parameter {name!r}.{did_you_mean(name, names)}")
        found = []
        for parameter in self.parameters:
            if parameter.name not in point:
                raise ConfigError(f"point: {parameter.name!r} is missing.")
            if point[parameter.name] not in parameter.values:
                raise ConfigError(
                    f"point: {parameter.name} must be among {list(parameter.values)}, "
                    f"but got {point[parameter.name]!r}."
                )
            found.append(parameter.values.index(point[parameter.name]))
        return tuple(found)

    def point(self, indices: Iterable[int]) -> dict[str, AxisValue]:
        """Inverse of `indices`."""
        return {p.name: p.values[int(index)] for p, index in zip(self.parameters, indices, strict=True)}

    def config(self, point: Point) -> CompressionConfig:
        """The configuration of a point, frozen layers included.

        Raises:
            ConfigError: the point is not in this space.
        """
        self.indices(point)
        layers = dict(self.frozen)
        for group in self.groups:
            combination = tuple(point.get(f"{group.name}.{axis}", group.values(axis)[-1]) for axis in AXES)
            layers.update(dict.fromkeys(group.modules, self._layers[combination]))
        return CompressionConfig({module: layers[module] for module in self.modules})

    def point_of(self, config: CompressionConfig) -> dict[str, AxisValue]:
        """Inverse of `config`.

        Raises:
            ConfigError: the configuration is not in this space.
        """
        point: dict[str, AxisValue] = {}
        for parameter in self.parameters:
            group = next(group for group in self.groups if group.name == parameter.group)
            choice = config.layers.get(group.modules[0], LayerChoice())
            point[parameter.name] = getattr(choice, parameter.axis)
        if self.config(point) != config:
            raise ConfigError("configuration: is not in this space: a frozen or grouped layer differs.")
        return point

    def encode(self, points: Sequence[Point]) -> NDArray[np.int64]:
        """Indices into `choices()`: shape (num_points, num_modules), columns as `modules`."""
        column = {module: index for index, module in enumerate(self.modules)}
        matrix = np.zeros((len(points), len(self.modules)), dtype=np.int64)
        for group in self.groups:
            order = {combination: index for index, combination in enumerate(group.combinations)}
            picked = [
                order[tuple(point.get(f"{group.name}.{axis}", group.values(axis)[-1]) for axis in AXES)]
                for point in points
            ]
            for module in group.modules:
                matrix[:, column[module]] = picked
        return matrix

    @cached_property
    def _layers(self) -> dict[tuple[AxisValue, ...], LayerChoice]:
        """Every combination of any group, made once."""
        return {
            combination: choice_of(combination, self.pattern, self.quantizer, self.granularity)
            for group in self.groups
            for combination in group.combinations
        }

    # ---- identity ------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; the granularity only where it is not `tensor`."""
        granularity = {} if self.granularity == "tensor" else {"granularity": self.granularity}
        return {
            "groups": {
                group.name: {"modules": list(group.modules), **{axis: list(group.values(axis)) for axis in AXES}}
                for group in self.groups
            },
            "frozen": {module: choice.to_dict() for module, choice in self.frozen.items()},
            "pattern": self.pattern,
            "quantizer": self.quantizer,
            **granularity,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`, but for `notes` and the order of `modules`: groups come before frozen layers.

        Raises:
            ConfigError: a field is missing, or a value out of range.
        """
        try:
            groups = tuple(
                Group(name=name, modules=tuple(item["modules"]), **{axis: tuple(item[axis]) for axis in AXES})
                for name, item in data["groups"].items()
            )
            frozen = {module: LayerChoice.from_dict(choice) for module, choice in data["frozen"].items()}
            pattern, quantizer = str(data["pattern"]), str(data["quantizer"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"space: is not one: {type(error).__name__} {error}.") from None
        modules = tuple(module for group in groups for module in group.modules)
        space = cls(
            groups=groups, frozen=frozen, modules=(*modules, *frozen), pattern=pattern, quantizer=quantizer,
            granularity=str(data.get("granularity", "tensor")),
        )  # fmt: skip
        _ = space._layers  # every combination is valid
        return space

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the content."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def describe(self) -> str:
        """One line: sizes, values, what is frozen."""
        size = f"{self.size:,}" if self.size < 10**6 else f"10^{math.log10(self.size):.1f}"
        parts = [f"{size} configuration{'s' if self.size != 1 else ''}", f"{len(self.groups)} groups"]
        parts += [f"{axis} {self._all_values(axis)}" for axis in AXES if self._all_values(axis) not in ([], [1.0])]
        if self._all_values("density") not in ([], [1.0]):
            parts.append(f"pattern {self.pattern}")
        parts.append(
            f"{len(self.frozen)} layers frozen ({', '.join(self.frozen)})" if self.frozen else "none frozen"
        )
        return "; ".join(parts)


def _blocked(graph: LayerGraph, modules: tuple[str, ...], pattern: str) -> str:
    """Why an N:M pattern cannot be used in a group; "" where it can."""
    block = parse_pattern(pattern)
    if block is None:
        return ""
    for layer in graph.layers:
        if layer.module in modules and layer.dims.C % block[1]:
            return f"{layer.module} has {layer.dims.C} input channels per group, not divisible by {block[1]}"
    return ""


def _at_least(values: Sequence[AxisValue], wanted: AxisValue) -> AxisValue:
    return next((value for value in values if value >= wanted), values[-1])
