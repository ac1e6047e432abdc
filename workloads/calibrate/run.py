"""Measures a device and fits the cost model to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch

from hwmodel.chip.measured import Machine, start_roofline, to_yaml
from hwmodel.errors import ConfigError, check_one_of
from hwmodel.network.layer import Layer
from hwmodel.price.fit import FittedRoofline, Sample, fit_roofline, mean_error
from workloads.calibrate.device import (
    WIDTH,
    cache_bytes,
    channel_block,
    device_name,
    memory_bytes,
    num_cores,
    usable_formats,
)
from workloads.calibrate.shapes import Group, draw_layers
from workloads.calibrate.timing import keep_freed_memory, measure, wait_seconds

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A calibrated device.

    Attributes:
        yaml: the accelerator file.
        fit: the machine, and its error on the layers that it was fitted to.
        held_out: layers that were measured but not fitted to.
        held_out_error: mean absolute relative error on them.
        device: its name.
    """

    yaml: str
    fit: FittedRoofline
    held_out: tuple[Sample, ...]
    held_out_error: float
    device: str


def plan(formats: tuple[str, ...], count: int, seed: int, device: str) -> list[tuple[Layer, str]]:
    """Layers to measure: `count` products and convolutions and half as many depthwise ones per format.

    int8 convolutions are left out: torch has none outside its quantized modules.
    """
    layers: list[tuple[Layer, str]] = []
    for fmt in formats:
        groups: dict[Group, int] = {"gemm": count}
        if fmt != "int8":
            groups |= {"conv": count, "depthwise": count // 2}
        for group, number in groups.items():
            drawn = draw_layers(number, seed, group, WIDTH[fmt], device)
            if fmt == "int8" and device == "cuda":  # cuBLAS wants more than 16 rows
                drawn = [layer for layer in drawn if layer.dims.B > 16]
            layers += [(layer, fmt) for layer in drawn]
    return layers


def calibrate_device(
    device: str = "cpu",
    *,
    name: str = "calibrated",
    count: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Measure GEMM and convolution latency at each format the device supports, and fit a roofline.

    Args:
        device: `cpu` or `cuda`.
        name: of the accelerator.
        count: products, and as many convolutions, per format; a third as many again are held out.
        seed: of the shapes.
        progress: called with (done, in all) while it measures.

    Raises:
        ConfigError: the device is neither, or torch sees no GPU.
    """
    check_one_of("device", device, ("cpu", "cuda"))
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: torch sees no GPU here. Write --device cpu.")
    if count < 4:
        raise ConfigError(f"`count >= 4` must hold, but got count={count}")
    kept = device == "cpu" and keep_freed_memory()
    formats = usable_formats(device)
    fitted_on = plan(formats, count, seed, device)
    layers = fitted_on + plan(formats, max(2, count // 3), seed + 1, device)
    samples = measure(layers, device, progress=progress)
    train, held_out = samples[: len(fitted_on)], samples[len(fitted_on) :]
    kind = "cpu" if device == "cpu" else "gpu"
    start = start_roofline(
        kind, num_cores(device), cache_bytes(device), tuple((fmt, WIDTH[fmt]) for fmt in formats),
        channel_block=channel_block(device),
    )  # fmt: skip
    fit = fit_roofline(train, start)
    shortest = min(sample.seconds for sample in train)
    fit = replace(fit, machine=replace(fit.machine, wait_s=wait_seconds(device, shortest)))
    error = mean_error(held_out, fit.machine)
    machine = Machine(
        name=name,
        kind=kind,
        device=device_name(device),
        source=_source(device, kept, len(train), fit.error, len(held_out), error, seed),
        memory_bytes=memory_bytes(device),
        notes=(f"{name}: latency was measured, energy was not", *_notes(name, formats)),
    )
    return Calibration(
        yaml=to_yaml(machine, fit.machine), fit=fit, held_out=tuple(held_out), held_out_error=error,
        device=machine.device,
    )  # fmt: skip


def _source(
    device: str, kept: bool, train: int, error: float, held_out: int, held_out_error: float, seed: int
) -> str:
    threads = f"{torch.get_num_threads()} threads" if device == "cpu" else f"CUDA {torch.version.cuda}"
    memory = ", freed memory kept by the allocator" if kept else ""
    return (
        f"{device_name(device)}, {threads}, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}, seed {seed}"
        f"{memory}; {train} layers fitted to {error:.1%}, {held_out} held out predicted to "
        f"{held_out_error:.1%} (mean)"
    )


def _notes(name: str, formats: tuple[str, ...]) -> tuple[str, ...]:
    if "int8" not in formats:
        return ()
    return (f"{name}: int8 convolutions were not measured: priced with the rate of int8 products",)
