"""Layers as the cost model sees them: eight loop bounds, four bit-widths, a density.

A layer is the loop nest

    for b in B: for g in G: for k in K: for c in C: for oy in OY: for ox in OX: for fy in FY: for fx in FX
        O[b, g, k, oy, ox] += I[b, g, c, oy*stride + fy*dilation, ox*stride + fx*dilation] * W[g, k, c, fy, fx]

with K and C *per group*: depthwise is K = C = 1 with G channels, a linear layer is a 1x1
convolution on one pixel, and a matmul of two activations is a layer whose W is an activation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from numbers import Real
from typing import Any, Literal, Self, get_args

from hwmodel.errors import LayerError, check_one_of, did_you_mean

DimName = Literal["B", "G", "K", "C", "OY", "OX", "FY", "FX"]
Operand = Literal["W", "I", "O"]
Kind = Literal["conv", "linear", "matmul"]

DIM_NAMES: tuple[DimName, ...] = get_args(DimName)
OPERANDS: tuple[Operand, ...] = get_args(Operand)

#: Rows of zeros above and below the input, columns left and right of it.
Pads = tuple[tuple[int, int], tuple[int, int]]
NO_PADS: Pads = ((0, 0), (0, 0))

#: The dims that index each operand. OY/FY and OX/FX together index the rows and columns of I.
RELEVANT: dict[Operand, frozenset[DimName]] = {
    "W": frozenset({"G", "K", "C", "FY", "FX"}),
    "I": frozenset({"B", "G", "C", "OY", "OX", "FY", "FX"}),
    "O": frozenset({"B", "G", "K", "OY", "OX"}),
}
#: The dims summed over: moving along one of them updates the same O.
REDUCTION: frozenset[DimName] = frozenset({"C", "FY", "FX"})

MAX_BITS = 32
#: The largest count that a float holds exactly: what is counted stays exact.
MAX_MACS = 2**53
#: The largest stride and dilation.
MAX_STEP = 2**31
#: Of sums over so many products of the widest operands, which cannot overflow.
MAX_ACC_BITS = 2 * MAX_BITS + 53


@dataclass(frozen=True)
class Dims(Mapping[str, int]):
    """The eight loop bounds; missing ones are 1. Reads as a mapping or by attribute."""

    B: int = 1
    G: int = 1
    K: int = 1
    C: int = 1
    OY: int = 1
    OX: int = 1
    FY: int = 1
    FX: int = 1

    @classmethod
    def of(cls, dims: Mapping[str, int]) -> Self:
        """Dims from any mapping of names to bounds.

        Raises:
            LayerError: a name is not one of the eight, a bound is not an integer >= 1, or their product exceeds
                `MAX_MACS`.
        """
        for name, bound in dims.items():
            if name not in DIM_NAMES:
                raise LayerError(
                    f"dims must be among {' '.join(DIM_NAMES)}, but got {name!r}.{did_you_mean(name, DIM_NAMES)}"
                )
            if isinstance(bound, bool) or not isinstance(bound, int) or bound < 1:
                raise LayerError(f"dims: `{name} >= 1` must hold (an integer), but got {name}={bound!r}")
        if (macs := math.prod(dims.values())) > MAX_MACS:  # no float may hold it
            raise LayerError(f"dims: `product <= 2^53` must hold (MACs), but got {Decimal(macs).normalize():.3g}")
        return dims if isinstance(dims, cls) else cls(**dims)

    def __getitem__(self, name: str) -> int:
        if name not in DIM_NAMES:
            raise KeyError(name)
        value: int = getattr(self, name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(DIM_NAMES)

    def __len__(self) -> int:
        return len(DIM_NAMES)

    @property
    def values_tuple(self) -> tuple[int, ...]:
        """The eight bounds in the order of `DIM_NAMES`."""
        return (self.B, self.G, self.K, self.C, self.OY, self.OX, self.FY, self.FX)


def _check_bits(place: str, name: str, bits: int) -> None:
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= MAX_BITS:
        raise LayerError(f"{place}: `1 <= {name} <= {MAX_BITS}` must hold (an integer), but got {name}={bits!r}")


@dataclass(frozen=True, kw_only=True)
class Bits:
    """Widths of the operands [bit].

    Attributes:
        w: weights (the second operand of a matmul).
        i: input activations.
        o: finished outputs; `None` means as wide as the inputs.
        acc: partial sums; `None` means what the accelerator fixes, else
            w + i + ceil(log2(reduction)), which cannot overflow.
    """

    w: int
    i: int
    o: int | None = None
    acc: int | None = None

    def __post_init__(self) -> None:
        for name in ("w", "i"):
            _check_bits("bits", name, getattr(self, name))
        if self.o is not None:
            _check_bits("bits", "o", self.o)
        if self.acc is not None and not (isinstance(self.acc, int) and 1 <= self.acc <= MAX_ACC_BITS):
            raise LayerError(f"bits: `1 <= acc <= {MAX_ACC_BITS}` must hold (an integer), but got acc={self.acc!r}")

    @property
    def out(self) -> int:
        """Width of a finished output [bit]."""
        return self.i if self.o is None else self.o


def parse_pattern(pattern: str) -> tuple[int, int] | None:
    """(N, M) of an `"N:M"` pattern, None for `"unstructured"` and `"filter"`.

    Raises:
        LayerError: the pattern is none of the three.
    """
    if pattern in ("unstructured", "filter"):
        return None
    kept, _, block = pattern.partition(":")
    if kept.isdecimal() and block.isdecimal() and 1 <= int(kept) <= int(block):
        return int(kept), int(block)
    raise LayerError(
        f"density: pattern must be 'unstructured', 'filter' or 'N:M' with 1 <= N <= M, but got {pattern!r}"
    )


@dataclass(frozen=True, kw_only=True)
class Density:
    """Non-zero fractions in (0, 1].

    Attributes:
        w: of the weights.
        i: of the input activations.
        o: of the outputs as they are stored (after the activation function).
        pattern: how the zeros of W lie: `unstructured`, whole `filter`s, or `N:M` (N non-zeros in
            every M along C).
    """

    w: float = 1.0
    i: float = 1.0
    o: float = 1.0
    pattern: str = "unstructured"

    def __post_init__(self) -> None:
        for name in ("w", "i", "o"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not 0.0 < float(value) <= 1.0:
                raise LayerError(f"density: `0 < {name} <= 1` must hold, but got {name}={value!r}")
        parse_pattern(self.pattern)


def _edges(place: str, pads: Sequence[Sequence[int]]) -> Pads:
    """((top, bottom), (left, right)), checked.

    Raises:
        LayerError: not two pairs of integers >= 0.
    """
    try:
        (top, bottom), (left, right) = pads
    except (TypeError, ValueError):
        raise LayerError(f"{place}: padding must be ((top, bottom), (left, right)), but got {pads!r}") from None
    for value in (top, bottom, left, right):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_STEP:
            raise LayerError(f"{place}: padding must be integers >= 0, but got {pads!r}")
    return (top, bottom), (left, right)


def _pair(name: str, value: int | tuple[int, int]) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2 or any(isinstance(v, bool) or not isinstance(v, int) or v < 1 for v in pair):
        raise LayerError(f"{name}: must be one or two integers >= 1, but got {value!r}")
    return (pair[0], pair[1])


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer with MACs.

    Attributes:
        name: unique in its graph.
        kind: `conv`, `linear` or `matmul` (both operands activations).
        dims: the eight loop bounds, K and C per group.
        stride, dilation: (y, x); one integer means both.
        padding: ((top, bottom), (left, right)), the zeros that the filter reaches beyond the stored input: the last
            rows that a stride skips are not among them.
        bits: widths [bit]; None means the accelerator's native widths.
        density: non-zero fractions.
        module: name of the torch module, the key of every configuration.
        parameter: of the module, where it owns several weights; layers that share both share the weight.
        parameter_elements: elements of that parameter, where W is gathered from it or repeats it; None where W is
            the parameter itself or a slice of it.
        has_bias: a bias is added to every output.

    Raises:
        LayerError: a bound, stride, dilation or number of elements below 1 or too large, an unknown dim, or more
            padding than the filter reaches.
    """

    name: str
    kind: Kind = "conv"
    dims: Dims
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: Pads = NO_PADS
    bits: Bits | None = None
    density: Density = field(default_factory=Density)
    module: str = ""
    parameter: str = ""
    parameter_elements: int | None = None
    has_bias: bool = False

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "dims", Dims.of(self.dims))
            object.__setattr__(self, "stride", _pair("stride", self.stride))
            object.__setattr__(self, "dilation", _pair("dilation", self.dilation))
        except LayerError as error:
            raise LayerError(f"layer {self.name!r}: {error}") from None
        check_one_of(f"layer {self.name!r}: kind", self.kind, get_args(Kind), LayerError)
        if self.parameter_elements is not None and not 1 <= self.parameter_elements <= MAX_MACS:
            raise LayerError(
                f"layer {self.name!r}: `1 <= parameter_elements <= 2^53` must hold, "
                f"but got {self.parameter_elements!r}"
            )
        if max(self.stride + self.dilation) > MAX_STEP or self.elements("I") > MAX_MACS:
            raise LayerError(
                f"layer {self.name!r}: `stride, dilation <= 2^31` and `inputs <= 2^53` must hold, but got stride "
                f"{self.stride}, dilation {self.dilation}"
            )
        object.__setattr__(self, "padding", _edges(f"layer {self.name!r}", self.padding))
        if any(sum(pads) > reach for pads, reach in zip(self.padding, self.i_shape[3:], strict=True)):
            raise LayerError(
                f"layer {self.name!r}: padding must lie within the {self.i_shape[3]} rows and {self.i_shape[4]} "
                f"columns that the filter reaches, but got {self.padding}"
            )

    @property
    def macs(self) -> int:
        """Multiply-accumulates when dense: the product of the eight bounds."""
        return math.prod(self.dims.values_tuple)

    @property
    def reduction(self) -> int:
        """Products summed into one output."""
        return self.dims.C * self.dims.FY * self.dims.FX

    @property
    def w_shape(self) -> tuple[int, ...]:
        """(G, K, C, FY, FX)."""
        d = self.dims
        return (d.G, d.K, d.C, d.FY, d.FX)

    @property
    def i_shape(self) -> tuple[int, ...]:
        """(B, G, C, IY, IX), with the padding that the filter reaches."""
        d = self.dims
        iy = (d.OY - 1) * self.stride[0] + (d.FY - 1) * self.dilation[0] + 1
        ix = (d.OX - 1) * self.stride[1] + (d.FX - 1) * self.dilation[1] + 1
        return (d.B, d.G, d.C, iy, ix)

    @property
    def stored_inputs(self) -> int:
        """Input elements that lie in memory: those that the filter reaches, without the padding."""
        *outer, rows, columns = self.i_shape
        (top, bottom), (left, right) = self.padding
        return math.prod(outer) * (rows - top - bottom) * (columns - left - right)

    @property
    def o_shape(self) -> tuple[int, ...]:
        """(B, G, K, OY, OX)."""
        d = self.dims
        return (d.B, d.G, d.K, d.OY, d.OX)

    def elements(self, operand: Operand) -> int:
        """Distinct elements of one operand."""
        shape = {"W": self.w_shape, "I": self.i_shape, "O": self.o_shape}[operand]
        return math.prod(shape)

    @property
    def weights(self) -> int:
        """Stored weight elements without biases: those of the parameter; 0 for a matmul of two activations."""
        if self.kind == "matmul":
            return 0
        return self.elements("W") if self.parameter_elements is None else self.parameter_elements

    @property
    def biases(self) -> int:
        """Biases added to the outputs, one per filter."""
        return self.dims.G * self.dims.K if self.has_bias else 0

    @property
    def weight_key(self) -> tuple[str, str]:
        """(module, parameter): layers with the same key read the same stored weight."""
        return (self.module, self.parameter) if self.module or self.parameter else (self.name, "")

    def with_bits(self, bits: Bits | None) -> Self:
        return self._like(bits=bits)

    def with_density(self, density: Density) -> Self:
        return self._like(density=density)

    def unnamed(self) -> Self:
        """The layer without its names: equal for layers that are alike in everything that a price depends on."""
        return self._like(name="", module="", parameter="", parameter_elements=None)

    def _like(self, **changes: Any) -> Self:
        """A copy of the same shape; its values are checked where they are made, so the layer need not be again."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, **changes)
        return copy

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `parameter_elements` and `padding` only where there are any."""
        stored = {} if self.parameter_elements is None else {"parameter_elements": self.parameter_elements}
        return {
            "name": self.name,
            "kind": self.kind,
            "dims": dict(self.dims),
            "stride": list(self.stride),
            "dilation": list(self.dilation),
            **({} if self.padding == NO_PADS else {"padding": [list(pads) for pads in self.padding]}),
            "bits": None if self.bits is None else {f.name: getattr(self.bits, f.name) for f in fields(Bits)},
            "density": {f.name: getattr(self.density, f.name) for f in fields(Density)},
            "module": self.module,
            "parameter": self.parameter,
            **stored,
            "has_bias": self.has_bias,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        values = dict(data)
        values["stride"] = tuple(values["stride"])
        values["dilation"] = tuple(values["dilation"])
        values["bits"] = None if values["bits"] is None else Bits(**values["bits"])
        values["density"] = Density(**values["density"])
        return cls(**values)
