"""What a configuration decides about every layer, by module name. Plain values: no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Self

from hwmodel.errors import (
    ConfigError,
    GraphError,
    HwModelError,
    check_keys,
    check_names,
    check_one_of,
)
from hwmodel.network.choice import FLOAT_BITS, Choice
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import parse_pattern
from hwmodel.shown import Shown
from workloads.compress.patterns import expand, is_pattern

MAX_QUANTIZED_BITS = 16
QUANTIZERS: tuple[str, ...] = ("minmax", "affine", "symmetric", "dorefa", "pact", "lsq", "lsq+")
GRANULARITIES: tuple[str, ...] = ("tensor", "channel")
OBSERVERS: tuple[str, ...] = ("default", "minmax", "moving_average", "percentile", "mse")
ROUNDINGS: tuple[str, ...] = ("nearest", "floor", "stochastic")
#: Fields that `to_dict` leaves out at their default: they came later, and old keys must stay.
_OPTIONAL = {"keep_channels": None, "granularity": "tensor", "observer": "default", "rounding": "nearest"}


def _check_bits(name: str, bits: object) -> int:
    if bits is None:
        return FLOAT_BITS
    is_int = isinstance(bits, int) and not isinstance(bits, bool)
    if isinstance(bits, int) and is_int and (1 <= bits <= MAX_QUANTIZED_BITS or bits == FLOAT_BITS):
        return bits
    raise ConfigError(
        f"{name} must be an integer in 1..{MAX_QUANTIZED_BITS}, or {FLOAT_BITS} or None for float, but got {bits!r}"
    )


def _check_channels(channels: object) -> tuple[int, ...]:
    if isinstance(channels, (list, tuple)):
        numbers = tuple(channels)
        are_ints = all(isinstance(c, int) and not isinstance(c, bool) and c >= 0 for c in numbers)
        if numbers and are_ints and list(numbers) == sorted(set(numbers)):
            return numbers
    raise ConfigError(
        f"keep_channels must be rising output-channel numbers, at least one, each >= 0, but got {channels!r}"
    )


@dataclass(frozen=True, kw_only=True)
class LayerChoice:
    """Bits, density and quantizer of one layer.

    Values are brought to one form, so that equal meanings compare equal: None bits become 32, a
    filter pattern at density 1 becomes `unstructured`, and an `N:M` pattern sets its density N/M.

    Attributes:
        w_bits: of the weights [bit], 1..16; 32 or None is float.
        a_bits: of the input activations [bit], 1..16; 32 or None is float.
        density: share of the weights kept, in (0, 1].
        pattern: `unstructured`, whole `filter`s, or `N:M` (N kept in every M along the input channels).
        keep_channels: the output channels that stay, where filters are pruned and the choice of them
            is not left to their L1 norm; rising numbers.
        quantizer: `minmax` (between the extremes), `affine` and `symmetric` (the same with an integral zero
            point, or none), `dorefa`, `pact` (learned clip), `lsq` (learned step) or `lsq+` (and offset).
        granularity: of the weight's grid: one per `tensor`, or one per output `channel`.
        observer: where ranges come from, or start: `minmax`, `moving_average`, `percentile`, `mse`, or the
            `default` of the quantizer.
        rounding: `nearest` (ties to even), `floor` or `stochastic` (drawn anew at every step of training; a weight
            that is not trained is drawn once).

    Raises:
        ConfigError: a value breaks one of these rules.
    """

    w_bits: int | None = FLOAT_BITS
    a_bits: int | None = FLOAT_BITS
    density: float = 1.0
    pattern: str = "unstructured"
    keep_channels: tuple[int, ...] | None = None
    quantizer: str = "lsq"
    granularity: str = "tensor"
    observer: str = "default"
    rounding: str = "nearest"

    def __post_init__(self) -> None:
        object.__setattr__(self, "w_bits", _check_bits("w_bits", self.w_bits))
        object.__setattr__(self, "a_bits", _check_bits("a_bits", self.a_bits))
        if (
            isinstance(self.density, bool)
            or not isinstance(self.density, (int, float))
            or not 0 < self.density <= 1
        ):
            raise ConfigError(f"`0 < density <= 1` must hold, but got density={self.density!r}")
        check_one_of("quantizer", self.quantizer, QUANTIZERS)
        check_one_of("granularity", self.granularity, GRANULARITIES)
        check_one_of("observer", self.observer, OBSERVERS)
        check_one_of("rounding", self.rounding, ROUNDINGS)
        object.__setattr__(self, "density", float(self.density))
        self._settle_pattern()

    def _settle_pattern(self) -> None:
        try:
            kept = parse_pattern(self.pattern)
        except (HwModelError, AttributeError):
            raise ConfigError(
                f"pattern must be 'unstructured', 'filter' or 'N:M' with 1 <= N <= M, but got {self.pattern!r}"
            ) from None
        if kept is not None:
            implied = kept[0] / kept[1]
            if self.density not in (1.0, implied):
                raise ConfigError(
                    f"pattern {self.pattern!r} fixes density={implied:g}, but got density={self.density:g}. "
                    "Leave density out."
                )
            object.__setattr__(self, "density", implied)
        if self.keep_channels is not None:
            object.__setattr__(self, "keep_channels", _check_channels(self.keep_channels))
            if self.pattern != "filter":
                raise ConfigError(f"keep_channels needs pattern='filter', but got pattern={self.pattern!r}")
        elif self.density == 1.0:
            object.__setattr__(self, "pattern", "unstructured")

    @property
    def is_float(self) -> bool:
        """Nothing is quantized and nothing pruned."""
        dense = self.density == 1.0 and self.keep_channels is None
        return self.w_bits == self.a_bits == FLOAT_BITS and dense

    @property
    def choice(self) -> Choice:
        """The same in the cost model's terms."""
        return Choice(
            w_bits=self.w_bits or FLOAT_BITS,
            a_bits=self.a_bits or FLOAT_BITS,
            density=self.density,
            pattern=self.pattern,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON and YAML.

        `keep_channels`, `granularity`, `observer` and `rounding` are there only where they are set.
        """
        found = dict(_plain(self))
        if "keep_channels" in found:
            found["keep_channels"] = list(found["keep_channels"])
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`; keys left out take their defaults.

        Raises:
            ConfigError: an unknown key, or a value out of its range.
        """
        check_keys(data, (f.name for f in fields(cls)))
        return cls(**data)


@dataclass(frozen=True, eq=False)
class CompressionConfig(Shown):
    """A choice for every named module. Immutable, hashable, picklable; the order of names is free.

    A shell pattern such as `layer1.*` stands for all modules that it meets, but for those that are named in full.

    Args:
        layers: module name or pattern -> `LayerChoice`. Modules left out stay float.

    Raises:
        ConfigError: a value is not a `LayerChoice`.
    """

    layers: Mapping[str, LayerChoice]

    def __post_init__(self) -> None:
        for name, choice in self.layers.items():
            if not isinstance(choice, LayerChoice):
                raise ConfigError(
                    f"layers[{name!r}] must be a LayerChoice, but got {choice!r}. "
                    "Use CompressionConfig.from_bits for plain numbers."
                )
        object.__setattr__(self, "layers", MappingProxyType(dict(self.layers)))

    @classmethod
    def from_bits(
        cls,
        bits: Mapping[str, int | LayerChoice | None],
        *,
        a_bits: int | None = FLOAT_BITS,
        density: float = 1.0,
        pattern: str = "unstructured",
        quantizer: str = "lsq",
        granularity: str = "tensor",
        observer: str = "default",
        rounding: str = "nearest",
    ) -> Self:
        """A configuration from weight bits by module name.

        Args:
            bits: module name or shell pattern -> weight bits (32 or None: float), or a whole `LayerChoice`.
            a_bits, density, pattern, quantizer, granularity, observer, rounding: of every layer given by a number.

        Raises:
            ConfigError: a value out of its range; the message starts with the module.
        """

        def make(value: int | LayerChoice | None) -> LayerChoice:
            if isinstance(value, LayerChoice):
                return value
            return LayerChoice(
                w_bits=value, a_bits=a_bits, density=density, pattern=pattern, quantizer=quantizer,
                granularity=granularity, observer=observer, rounding=rounding,
            )  # fmt: skip

        return cls(_by_name(bits, make))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            ConfigError: not of that form; the message starts with the module.
        """
        if set(data) != {"layers"} or not isinstance(data["layers"], Mapping):
            raise ConfigError(
                f"a configuration must be {{'layers': {{module: choice}}}}, but has keys {sorted(data)}"
            )
        return cls(_by_name(data["layers"], _choice_of))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, in the order of construction."""
        return {"layers": {name: choice.to_dict() for name, choice in self.layers.items()}}

    @cached_property
    def key(self) -> str:
        """16 hex digits of the content; the order of names does not matter."""
        return config_key(self.to_dict())

    def annotate(self, graph: LayerGraph) -> LayerGraph:
        """The graph with bits and densities; modules with weights that are not named become float 32/32.

        Raises:
            GraphError: a name matches no layer, or an N:M pattern does not divide a layer's input channels.
            ConfigError: as for `resolved`.
        """
        own = self.resolved(graph)
        _check_blocks(own, graph)
        choices = {module: Choice() for module in graph.modules}
        return graph.annotate(choices | {name: choice.choice for name, choice in own.layers.items()})

    def resolved(self, graph: LayerGraph) -> Self:
        """The same by the names that the graph has: no patterns, and one name for each stored weight.

        Raises:
            GraphError: a name matches no layer.
            ConfigError: a pattern matches nothing, patterns that differ meet, or one weight is given two choices.
        """
        for name in self.layers:
            if not is_pattern(name):
                check_matches(name, graph)
        named = expand(self.layers, [*graph.modules, *graph.aliases], graph.layer_modules)
        choices: dict[str, LayerChoice] = {}
        source: dict[str, str] = {}
        for name, choice in named.items():
            owner = graph.aliases.get(name, name)
            first = source.setdefault(owner, name)
            if choices.setdefault(owner, choice) != choice:
                raise ConfigError(f"{name!r} and {first!r} share one weight, but are given different choices")
        return self if choices == dict(self.layers) else type(self)(choices)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CompressionConfig):
            return NotImplemented
        return dict(self.layers) == dict(other.layers)

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, LayerChoice]]]:
        return (type(self), (dict(self.layers),))


