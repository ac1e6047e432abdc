"""Which layers decide together, and which are frozen: names and globs resolved against a graph."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwmodel.errors import ConfigError, did_you_mean
from hwmodel.network.choice import FLOAT_BITS
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import parse_pattern
from hwmodel.network.patterns import matching
from workloads.compress.config import LayerChoice

FROZEN_BITS = 8

#: What may be said for a frozen layer: weight bits, "float", a choice, or its fields.
FrozenValue = int | str | LayerChoice | Mapping[str, Any]
#: `first_last`, `first_last_float`, values by module name or glob, or nothing.
Frozen = str | Mapping[str, FrozenValue] | None
#: Globs by name of the group; None or "per-layer": one group per layer.
Groups = str | Mapping[str, str | Sequence[str]] | None


#: A width [bit] or a density.
AxisValue = int | float
AXES = ("w_bits", "a_bits", "density")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Layers that share every choice, and the values they may take, rising."""

    name: str
    modules: tuple[str, ...]
    w_bits: tuple[int, ...]
    a_bits: tuple[int, ...]
    density: tuple[float, ...]

    def values(self, axis: str) -> tuple[AxisValue, ...]:
        values: tuple[AxisValue, ...] = getattr(self, axis)
        return values

    @property
    def combinations(self) -> Iterator[tuple[AxisValue, ...]]:
        """(w_bits, a_bits, density) in the order of the indices of `Space.encode`."""
        return itertools.product(*(self.values(axis) for axis in AXES))

    @property
    def size(self) -> int:
        return math.prod(len(self.values(axis)) for axis in AXES)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One decision: an axis on which a group has more than one value."""

    name: str
    group: str
    axis: str
    values: tuple[AxisValue, ...]


def resolve_groups(graph: LayerGraph, groups: Groups, frozen: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Group name -> its modules, frozen ones left out. Layers in no group form a group of their own.

    Raises:
        ConfigError: a glob matches nothing, two groups share a layer or a name, or a group is all frozen.
    """
    taken = dict.fromkeys(frozen, "frozen")
    if isinstance(groups, str):
        if groups != "per-layer":
            raise ConfigError(f"groups: must be 'per-layer' or globs by name, but got {groups!r}.")
        groups = None
    found: dict[str, tuple[str, ...]] = {}
    for name, globs in (groups or {}).items():
        members = _members(graph, name, [globs] if isinstance(globs, str) else globs)
        for module in members:
            if taken.get(module, "frozen") != "frozen":
                raise ConfigError(
                    f"groups: must not overlap, but {module!r} is in {taken[module]!r} and in {name!r}. "
                    "Leave it out of one of them."
                )
        free = tuple(module for module in members if module not in taken)
        if not free:
            raise ConfigError(f"groups: all {len(members)} layers of {name!r} are frozen. Leave the group out.")
        taken.update(dict.fromkeys(free, name))
        found[name] = free
    for module in graph.modules:
        if module not in taken:
            if module in found:
                raise ConfigError(f"groups: {module!r} names a group and a layer outside it. Rename the group.")
            found[module] = (module,)
    order = {module: index for index, module in enumerate(graph.modules)}
    return dict(sorted(found.items(), key=lambda item: order[item[1][0]]))


def _members(graph: LayerGraph, name: str, globs: Sequence[str]) -> tuple[str, ...]:
    if not globs:
        raise ConfigError(f"groups: {name!r} is empty. Give it a name or glob of layers, such as 'layer1.*'.")
    return tuple(matching(globs, graph.modules, place=f"groups.{name}"))


