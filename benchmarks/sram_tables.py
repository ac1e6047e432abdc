"""Make the tables of SRAM arrays of `hwmodel/chip/components`: CACTI 7, run over capacities, widths and nodes.

    python benchmarks/sram_tables.py CACTI [--output FILE] [--runs FILE]

CACTI is the folder of a built CACTI 7.0 (github.com/HewlettPackard/cacti, BSD-3-Clause: `make` there). 1920 runs
take about half an hour of one core. Each is one bank of one read-write port without tags, at 300 K, of cells
and periphery of one kind of ITRS transistors, chosen for the least leakage within 20 % of the best delay: the
settings of Accelergy's plug-in for CACTI (Wu et al., ICCAD 2019).

CACTI's optimizer leaves steps of its own in the numbers: a larger or wider array is now and then cheaper than a
smaller one. `monotone` takes them out: every value becomes the geometric mean of the greatest value at or below it
in size, width and node, and of the least one at or above it; the file says by how much values moved (`moved`).
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

if __name__ == "__main__":  # works from any folder
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.provenance import provenance
from hwmodel.files import write_atomic

OUTPUT = Path(__file__).resolve().parents[1] / "hwmodel" / "chip" / "components" / "sram.json"
NODES_NM = (22, 32, 45, 65, 90)
WIDTHS_BITS = tuple(2**n for n in range(3, 11))
DEPTHS_WORDS = tuple(2**n for n in range(5, 21))
#: Kinds of transistors in CACTI -> their names in a chip file.
DEVICES = {"itrs-lstp": "low_standby", "itrs-hp": "high_performance", "itrs-lop": "low_operating"}
#: Column of CACTI's file -> (quantity here, factor to its unit).
COLUMNS = {
    "Dynamic read energy (nJ)": ("read_pj", 1e3),
    "Dynamic write energy (nJ)": ("write_pj", 1e3),
    "Area (mm2)": ("area_mm2", 1.0),
    "Standby leakage per bank(mW)": ("leakage_w", 1e-3),
}
#: CACTI finds no smaller array [bit].
SMALLEST_BITS = 512
DIGITS = 4
#: A run takes up to three seconds.
SECONDS = 300

#: The array stands first, then what does not change. CACTI never ends on an empty line.
CONFIG = """\
-size (bytes) {size}
-block size (bytes) {block}
-output/input bus width {width}
-technology (u) {micrometres}
-Data array cell type - "{devices}"
-Data array peripheral type - "{devices}"
-Tag array cell type - "{devices}"
-Tag array peripheral type - "{devices}"
-cache type "ram"
-associativity 1
-tag size (b) 0
-UCA bank 1
-read-write port  1
-exclusive read port 0
-exclusive write port 0
-single ended read ports 0
-page size (bits) 0
-burst length 8
-internal prefetch width 8
-operating temperature (K) 300
-access mode (normal, sequential, fast) - "fast"
-design objective (weight delay, dynamic power, leakage power, cycle time, area) 0:0:1000000:0:0
-deviate (delay, dynamic power, leakage power, cycle time, area) 20:10:100000:100:100
-NUCAdesign objective (weight delay, dynamic power, leakage power, cycle time, area) 100:100:0:0:100
-NUCAdeviate (delay, dynamic power, leakage power, cycle time, area) 10:10000:10000:10000:10000
-Optimize ED or ED^2 (ED, ED^2, NONE): "ED^2"
-Cache model (NUCA, UCA)  - "UCA"
-NUCA bank count 0
-Wire signaling (fullswing, lowswing, default) - "Global_30"
-Wire inside mat - "semi-global"
-Wire outside mat - "semi-global"
-Interconnect projection - "normal"
-Core count 1
-Add ECC - "false"
-Array Power Gating - "false"
-WL Power Gating - "false"
-CL Power Gating - "false"
-Bitline floating - "false"
-Interconnect Power Gating - "false"
-Power Gating Performance Loss "default"
-Print level (DETAILED, CONCISE) - "DETAILED"
-Print input parameters - "true"
-Force cache config - "false"
-dram_type "DDR3"
-io state "WRITE"
-addr_timing 1.0
-mem_density 4 Gb
-bus_freq 800 MHz
-duty_cycle 1.0
-activity_dq 1.0
-activity_ca 0.5
-num_dq 72
-num_dqs 18
-num_ca 25
-num_clk  2
-num_mem_dq 2
-mem_data_width 8
-rtt_value 10000
-ron_value 34
-tflight_value
-num_bobs 1
-capacity 80
-num_channels_per_bob 1
-first metric "Cost"
-second metric "Bandwidth"
-third metric "Energy"
-DIMM model "ALL"
-mirror_in_bob "F"
"""


def run(cacti: Path, devices: str, nm: int, width: int, depth: int) -> dict[str, float]:
    """What CACTI says of one array: quantity -> value (`COLUMNS`).

    Raises:
        RuntimeError: it finds no array of this shape.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "array.cfg"
        config.write_text(
            CONFIG.format(
                size=depth * width // 8, block=width // 8, width=width, micrometres=nm / 1000, devices=devices
            )
        )
        done = subprocess.run(
            ["./cacti", "-infile", str(config)],
            cwd=cacti,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        result = Path(f"{config}.out")
        if not result.is_file():
            raise RuntimeError(f"{devices}, {nm} nm, {depth} x {width} bit: CACTI gave none: {done.stdout[-200:]}")
        rows = list(csv.DictReader(result.read_text().splitlines()))
    said = {key.strip(): value for key, value in rows[-1].items() if key}
    return {name: float(said[column]) * factor for column, (name, factor) in COLUMNS.items()}


def monotone(values: NDArray[np.float64], axes: Sequence[int]) -> NDArray[np.float64]:
    """The same without falls along some axes: the geometric mean of the closest rising tables above and below.

    Args:
        values: > 0, of any shape; NaN where there is none.
        axes: along which they must not fall.
    """
    above, below = values, values
    for axis in axes:
        above = np.fmax.accumulate(above, axis=axis)
        below = np.flip(np.fmin.accumulate(np.flip(below, axis), axis=axis), axis)
    return np.where(np.isnan(values), np.nan, np.sqrt(above * below))


def by_size(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[node, width, depth] as [node, width, size], both in powers of two; NaN where no array has the size."""
    nodes, widths, depths = values.shape
    found = np.full((nodes, widths, widths + depths - 1), np.nan)
    for width in range(widths):
        found[:, width, width : width + depths] = values[:, width]
    return found


def by_depth(values: NDArray[np.float64], depths: int) -> NDArray[np.float64]:
    """The way back from `by_size`."""
    return np.stack([values[:, width, width : width + depths] for width in range(values.shape[1])], axis=1)


def smooth(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A quantity that falls neither with size, nor with width at one size (energies), nor from node to older node.

    Leakage falls where it will from one node to the next: processes differ.
    """
    axes = {"area_mm2": (0, 2), "leakage_w": (2,)}.get(name, (0, 1, 2))
    return by_depth(monotone(by_size(values), axes), values.shape[2])


def table(
    cacti: Path, devices: str, known: Mapping[str, dict[str, float]], keep: Callable[[str, dict[str, float]], None]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, float]]:
    """Quantity -> values [node, width, depth], and by how much they moved (relative: the most, the median)."""
    shape = (len(NODES_NM), len(WIDTHS_BITS), len(DEPTHS_WORDS))
    raw = {name: np.full(shape, np.nan) for name, _ in COLUMNS.values()}
    for place in np.ndindex(*shape):
        nm, width, depth = NODES_NM[place[0]], WIDTHS_BITS[place[1]], DEPTHS_WORDS[place[2]]
        if width * depth < SMALLEST_BITS:
            continue
        key = f"{devices} {nm} {width} {depth}"
        found = known.get(key)
        if found is None:
            found = run(cacti, devices, nm, width, depth)
            keep(key, found)
        for name, value in found.items():
            raw[name][place] = value
    values = {name: smooth(name, array) for name, array in raw.items()}
    change = {name: np.abs(values[name] / array - 1) for name, array in raw.items()}
    moved = {name: float(np.nanmax(array)) for name, array in change.items()}
    return values, moved | {f"{name}, median": float(np.nanmedian(array)) for name, array in change.items()}


def _written(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.{DIGITS}g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make the tables of SRAM arrays with CACTI 7.")
    parser.add_argument("cacti", type=Path, metavar="CACTI", help="folder of a built CACTI 7.0")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: the file of the package")
    parser.add_argument("--runs", type=Path, metavar="FILE", help="keep the runs here, and go on after those there")
    options = parser.parse_args(arguments)
    known: dict[str, dict[str, float]] = {}
    if options.runs is not None and options.runs.is_file():
        known = dict(json.loads(line) for line in options.runs.read_text(encoding="utf-8").splitlines())

    def keep(key: str, found: dict[str, float]) -> None:
        if options.runs is not None:
            with options.runs.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, found]) + "\n")

    data: dict[str, Any] = {
        "what": "one bank of SRAM, one read-write port, no tags: energy of an access, area and leakage",
        "source": "CACTI 7.0 (Balasubramonian et al., ACM TACO 14(2), 2017), run by benchmarks/sram_tables.py",
        **provenance(["numpy"]),
        "nodes_nm": NODES_NM,
        "widths_bits": WIDTHS_BITS,
        "depths_words": DEPTHS_WORDS,
        "devices": {},
        "moved": {},
    }
    for devices, name in DEVICES.items():
        values, moved = table(options.cacti, devices, known, keep)
        data["devices"][name] = {
            key: [[[_written(value) for value in row] for row in rows] for rows in array.tolist()]
            for key, array in values.items()
        }
        data["moved"][name] = {key: float(f"{value:.3g}") for key, value in moved.items()}
        print(name, data["moved"][name], flush=True)
    text = json.dumps(data).replace("]], [[", "]],\n[[").replace(', "', ',\n"')
    write_atomic(options.output, text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
