"""Number formats of a processor: what the model knows of one and how a file says it, field by field, stand here.

Of every field a file knows the key, the unit, and what holds where it is silent: the default of the field, or the
value of another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, create_model
from pydantic import Field as Constraint

from hwmodel.chip.fields import Width, quantity
from hwmodel.chip.yamlfile import Schema

Written = Callable[[Any], Any]
Unit = tuple[Any, Written, Written]

#: What a file may write, how it is written of a measured value, and how to the last bit.
TEXT: Unit = (str, str, str)
FLAG: Unit = (bool, bool, bool)
BITS: Unit = (Width, lambda bits: f"{bits} bit", lambda bits: f"{bits} bit")
RATE: Unit = (
    Annotated[float, quantity("mac_rate", positive=True)],
    lambda rate: f"{rate / 1e9:.6g} GMAC/s",
    lambda rate: f"{rate!r} MAC/s",
)
TIME: Unit = (
    Annotated[float, quantity("time")],
    lambda seconds: f"{seconds * 1e6:.6g} us",
    lambda seconds: f"{seconds!r} s",
)
BANDWIDTH: Unit = (
    Annotated[float, quantity("bandwidth", positive=True)],
    lambda rate: f"{rate / 8e9:.6g} GB/s",
    lambda rate: f"{rate!r} bit/s",
)
FRACTION: Unit = (Annotated[float, Constraint(gt=0.0, le=1.0)], lambda value: float(f"{value:.6g}"), float)
SPEED_UP: Unit = (Annotated[float, Constraint(ge=1.0)], float, float)


def _said(key: str, unit: Unit, default: Any = MISSING, *, instead: str = "", measured: bool = True) -> Any:
    """A field that a file says.

    Args:
        key: in the file.
        unit: its type there.
        default: where the file is silent; none: the file must say it.
        instead: the field that is taken where the file is silent.
        measured: a calibration measures it, so that a measured file always says it; else only where it must.
    """
    return field(default=default, metadata={"key": key, "unit": unit, "instead": instead, "measured": measured})


@dataclass(frozen=True, kw_only=True)
class Format:
    """One number format that the processor multiplies.

    Attributes:
        name: `fp16`, `int8`, ...
        bits: widths up to this one are computed in it [bit].
        storage_bits: of one value in memory [bit].
        macs_per_s: peak of all cores, dense [MAC/s].
        efficiency: fraction of the peak that a large matrix product sustains.
        conv_efficiency, pointwise_efficiency: the same of a large convolution, and of one whose filter is 1x1.
        direct_macs_per_s: of kernels that do not tile a matrix product (depthwise convolutions) [MAC/s];
            None where there are none.
        overhead_s, conv_overhead_s, direct_overhead_s: of a kernel of each kind beyond `launch_s` [s].
        memory_bits_per_s: what its kernels sustain, None where it is the memory's own rate [bit/s].
        packing_bits_per_s: at which W is read where a product of more than one row changes its layout first,
            None where it does not [bit/s].
        reorder_bits_per_s: of the change of layout of I and O that convolutions need, None without [bit/s].
        lowers: its small convolutions are unrolled into plain products (`lowering.is_lowered`).
        sparse_rate: speed-up with 2:4 structured weights, 1 where the processor has none.
        mac_pj: energy of a MAC [pJ]; from the power of the board.
    """

    name: str = _said("name", TEXT)
    bits: int = _said("bits", BITS)
    storage_bits: int = _said("storage", BITS, instead="bits", measured=False)
    macs_per_s: float = _said("peak", RATE)
    efficiency: float = _said("efficiency", FRACTION, 1.0)
    conv_efficiency: float = _said("conv_efficiency", FRACTION, 1.0, instead="efficiency")
    pointwise_efficiency: float = _said("pointwise_efficiency", FRACTION, 1.0, instead="conv_efficiency")
    direct_macs_per_s: float | None = _said("direct", RATE, None)
    overhead_s: float = _said("overhead", TIME, 0.0)
    conv_overhead_s: float = _said("conv_overhead", TIME, 0.0, instead="overhead_s")
    direct_overhead_s: float = _said("direct_overhead", TIME, 0.0, instead="overhead_s")
    memory_bits_per_s: float | None = _said("bandwidth", BANDWIDTH, None)
    packing_bits_per_s: float | None = _said("packing_bandwidth", BANDWIDTH, None)
    reorder_bits_per_s: float | None = _said("reorder_bandwidth", BANDWIDTH, None)
    lowers: bool = _said("lowers", FLAG, False, measured=False)
    sparse_rate: float = _said("sparse", SPEED_UP, 1.0, measured=False)
    mac_pj: float = 0.0


def written(fmt: Format) -> dict[str, Any]:
    """A measured format as its file says it, key by key; numbers to six digits."""
    return _written(fmt, 1)


def written_exactly(fmt: Format) -> dict[str, Any]:
    """A format as a file says it that is read back to the last bit."""
    return _written(fmt, 2)


def _written(fmt: Format, how: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for item in _said_fields():
        value, silent = getattr(fmt, item.name), _when_silent(item, vars(fmt))
        if value is not None and (item.metadata["measured"] or value != silent):
            data[item.metadata["key"]] = item.metadata["unit"][how](value)
    return data


def _said_fields() -> Iterator[Field[Any]]:
    return (item for item in fields(Format) if "key" in item.metadata)


def _when_silent(item: Field[Any], values: dict[str, Any]) -> Any:
    """What a field is where the file does not say it; values: of the fields before it."""
    instead = item.metadata["instead"]
    return values[instead] if instead else item.default


def _columns() -> dict[str, Any]:
    """Key -> (type, default) of what a file may say."""
    columns: dict[str, Any] = {}
    for item in _said_fields():
        kind, instead = item.metadata["unit"][0], item.metadata["instead"]
        if instead or item.default is None:
            columns[item.metadata["key"]] = (kind | None, None)
        else:
            columns[item.metadata["key"]] = (kind, ... if item.default is MISSING else item.default)
    return columns


def _read(said: Schema) -> Format:
    values: dict[str, Any] = {}
    for item in _said_fields():
        value = getattr(said, item.metadata["key"])
        values[item.name] = _when_silent(item, values) if value is None else value
    return Format(**values)


if TYPE_CHECKING:
    FormatSection = Format
else:  # one entry of `formats` in a file
    FormatSection = Annotated[create_model("Format", __base__=Schema, **_columns()), AfterValidator(_read)]
