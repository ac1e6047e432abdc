"""The device: its name, its cores, and which formats it multiplies."""

from __future__ import annotations

import platform
import warnings
from pathlib import Path

import torch

from hwmodel.network.layer import Bits, Dims, Layer
from workloads.calibrate.timing import measure

#: Formats tried on each kind of device; of two with one width, the first that runs and is faster than fp32 counts.
CANDIDATES = {"cpu": ("bf16", "int8"), "cuda": ("fp16", "int8")}
WIDTH = {"fp32": 32, "fp16": 16, "bf16": 16, "int8": 8}


def device_name(device: str) -> str:
    """As the driver or the operating system calls it."""
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def num_cores(device: str) -> int:
    """Multiprocessors of a GPU, threads that torch uses on a CPU."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).multi_processor_count)
    return torch.get_num_threads()


def memory_bytes(device: str) -> int:
    """Size of the device's memory [byte]."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory)
    import os

    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def channel_block(device: str) -> int:
    """Channels per block of the layout that the library's convolutions run in; 1 where channels are not blocked.

    Source: oneDNN developer guide, memory formats: nChw16c for AVX-512, nChw8c for AVX2.
    """
    if device != "cpu":
        return 1
    return {"AVX512": 16, "AVX2": 8}.get(torch.backends.cpu.get_cpu_capability(), 1)


def cache_bytes(device: str) -> int:
    """Size of the last cache [byte]; 32 MiB where the system does not say."""
    if device == "cuda":
        return int(getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 32 << 20))
    sizes = [_kib(path) for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max(sizes, default=32 << 10) * 1024


def _kib(path: Path) -> int:
    text = path.read_text(encoding="ascii").strip()
    return int(text[:-1]) * {"K": 1, "M": 1024}.get(text[-1], 1) if text[-1:].isalpha() else 0


def usable_formats(device: str) -> tuple[str, ...]:
    """fp32, and every narrower format that runs and is faster than fp32 on one large product."""
    found = ["fp32"]
    fp32 = _speed(device, "fp32")
    for name in CANDIDATES[device]:
        try:
            if _speed(device, name) < fp32:
                found.append(name)
        except (RuntimeError, NotImplementedError) as error:
            warnings.warn(f"{name} does not run on {device}: {error}", RuntimeWarning, stacklevel=2)
    return tuple(found)


def _speed(device: str, fmt: str) -> float:
    width = WIDTH[fmt]
    size = 512 if device == "cpu" else 4096
    layer = Layer(name="probe", kind="linear", dims=Dims(B=size, K=size, C=size), bits=Bits(w=width, i=width))
    return measure([(layer, fmt)], device, rounds=5)[0].seconds