@lru_cache(maxsize=4096)
def _plain(choice: LayerChoice) -> Mapping[str, Any]:
    """What `LayerChoice.to_dict` copies."""
    values: dict[str, Any] = {f.name: getattr(choice, f.name) for f in fields(choice)}
    for name, default in _OPTIONAL.items():
        value = values.pop(name)
        if value != default:
            values[name] = value
    return MappingProxyType(values)


def _by_name(values: Mapping[str, Any], make: Callable[[Any], LayerChoice]) -> dict[str, LayerChoice]:
    choices = {}
    for name, value in values.items():
        try:
            choices[str(name)] = make(value)
        except ConfigError as error:
            raise ConfigError(f"{name!r}: {error}") from None
    return choices


def config_key(data: Mapping[str, Any]) -> str:
    """16 hex digits of a configuration as `CompressionConfig.to_dict` writes it."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _choice_of(data: Mapping[str, Any]) -> LayerChoice:
    """`LayerChoice.from_dict`; a run holds few different ones, each a great many times."""
    try:
        return _known_choice(tuple((key, type(value), value) for key, value in data.items()))
    except (TypeError, AttributeError):  # a list among the values, or no mapping
        return LayerChoice.from_dict(data)


@lru_cache(maxsize=4096)
def _known_choice(items: tuple[tuple[str, type, Any], ...]) -> LayerChoice:
    return LayerChoice.from_dict({key: value for key, _, value in items})


def check_matches(name: str, graph: LayerGraph) -> None:
    """A module name must own a layer of the graph.

    Raises:
        GraphError: it does not; the nearest name is offered.
    """
    check_names([name], graph.layer_modules.union(graph.aliases), error=GraphError)


def _check_blocks(config: CompressionConfig, graph: LayerGraph) -> None:
    for layer in graph.layers:
        choice = config.layers.get(layer.module)
        block = parse_pattern(choice.pattern) if choice is not None else None
        if block is not None and layer.weights and layer.dims.C % block[1]:
            raise GraphError(
                f"{layer.module!r}: pattern '{block[0]}:{block[1]}' needs input channels per group divisible by "
                f"{block[1]}, but it has {layer.dims.C}. Leave this layer dense."
            )
