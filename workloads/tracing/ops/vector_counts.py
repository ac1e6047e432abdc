"""Operations per output element that depend on the call: windows, reductions, sorts, transforms."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workloads.tracing.ops.rules import OpCall


def per_input(call: OpCall) -> float:
    """One operation per element read, as a number per element written."""
    tensor = call.arguments.get("self", call.arguments.get("input"))
    return float(tensor.numel()) / max(1, call.out.numel())


def scale_and_shift(call: OpCall) -> int:
    """Of every channel: what a norm with fixed statistics comes down to."""
    return 2 * int(call["input"].shape[1])


@dataclass(frozen=True)
class Reduction:
    """So many operations per element read."""

    ops: float

    def __call__(self, call: OpCall) -> float:
        return self.ops * per_input(call)


def window(call: OpCall) -> float:
    """One operation per element of the pooling window, which spans as many axes as the name says."""
    kernel = call["kernel_size"]
    axes = int(call.op.split("pool")[1][0])
    if isinstance(kernel, int):
        return float(kernel**axes)
    return float(math.prod(kernel)) if len(kernel) == axes else float(kernel[0] ** axes)


def log2_length(call: OpCall) -> float:
    """A comparison sort: log2 of the length of the sorted dim, per element of the input."""
    dim = call.arguments.get("dim")
    length = int(call["self"].shape[-1 if dim is None else dim]) if call["self"].dim() else 1
    return per_input(call) * max(1.0, math.log2(max(1, length)))


def boundaries(call: OpCall) -> float:
    """A comparison with every boundary."""
    return float(call["boundaries"].numel())


def log2_table(call: OpCall) -> float:
    """A binary search in the sorted table."""
    return max(1.0, math.log2(max(1, call["sorted_sequence"].shape[-1])))


def features(call: OpCall) -> float:
    """A distance of two vectors: subtract, square, add per feature."""
    return 3.0 * int(call["x1"].shape[-1])


def fft(call: OpCall) -> float:
    """5 N log2 N operations per transform of N points, half if one side is real (as FFTW counts)."""
    source, out = call["self"], call.out
    larger = source if source.numel() > out.numel() else out
    points = math.prod(int(larger.shape[dim]) for dim in call["dim"])
    transforms = larger.numel() / max(1, points)
    half = 0.5 if call.op != "aten::_fft_c2c" else 1.0
    return half * 5 * points * math.log2(max(2, points)) * transforms / max(1, out.numel())
