"""Prices layers with ZigZag, in an interpreter that has it (`pip install zigzag-dse six`): JSON in, JSON out.

    python zigzag_peer.py < layers.json > costs.json

In: `{"layers": [{"name", "dims", "stride"}], "lpf_limit": 6}`. Out: its version, and per layer energy [pJ], cycles,
processor time [s] and energy by operand, level by level from the inside out, on its own `tpu_like` with 8-bit
operands and 16-bit partial sums.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any


def workload(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer in ZigZag's words; a depthwise one has groups and neither K nor C."""
    dims, (sy, sx) = layer["dims"], layer["stride"]
    names = "g" if "G" in dims else "kc"
    weight = "".join(f"[{n}]" for n in names)
    equation = f"O[b][{names[0]}][oy][ox]+=W{weight}[fy][fx]*I[b][{names[-1]}][iy][ix]"
    return {
        "id": 0, "name": layer["name"], "operator_type": "Conv", "equation": equation,
        "dimension_relations": [f"iy={sy}*oy+1*fy", f"ix={sx}*ox+1*fx"],
        "loop_dims": list(dims), "loop_sizes": list(dims.values()),
        "operand_precision": {"W": 8, "I": 8, "O": 16, "O_final": 8}, "operand_source": {"I": 0, "W": 0},
    }  # fmt: skip


def main() -> None:
    import zigzag
    from zigzag.api import get_hardware_performance_zigzag

    logging.disable(logging.CRITICAL)
    asked, inputs = json.load(sys.stdin), Path(zigzag.__file__).parent / "inputs"
    rows = []
    for layer in asked["layers"]:
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            energy, cycles, found = get_hardware_performance_zigzag(
                [workload(layer)], str(inputs / "hardware/tpu_like.yaml"), str(inputs / "mapping/tpu_like.yaml"),
                opt="energy", dump_folder=folder, lpf_limit=asked["lpf_limit"], loma_show_progress_bar=False,
            )  # fmt: skip
            seconds = time.process_time() - start
        levels = {str(operand): list(values) for operand, values in found[0][0].mem_energy_breakdown.items()}
        rows.append(
            {"name": layer["name"], "energy_pj": float(energy), "cycles": float(cycles), "seconds": seconds,
             "energy_by_level": levels}
        )  # fmt: skip
        sys.stderr.write(f"{layer['name']}: {seconds:.1f} s\n")
    json.dump({"version": version("zigzag-dse"), "rows": rows}, sys.stdout)


if __name__ == "__main__":
    main()
