"""`hwmodel doctor`: what a bug report needs to know about the machine."""

from __future__ import annotations

from typing import Any

from reports.commands.options import JsonOption

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


def doctor(json: JsonOption = False) -> None:
    """Show versions, devices and threads, and what is missing."""
    from hwmodel.network.names import OK, WARNING
    from reports.terminal.console import emit_json, make_console
    from reports.terminal.tables import print_lines

    facts = environment()
    if json:
        emit_json(facts)
        return
    found, optional = facts["packages"], facts["optional"]
    missing = [name for name, version in found.items() if version is None]
    lines = [("", f"{facts['platform']} · Python {facts['python']}")]
    lines += [("", f"{name} {version}") for name, version in found.items() if version]
    lines += [("", f"{name} {version}") for name, version in optional.items() if version]
    lines += [
        ("", f"{name} is not installed (optional: {OPTIONAL[name]})") for name, v in optional.items() if not v
    ]
    lines.append(("", f"{facts['cpus']} CPUs · torch uses {facts['threads']} threads"))
    lines += [("", f"{device}") for device in facts["devices"]] or [
        ("", "no CUDA device: training runs on the CPU")
    ]
    lines += [(WARNING, f"{name} is missing. Install hwmodel again.") for name in missing]
    if not missing:
        lines.append((OK, "every required package is installed"))
    print_lines(make_console(), lines)
    if missing:
        import typer

        raise typer.Exit(3)


def environment() -> dict[str, Any]:
    """Versions, devices and threads of this machine; no path and no user name."""
    import os
    import platform

    from workloads.training.device import cuda_devices, num_threads

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
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
