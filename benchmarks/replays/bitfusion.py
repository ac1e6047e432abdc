"""Bit Fusion's simulator results: compute cycles of every layer and cycles of every network, per array.

The arrays of the sweep differ in columns, buffers and bandwidth. A row states its buffers (bytes, labelled bits)
and bandwidth; columns grow with the weight buffer, which is a part of every fusion unit.

Compute cycles are those of the machine whose memory never limits; the totals wait for DRAM as the row's machine
does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from benchmarks.replays.case import Case
from hwmodel import Bits, Layer, evaluate, load_accelerator
from hwmodel.chip.accelerator import Accelerator, Memory
from hwmodel.network.layer import Dims, Kind

Row = Mapping[str, Any]
#: The file's names of what we call a layer's kind; another one is an error.
KINDS: dict[str, Kind] = {"conv": "conv", "fc": "linear"}


def replay(data: object) -> list[Case]:
    """Cases of a file in the format of `bitfusion_cycles.json`.

    Per network and array: `network/array/layer compute` [cycles], then `network/array/total` [cycles].

    Args:
        data: network name -> {layers, results}.
    """
    cases: list[Case] = []
    for network, item in cast(Mapping[str, Any], data).items():
        layers = {row["scope"]: layer_of(row) for row in item["layers"]}
        arrays: dict[str, list[Row]] = {}
        for row in item["results"]:
            arrays.setdefault(array_name(row), []).append(row)
        for name, rows in arrays.items():
            cases += _network_cases(f"{network}/{name}", layers, rows)
    return cases


def _network_cases(place: str, layers: Mapping[str, Layer], rows: Iterable[Row]) -> list[Case]:
    cases: list[Case] = []
    reference = prediction = 0
    for row in rows:
        layer = layers[row["Layer"].split("/")[0]]
        accelerator = accelerator_of(row)
        compute = evaluate(layer, unlimited(accelerator), optimize="latency").cycles
        busy = row["Cycles"] - row["Memory wait cycles"]
        cases.append(Case(name=f"{place}/{layer.name} compute", reference=busy, prediction=compute))
        reference += row["Cycles"]
        prediction += evaluate(layer, accelerator, optimize="latency").cycles
    return [*cases, Case(name=f"{place}/total", reference=reference, prediction=prediction)]


def layer_of(row: Row) -> Layer:
    """The layer that a row of `layers` describes."""
    dims = Dims(**{name: row[name] for name in ("B", "K", "C", "OY", "OX", "FY", "FX")})
    kind = KINDS[row["op"]]
    bits = Bits(w=row["w_bits"], i=row["i_bits"], o=row["o_bits"])
    return Layer(name=row["scope"], kind=kind, dims=dims, stride=row["stride"], bits=bits)


def array_name(row: Row) -> str:
    """Rows x columns and bandwidth of a result row."""
    rows, columns = (axis.size for axis in accelerator_of(row).axes)
    return f"{rows}x{columns} {row['Bandwidth (bits/cycle)']} bit/cycle"


def accelerator_of(row: Row) -> Accelerator:
    """The preset with the columns, buffers and bandwidth of a result row."""
    preset = load_accelerator("bitfusion")
    rows, columns = preset.axes
    per_unit = (preset.memories()["wbuf"].size_bits or 0) / preset.num_pes
    width = round(row["WBUF Size (bits)"] * 8 / per_unit / rows.size)
    sizes = {name: row[f"{name.upper()} Size (bits)"] * 8.0 for name in ("wbuf", "ibuf", "obuf")}
    bandwidth = float(row["Bandwidth (bits/cycle)"])
    return with_memories(
        replace(preset, axes=(rows, replace(columns, size=width))),
        {
            name: replace(memory, size_bits=sizes[name]) if name in sizes else with_bandwidth(memory, bandwidth)
            for name, memory in preset.memories().items()
        },
    )


def unlimited(accelerator: Accelerator) -> Accelerator:
    """The accelerator with memories whose bandwidth never limits."""
    return with_memories(accelerator, {n: with_bandwidth(m, None) for n, m in accelerator.memories().items()})


def with_bandwidth(memory: Memory, bits_per_cycle: float | None) -> Memory:
    return replace(memory, read_bits_per_cycle=bits_per_cycle, write_bits_per_cycle=bits_per_cycle)


def with_memories(accelerator: Accelerator, memories: Mapping[str, Memory]) -> Accelerator:
    levels = (
        replace(level, memories=tuple(memories[memory.name] for memory in level.memories))
        for level in accelerator.levels
    )
    return replace(accelerator, levels=tuple(levels))
