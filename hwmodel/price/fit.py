"""Fits a roofline to measured latencies.

The parameters are peaks, bandwidths and overheads, all positive: the search steps by factors and minimises the mean
absolute relative error, which weighs a microsecond layer as much as a second. It starts from rough guesses and
improves one parameter at a time with shrinking steps (a pattern search: Hooke and Jeeves, Direct search solution of
numerical and statistical problems, JACM 1961).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hwmodel.chip.accelerator import Widths
from hwmodel.chip.formats import Format
from hwmodel.chip.roofline import MatrixProducts, Roofline, run_kernel
from hwmodel.errors import ConfigError
from hwmodel.network.layer import Layer
from hwmodel.price.gpu import products_of

_STEPS = (2.0, 1.5, 1.25, 1.1, 1.04)
_SWEEPS = 8

_KINDS = ("gemm", "conv", "pointwise", "direct")

Parameters = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A measured layer.

    Attributes:
        layer: with its bits.
        fmt: name of the format it ran in.
        seconds: of one call among many in a queue [s].
    """

    layer: Layer
    fmt: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class FittedRoofline:
    """A fitted machine, and the mean absolute relative error on the samples it was fitted to."""

    machine: Roofline
    error: float


def fit_roofline(samples: Sequence[Sample], start: Roofline) -> FittedRoofline:
    """The roofline that explains measured latencies best.

    Args:
        samples: at least one in every format of `start`.
        start: cores, tiles, granule and cache size as they are; its rates, bandwidths and overheads are where the
            search starts.

    Raises:
        ConfigError: a format has no sample, or a time is not above 0.
    """
    for fmt in start.formats:
        if not any(sample.fmt == fmt.name for sample in samples):
            raise ConfigError(f"calibration: format {fmt.name} has no sample")
    for sample in samples:
        if not 0 < sample.seconds < math.inf:
            raise ConfigError(f"calibration: `seconds > 0` must hold, but {sample.layer.name}: {sample.seconds}")
    cases = [(products_of(s.layer, start, _widths(s.layer)), s.fmt, s.seconds) for s in samples]
    parameters = _start_values(cases, start)

    def error(values: Parameters) -> float:
        machine = _machine(start, values)
        return sum(abs(_seconds(p, machine, fmt) / seconds - 1) for p, fmt, seconds in cases) / len(cases)

    machine = _machine(start, _search(error, parameters))
    return FittedRoofline(machine=machine, error=mean_error(samples, machine))


def predict_seconds(layer: Layer, machine: Roofline, fmt: str) -> float:
    """Latency of one call among many in a queue [s]."""
    return _seconds(products_of(layer, machine, _widths(layer)), machine, fmt)


def mean_error(samples: Sequence[Sample], machine: Roofline) -> float:
    """Mean absolute relative error of the predictions."""
    errors = [abs(predict_seconds(s.layer, machine, s.fmt) / s.seconds - 1) for s in samples]
    return sum(errors) / len(errors)


def _widths(layer: Layer) -> Widths:
    if layer.bits is None:
        raise ConfigError(f"calibration: layer {layer.name!r} has no bits")
    return Widths(w=layer.bits.w, i=layer.bits.i, o=layer.bits.out, acc=32)


def _seconds(products: MatrixProducts, machine: Roofline, name: str) -> float:
    fmt = next(item for item in machine.formats if item.name == name)
    return machine.launch_s + run_kernel(products, machine, fmt).seconds


def _start_values(cases: Sequence[tuple[MatrixProducts, str, float]], start: Roofline) -> Parameters:
    """The fastest sample of each kind bounds its rate from below, the shortest its overhead from above."""
    values = {"cache": start.cache_bits_per_s, "fill": start.fill_s}
    for fmt in start.formats:
        values[f"memory {fmt.name}"] = start.memory_bits_per_s
        if not start.overlap:
            values[f"packing {fmt.name}"] = start.memory_bits_per_s
        for kind in _KINDS:
            found = [
                (products.macs / seconds, seconds)
                for products, name, seconds in cases
                if name == fmt.name and _kind(products) == kind
            ]
            if found and kind == "conv":
                values[f"reorder {fmt.name}"] = 2 * start.memory_bits_per_s
            if found:
                values[f"{kind} {fmt.name}"] = max(rate for rate, _ in found)
            if found and kind != "pointwise":
                values[f"{kind} overhead {fmt.name}"] = min(seconds for _, seconds in found) / 2
    return values


def _kind(products: MatrixProducts) -> str:
    if not products.is_conv:
        return "gemm"
    if products.n == 1:
        return "direct"
    return "pointwise" if products.pointwise else "conv"


def _machine(start: Roofline, values: Parameters) -> Roofline:
    formats = tuple(_format(fmt, values) for fmt in start.formats)
    return replace(
        start,
        formats=formats,
        memory_bits_per_s=max(fmt.memory_bits_per_s or 0.0 for fmt in formats),
        cache_bits_per_s=values["cache"],
        fill_s=values["fill"],
    )


def _format(fmt: Format, values: Parameters) -> Format:
    """The peak is the faster of products and convolutions; a kind without samples is as efficient as the other."""
    gemm, conv, pointwise = (values.get(f"{kind} {fmt.name}") for kind in ("gemm", "conv", "pointwise"))
    peak = max(rate for rate in (gemm, conv, pointwise) if rate is not None)
    overhead = {kind: values.get(f"{kind} overhead {fmt.name}") for kind in ("gemm", "conv", "direct")}
    usual = min(found for found in overhead.values() if found is not None)
    return replace(
        fmt,
        macs_per_s=peak,
        efficiency=(gemm or peak) / peak,
        conv_efficiency=(conv or peak) / peak,
        pointwise_efficiency=(pointwise or conv or peak) / peak,
        direct_macs_per_s=values.get(f"direct {fmt.name}"),
        overhead_s=overhead["gemm"] or usual,
        conv_overhead_s=overhead["conv"] or usual,
        direct_overhead_s=overhead["direct"] or overhead["conv"] or usual,
        memory_bits_per_s=values[f"memory {fmt.name}"],
        packing_bits_per_s=values.get(f"packing {fmt.name}"),
        reorder_bits_per_s=values.get(f"reorder {fmt.name}"),
    )


def _search(error: Callable[[Parameters], float], values: Parameters) -> Parameters:
    best = error(values)
    for step in _STEPS:
        for _ in range(_SWEEPS):
            before = best
            for name in values:
                for factor in (step, 1 / step):
                    trial = {**values, name: values[name] * factor}
                    found = error(trial)
                    if found < best:
                        best, values = found, trial
                        break
            if best > before * (1 - 1e-3):
                break
    return values
