"""Latency of single layers on the device at hand."""

from __future__ import annotations

import ctypes
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from hwmodel.network.layer import Layer
from hwmodel.price.fit import Sample

#: Format name -> torch type.
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "int8": torch.int8}
#: Operands are rotated through this much memory, so that no call finds them in a cache [byte].
_ROTATED_BYTES = 96 << 20
_MAX_COPIES = 64
_MIN_ROUND_S = 1e-3
# malloc.h of glibc
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

Call = Callable[[], object]


@dataclass
class _Timed:
    """A layer that is measured round by round."""

    layer: Layer
    fmt: str
    calls: Callable[[], Call]
    repeats: int
    best: float


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed: else every large tensor is paid for page by page, whatever computes it.

    PyTorch's performance tuning guide recommends an allocator that does so. Returns whether it is in force.
    """
    try:
        libc = ctypes.CDLL(None)
        return bool(libc.mallopt(_M_MMAP_MAX, 0) == 1 and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1) == 1)
    except (OSError, AttributeError):
        return False


def measure(
    layers: Sequence[tuple[Layer, str]],
    device: str,
    rounds: int = 15,
    progress: Callable[[int, int], None] | None = None,
) -> list[Sample]:
    """Latency of layers, the fastest of several rounds.

    Each round visits every layer once, so that a busy spell of the machine touches one round of many layers
    and not all rounds of one. Operands come from memory, as the weights of a network do.

    Args:
        layers: (layer, format).
        device: `cpu` or `cuda`.
        rounds: visits of each layer.
        progress: called with (visits done, visits in all).
    """
    samples: list[Sample] = []
    total, done = len(layers) * (rounds + 1), 0
    for start in range(0, len(layers), 16):  # sixteen at a time: their operands are in memory together
        cases = [_prepare(layer, fmt, device) for layer, fmt in layers[start : start + 16]]
        for _ in range(rounds):
            for case in cases:
                case.best = min(case.best, _time(case.calls, case.repeats, device))
        done += len(cases) * (rounds + 1)
        if progress is not None:
            progress(done, total)
        samples += [Sample(layer=case.layer, fmt=case.fmt, seconds=case.best) for case in cases]
    return samples


def wait_seconds(device: str, launch_s: float) -> float:
    """What a host that waits for one small product loses beyond its launch [s]; 0 on a CPU."""
    if device == "cpu":
        return 0.0
    a = torch.zeros(16, 16, device=device)
    best = min(_time(lambda: lambda: torch.mm(a, a), 1, device) for _ in range(100))
    return max(0.0, best - launch_s)


def _prepare(layer: Layer, fmt: str, device: str) -> _Timed:
    operands = operands_of(layer, DTYPES[fmt], device)
    size = sum(tensor.numel() * tensor.element_size() for tensor in operands)
    copies = max(1, min(_MAX_COPIES, _ROTATED_BYTES // size)) if device == "cpu" else 1
    sets = [operands, *((operands[0].clone(), operands[1].clone()) for _ in range(copies - 1))]
    turn = itertools.cycle(sets)

    def call() -> Call:
        chosen = next(turn)
        return lambda: run_layer(layer, chosen)

    _time(call, 2, device)
    first = _time(call, 2, device)
    return _Timed(layer=layer, fmt=fmt, calls=call, repeats=max(1, min(200, int(_MIN_ROUND_S / first))), best=first)


def operands_of(layer: Layer, dtype: torch.dtype, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Input and weight of a layer: (M, C) and (K, C) for linear layers, NCHW for convolutions."""
    d = layer.dims
    if layer.kind == "linear":
        shapes = ((d.B * d.OY * d.OX, d.C), (d.K, d.C))
    else:
        _, _, _, height, width = layer.i_shape
        shapes = ((d.B, d.G * d.C, height, width), (d.G * d.K, d.C, d.FY, d.FX))  # type: ignore[assignment]
    make = torch.ones if dtype == torch.int8 else torch.randn
    return (make(shapes[0], dtype=dtype, device=device), make(shapes[1], dtype=dtype, device=device))


def run_layer(layer: Layer, operands: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """One call of the layer; int8 gives int32."""
    x, w = operands
    if layer.kind == "conv":
        return functional.conv2d(x, w, stride=layer.stride, groups=layer.dims.G)
    return torch._int_mm(x, w.t()) if x.dtype == torch.int8 else functional.linear(x, w)


def _time(calls: Callable[[], Call], repeats: int, device: str) -> float:
    """Seconds of one call, from `repeats` of them in a row."""
    chosen = [calls() for _ in range(repeats)]
    with torch.inference_mode():
        _synchronize(device)
        start = time.perf_counter()
        for call in chosen:
            call()
        _synchronize(device)
        return (time.perf_counter() - start) / repeats


def _synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
