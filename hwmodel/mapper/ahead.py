"""Kernels compiled side by side: the first mapping after an install takes the cores that there are.

numba compiles one function at a time in a process. Where a kernel is not kept on disk yet, another process compiles
one of the `LONGEST` while this one compiles what comes before it, and leaves it where numba looks for it. Whatever
becomes of the other process, a kernel that it did not leave is compiled here.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from hwmodel.mapper import bounds, search
from hwmodel.mapper.counting import NestInputs

#: Kernels worth a process, the longest first. No path to the mapper needs them first.
LONGEST: dict[str, Callable[..., Any]] = {"search": search.search, "join": bounds.join}
#: Seconds after which a process is given up: it may have been stopped.
PATIENCE_S = 120.0

_running: dict[str, subprocess.Popen[bytes]] = {}
_asked: set[bool] = set()


def begin(nest: NestInputs) -> None:
    """Start the other processes, once: one for each kernel that is kept nowhere, where there are cores for them.

    nest: of any layer; its types are those of all.
    """
    if _asked:
        return
    _asked.add(True)
    if not sys.executable or _cores() < 2:
        return
    for name, kernel in LONGEST.items():
        if not _is_kept(kernel):
            with contextlib.suppress(OSError):
                _running[name] = _start(name, nest)


def wait(name: str) -> None:
    """Before the first call of a kernel: where another process compiles it, until it is done."""
    process = _running.pop(name, None)
    if process is None:
        return
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def compile_one(name: str, nest: NestInputs) -> None:
    """Compile a kernel for the types that the mapper calls it with, by a call that finds nothing to do."""
    metrics, vectors = len(nest.cost), np.empty((0, 8), np.int64)
    arguments: dict[str, Any] = {
        "nest": nest, "objective": 0, "num_metrics": 1, "registers": vectors, "unrollings": vectors,
        "bounds_s": np.empty((0, metrics)), "least_tile": np.empty(metrics), "limits": (0.0, 0.0),
        "pairs": np.empty((0, 2), np.int64), "lines": np.empty((0, metrics, bounds.NUM_COLUMNS)),
        "scores": np.empty(0), "shares": np.empty(0),
        "sizes": np.empty((0, 7), np.int64), "edges": np.empty((0, metrics)),
        "tiles": vectors, "held": np.empty((0, 5)), "keys": np.empty(0),
    }  # fmt: skip
    kernel: Any = LONGEST[name]
    kernel(*(arguments[parameter] for parameter in inspect.signature(kernel.py_func).parameters))


def _start(name: str, nest: NestInputs) -> subprocess.Popen[bytes]:
    """A process that reads the layer from its input."""
    code = (
        f"import pickle, sys; sys.path[:] = {sys.path!r}; from hwmodel.mapper.ahead import compile_one; "
        f"compile_one({name!r}, pickle.load(sys.stdin.buffer))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    with contextlib.suppress(OSError), process.stdin as stream:
        pickle.dump(nest, stream)
    return process


def _is_kept(kernel: Any) -> bool:
    """It was compiled here, or something is kept for it on disk; also where nothing can be kept."""
    kept = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    return kept is None or bool(kernel.signatures) or bool(kept._load_index())


def _cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