def resolve_own(
    groups: Mapping[str, Sequence[str]], layers: Mapping[str, Mapping[str, Any]], frozen: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Group name -> the axes on which it has values of its own.

    Args:
        groups: name -> modules.
        layers: axes by the name or glob of a group or of a module in one.
        frozen: modules that decide nothing.

    Raises:
        ConfigError: a name matches no group, an axis is unknown, or two names disagree on a group.
    """
    found: dict[str, dict[str, Any]] = {}
    said: dict[str, tuple[str, bool]] = {}
    names = {name: name for name in groups} | {
        module: name for name, modules in groups.items() for module in modules
    }
    for pattern in sorted(layers, key=lambda name: name in names):  # globs first: an exact name wins
        axes = layers[pattern]
        if pattern in frozen:
            raise ConfigError(
                f"layers: {pattern!r} must be free, but is frozen. Leave it out of frozen, or of layers."
            )
        if not isinstance(axes, Mapping):
            raise ConfigError(f"layers: {pattern!r} must be values by axis, {{w_bits: [4, 8]}}, but got {axes!r}.")
        for axis in axes:
            if axis not in AXES:
                nearest = did_you_mean(axis, AXES)
                raise ConfigError(
                    f"layers: {pattern!r}: must be among {', '.join(AXES)}, but got {axis!r}.{nearest}"
                )
        hit = {names[name] for name in matching([pattern], tuple(names), place="layers")}
        for group in hit:
            before, is_exact = said.get(group, (pattern, False))
            if before != pattern and found[group] != dict(axes) and (pattern not in names or is_exact):
                raise ConfigError(f"layers: {before!r} and {pattern!r} disagree on {group!r}. Name it alone.")
            found[group], said[group] = dict(axes), (pattern, pattern in names)
    return found


def resolve_frozen(
    graph: LayerGraph, frozen: Frozen, a_bits: Sequence[int], grid: Mapping[str, str]
) -> dict[str, LayerChoice]:
    """Module -> its fixed choice, in the order of the graph.

    A number fixes the weight bits; activations then get the widest of `a_bits`, at least 8, so that a
    layer frozen to be safe is not narrowed by its input. `grid` gives quantizer and granularity.

    Raises:
        ConfigError: a name or glob matches nothing, two of them disagree on a layer, or a value is invalid.
    """
    fixed: dict[str, tuple[str, LayerChoice]] = {}
    named = _frozen_values(graph, frozen)
    for pattern in sorted(named, key=lambda name: name in graph.modules):  # globs first: an exact name wins
        choice = _frozen_choice(pattern, named[pattern], max(FROZEN_BITS, *a_bits), grid)
        for module in matching(pattern, graph.modules, place="frozen"):
            other, before = fixed.get(module, (pattern, choice))
            if before != choice and pattern != module:
                raise ConfigError(f"frozen: {other!r} and {pattern!r} disagree on {module!r}. Name it alone.")
            fixed[module] = (pattern, choice)
    return {module: fixed[module][1] for module in graph.modules if module in fixed}


def _frozen_values(graph: LayerGraph, frozen: Frozen) -> Mapping[str, FrozenValue]:
    if frozen is None:
        return {}
    if not isinstance(frozen, str):
        return frozen
    ends = dict.fromkeys((graph.modules[0], graph.modules[-1])) if graph.modules else {}
    presets: dict[str, dict[str, FrozenValue]] = {
        "first_last": dict.fromkeys(ends, FROZEN_BITS),
        "first_last_float": dict.fromkeys(ends, "float"),
        "none": {},
    }
    if frozen not in presets:
        raise ConfigError(
            f"frozen: must be {', '.join(presets)} or values by layer name, but got {frozen!r}."
            f"{did_you_mean(frozen, presets)}"
        )
    return presets[frozen]


def _frozen_choice(pattern: str, value: FrozenValue, a_bits: int, grid: Mapping[str, str]) -> LayerChoice:
    try:
        if isinstance(value, LayerChoice):
            return value
        if isinstance(value, Mapping):
            return LayerChoice.from_dict({"w_bits": FLOAT_BITS, "a_bits": a_bits, **grid, **value})
        if value in ("float", FLOAT_BITS):
            return LayerChoice(quantizer=grid["quantizer"])
        if isinstance(value, int):
            return LayerChoice.from_dict({"w_bits": value, "a_bits": a_bits, **grid})
    except ConfigError as error:
        raise ConfigError(f"frozen: {pattern!r}: {error}") from None
    raise ConfigError(f"frozen: {pattern!r} must be weight bits, 'float' or {{w_bits: ..}}, but got {value!r}.")


def choice_of(combination: Sequence[AxisValue], pattern: str, quantizer: str, granularity: str) -> LayerChoice:
    """What a layer does at one combination of (w_bits, a_bits, density)."""
    w_bits, a_bits, density = combination
    return LayerChoice(
        w_bits=int(w_bits),
        a_bits=int(a_bits),
        density=float(density),
        pattern="unstructured" if density == 1.0 else pattern,
        quantizer=quantizer,
        granularity=granularity,
    )


def axis_values(
    w_bits: Sequence[int],
    a_bits: Sequence[int],
    density: Sequence[float] | None,
    pattern: str,
    quantizer: str,
    granularity: str,
) -> dict[str, tuple[AxisValue, ...]]:
    """What a group may choose, axis by axis, rising; every combination is a valid choice.

    Raises:
        ConfigError: a list is empty, or a value out of range or unknown.
    """
    values = {
        "w_bits": _rising("w_bits", w_bits),
        "a_bits": _rising("a_bits", a_bits),
        "density": _densities(density, pattern),
    }
    for combination in itertools.product(*values.values()):
        choice_of(combination, pattern, quantizer, granularity)
    return values


def widths_of(name: str) -> tuple[int, int]:
    """(w_bits, a_bits) of a name such as W4A8.

    Raises:
        ConfigError: it is none.
    """
    match = re.fullmatch(r"W(\d{1,2})A(\d{1,2})", name)
    if match is None:
        raise ConfigError(f"uniform: must be widths such as W4A8, weight and activation bits, but got {name!r}.")
    return int(match[1]), int(match[2])


def _rising(name: str, values: Sequence[AxisValue]) -> tuple[AxisValue, ...]:
    if isinstance(values, (int, float, str)):
        raise ConfigError(f"{name}: must be a list, but got {values!r}. Write [{values}].")
    if not values:
        raise ConfigError(f"{name}: must hold at least one value, but is empty.")
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
        raise ConfigError(f"{name}: must hold numbers, but got {list(values)!r}.")
    return tuple(sorted(set(values)))


def _densities(density: Sequence[float] | None, pattern: str) -> tuple[AxisValue, ...]:
    block = parse_pattern(pattern)
    implied = block[0] / block[1] if block else 1.0
    values = _rising("density", (implied,) if density is None else density)
    for value in values:
        if block and value not in (1.0, implied):
            raise ConfigError(f"density: pattern {pattern!r} allows {implied:g} and 1, but got {value:g}.")
    return values
