"""`hwmodel doctor`: what a bug report needs to know about the machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Any

import typer

from hwmodel.network.names import OK, WARNING
from reports.exits import Exit
from reports.terminal.console import emit_json, make_console
from reports.terminal.tables import print_lines
from workloads.training.device import cuda_devices, num_threads

REQUIRED = ("hwmodel", "torch", "numpy", "pandas", "networkx", "optuna", "matplotlib", "scipy", "pydantic",
            "ruamel.yaml", "pint", "typer", "rich", "jinja2", "scikit-learn", "safetensors")  # fmt: skip
OPTIONAL = {
    "timm": "models by timm:NAME",
    "onnx": "models by FILE.onnx",
    "onnxscript": "export to ONNX",
    "onnxruntime": "export checked by running it",
    "transformers": "Hugging Face models",
    "optuna-dashboard": "live dashboard",
}


def doctor(*, json: bool) -> None:
    """Show versions, devices and threads, and what is missing."""
    found = environment()
    missing = [name for name, version in found["packages"].items() if version is None]
    if json:
        emit_json(found)
    else:
        print_lines(make_console(), _lines(found, missing))
    if missing:
        raise typer.Exit(Exit.INVALID)


def environment() -> dict[str, Any]:
    """Versions, devices and threads of this machine; no path and no user name."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in REQUIRED},
        "optional": {name: _version(name) for name in OPTIONAL},
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": num_threads(),
        "devices": cuda_devices(),
    }


def _version(distribution: str) -> str | None:
    try:
        return version_of(distribution)
    except PackageNotFoundError:
        return None


def _lines(found: dict[str, Any], missing: list[str]) -> list[tuple[str, str]]:
    optional = found["optional"]
    lines = [("", f"{found['platform']} · Python {found['python']}")]
    lines += [("", f"{name} {version}") for name, version in (found["packages"] | optional).items() if version]
    lines += [
        ("", f"{name} is not installed (optional: {OPTIONAL[name]})") for name, v in optional.items() if not v
    ]
    lines.append(("", f"{found['cpus']} CPUs · torch uses {found['threads']} threads"))
    lines += [("", device) for device in found["devices"] or ["no CUDA device: training runs on the CPU"]]
    if missing:
        return lines + [(WARNING, f"{name} is missing. Install hwmodel again.") for name in missing]
    return [*lines, (OK, "every required package is installed")]
