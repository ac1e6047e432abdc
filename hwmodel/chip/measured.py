"""A measured machine as an accelerator file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwmodel.chip.formats import Format, written
from hwmodel.chip.roofline import Roofline
from hwmodel.chip.yamlfile import dump_yaml

#: Tiles that a calibrated model chooses from: those of cuBLAS on GPUs, register and cache blocks on CPUs.
TILES = {
    "gpu": ((256, 128), (128, 256), (128, 128), (256, 64), (64, 256), (128, 64), (64, 128), (64, 64)),
    "cpu": ((128, 128), (64, 64), (32, 32), (16, 64), (4, 64), (1, 64), (1, 16)),
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a calibration knows about its machine.

    Attributes:
        name: of the accelerator, the stem of its file.
        kind: `gpu` or `cpu`.
        device: as the driver or the operating system calls it.
        source: machine, versions, date and settings of the measurement.
        memory_bytes: size of its memory [byte].
        notes: sentences that every cost from the file carries.
    """

    name: str
    kind: str
    device: str
    source: str
    memory_bytes: int
    notes: tuple[str, ...] = ()


def start_roofline(
    kind: str, cores: int, cache_bytes: int, formats: tuple[tuple[str, int], ...], *, channel_block: int = 1
) -> Roofline:
    """Where the fit starts: the machine's cores and cache, and rates of no meaning yet.

    Args:
        kind: `gpu` or `cpu`.
        cores: multiprocessors or threads.
        cache_bytes: of the last cache [byte].
        formats: (name, width in bits) of those measured.
        channel_block: channels per block of the layout that convolutions run in.
    """
    return Roofline(
        cores=cores,
        formats=tuple(
            Format(name=name, bits=bits, storage_bits=bits, macs_per_s=1.0, lowers=kind == "cpu" and name == "fp32")
            for name, bits in sorted(formats, key=lambda item: item[1])
        ),
        tiles=TILES[kind],
        granule_bits=128 if kind == "gpu" else 32,
        channel_block=channel_block,
        cache_bits=cache_bytes * 8.0,
        cache_bits_per_s=1e12 * cores,
        memory_bits_per_s=1e13 if kind == "gpu" else 2e11,
        fill_s=2e-7,
        launch_s=0.0,
        wait_s=0.0,
        idle_w=0.0,
        overlap=kind == "gpu",
    )


def to_yaml(machine: Machine, fitted: Roofline) -> str:
    """The accelerator file of a fitted machine; `load_accelerator` reads it.

    The clock is 1 GHz, so that a cycle is a nanosecond: only times were measured.
    """
    data: dict[str, Any] = {
        "name": machine.name,
        "kind": machine.kind,
        "description": f"{machine.device}, measured",
        "source": machine.source,
        "clock": "1 GHz",
        "roofline": {
            "cores": fitted.cores,
            "native": fitted.formats[-1].name,
            "formats": [written(fmt) for fmt in fitted.formats],
            "tiles": [list(tile) for tile in fitted.tiles],
            "granule": f"{fitted.granule_bits} bit",
            "channel_block": fitted.channel_block,
            "cache": f"{fitted.cache_bits:.0f} bit",
            "cache_bandwidth": _rate(fitted.cache_bits_per_s),
            "fill": _time(fitted.fill_s),
            "launch": _time(fitted.launch_s),
            "wait": _time(fitted.wait_s),
            "overlap": fitted.overlap,
            "source": f"fitted to latencies: {machine.source}",
        },
        "memories": [
            {
                "name": "memory",
                "holds": ["W", "I", "O"],
                "size": f"{machine.memory_bytes * 8} bit",
                "read_energy": "0 pJ/bit",
                "bandwidth": _rate(fitted.memory_bits_per_s),
                "source": "size from the system, bandwidth fitted; energy was not measured",
            }
        ],
        "vector": {
            "lanes": _lanes(fitted),
            "source": "not measured: half of the arithmetic of the widest format; memory bounds it in practice",
        },
        "notes": list(machine.notes),
    }
    return dump_yaml(data, header=f"hwmodel hw calibrate: {machine.source}")


def _lanes(fitted: Roofline) -> int:
    """Elements per nanosecond."""
    return max(1, round(fitted.formats[-1].macs_per_s / 2 / 1e9))


def _rate(bits_per_s: float) -> str:
    return f"{bits_per_s / 8e9:.6g} GB/s"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.6g} us"
