"""`hwmodel hw calibrate`: this machine, measured, as an accelerator file."""

from __future__ import annotations

from pathlib import Path

from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from hwmodel.network.names import OK
from reports.terminal.console import emit_json, make_console
from reports.terminal.tables import print_lines
from workloads.calibrate import calibrate_device


def calibrate(*, output: Path, device: str, layers: int, seed: int, json: bool) -> None:
    """Measure this machine, fit its roofline, write the file."""
    if output.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{output}: must be a .yaml file, for --hw to read it")
    found = calibrate_device(device, name=output.stem, count=layers, seed=seed)
    write_atomic(output, found.yaml)
    formats = [fmt.name for fmt in found.fit.machine.formats]
    if json:
        emit_json(
            {
                "file": str(output),
                "device": found.device,
                "formats": formats,
                "fit_error": found.fit.error,
                "held_out_layers": len(found.held_out),
                "held_out_error": found.held_out_error,
            }
        )
        return
    error = (
        f"mean error {found.fit.error:.1%} on the layers of the fit, {found.held_out_error:.1%} on "
        f"{len(found.held_out)} others"
    )
    lines = [
        (OK, f"{output}: {found.device}, {' '.join(formats)}"),
        ("", error),
        ("", f"use it: hwmodel cost MODEL --hw {output}"),
    ]
    print_lines(make_console(), lines)
