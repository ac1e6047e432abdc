"""Kernels compiled side by side: the first call after an install takes the cores that there are.

numba compiles one function at a time in a process. Where a kernel is not kept on disk yet, another process compiles
it while this one goes on, and leaves it where numba looks for it. Whatever becomes of the other process, a kernel
that it did not leave is compiled here.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hwmodel.chip.accelerator import Accelerator
from hwmodel.mapper import bounds, search
from hwmodel.mapper.counting import NestInputs
from hwmodel.mapper.edges import pair_edges
from hwmodel.mapper.space.hierarchy import Hierarchy, is_deep
from hwmodel.mapper.space.tiles import TileSpace
from hwmodel.nest.task import Task
from hwmodel.network.layer import Dims, Layer

#: Kernels of the free mapper that one process compiles, in the order in which they are called; the longest first.
PARTS: tuple[tuple[Any, ...], ...] = (
    (search.search,),
    (bounds.price_tiles, bounds.bound_unrollings, bounds.join),
    (bounds.bound_tiles, pair_edges, bounds.pair_tiles),
)
#: Seconds after which a process is given up: it may have been stopped.
PATIENCE_S = 120.0


class Call(NamedTuple):
    """A kernel, and arguments of the types that it will be called with."""

    kernel: Callable[..., Any]
    arguments: tuple[Any, ...]


#: A kernel that is on its way: module and name, and the types of its arguments.
Wanted = tuple[str, str, tuple[Any, ...]]

_running: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
_asked: set[Wanted] = set()
_begun: set[bool] = set()


def begin(accelerator: Accelerator) -> None:
    """Start what compiles the kernels that map layers on an accelerator, once: their types are those of all."""
    if not _begun and accelerator.kind == "spatial" and accelerator.maps_freely and not is_deep(accelerator):
        _begun.add(True)
        for part in parts(accelerator):
            start(*part)


def parts(accelerator: Accelerator) -> list[tuple[Call, ...]]:
    """The kernels that map layers on an accelerator freely, as processes may compile them side by side."""
    nest = _any_nest(accelerator)
    return [tuple(Call(kernel, _arguments(kernel, nest)) for kernel in part) for part in PARTS]


def start(*calls: Call) -> None:
    """Start another process that compiles kernels one after the other: those that are kept nowhere.

    Once per kernel and types, and not where there is one core alone.
    """
    if not sys.executable or cores() < 2:
        return
    wanted = [item for item in lacking(*calls) if item not in _asked]
    _asked.update(wanted)
    if wanted:
        with contextlib.suppress(OSError):
            process = _process(wanted)
            _running.update((item[:2], process) for item in wanted)


def wait(kernel: Callable[..., Any]) -> None:
    """Before the first call of a kernel: where another process compiles it, until that is done."""
    process = _running.get((kernel.__module__, kernel.__name__))
    if process is not None:
        _end(process)
        for item in [item for item, other in _running.items() if other is process]:
            del _running[item]


def lacking(*calls: Call) -> list[Wanted]:
    """Those that are kept nowhere; none where nothing can be kept."""
    wanted = [(call.kernel, _types(call)) for call in calls if hasattr(call.kernel, "_cache")]
    return [(kernel.__module__, kernel.__name__, types) for kernel, types in wanted if not _is_kept(kernel, types)]


def compile_all(wanted: list[Wanted]) -> None:
    """Compile kernels, each for the types of its arguments."""
    for module, name, types in wanted:
        getattr(importlib.import_module(module), name).compile(types)


def compile_apart(wanted: list[Wanted]) -> None:
    """The same in a process of its own, to its end."""
    _end(_process(wanted))


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _types(call: Call) -> tuple[Any, ...]:
    kernel: Any = call.kernel
    return tuple(kernel.typeof_pyval(argument) for argument in call.arguments)


def _is_kept(kernel: Any, types: tuple[Any, ...]) -> bool:
    """It was compiled here for these types, or is kept for them on disk; also where nothing can be kept."""
    kept = getattr(kernel._cache, "_cache_file", None)
    return kept is None or types in kernel.overloads or any(key[0] == types for key in kept._load_index())


def _process(wanted: list[Wanted]) -> subprocess.Popen[bytes]:
    """A process that reads from its input what to compile."""
    code = (
        f"import pickle, sys; sys.path[:] = {sys.path!r}; from hwmodel.mapper.ahead import compile_all; "
        "compile_all(pickle.load(sys.stdin.buffer))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    with contextlib.suppress(OSError), process.stdin as stream:
        pickle.dump(wanted, stream)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process is done."""
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _any_nest(accelerator: Accelerator) -> NestInputs:
    """Of a layer with a single MAC: its types are those of all layers."""
    task, hierarchy = Task.of(Layer(name="any", dims=Dims()), accelerator), Hierarchy.of(accelerator)
    kept = hierarchy.choices(task)[0]
    return TileSpace(task, hierarchy, task.layer.dims).nest(kept, np.ones((1, 1, 8), np.int64))


def _arguments(kernel: Any, nest: NestInputs) -> tuple[Any, ...]:
    """Arguments of a kernel by their names, of the types that `hwmodel.mapper.free` gives."""
    metrics, vectors = len(nest.cost), np.empty((0, 8), np.int64)
    arguments: dict[str, Any] = {
        "nest": nest, "objective": 0, "num_metrics": 1, "registers": vectors, "unrollings": vectors,
        "bounds_s": np.empty((0, metrics)), "least_tile": np.empty(metrics), "limits": (0.0, 0.0),
        "pairs": np.empty((0, 2), np.int64), "lines": np.empty((0, metrics, bounds.NUM_COLUMNS)),
        "scores": np.empty(0), "shares": np.empty(0), "tile_values": np.empty((0, metrics)), "most_cycles": 0.0,
        "sizes": np.empty((0, 7), np.int64), "edges": np.empty((0, metrics)),
        "tiles": vectors, "held": np.empty((0, 5)), "keys": np.empty(0),
    }  # fmt: skip
    return tuple(arguments[name] for name in inspect.signature(kernel.py_func).parameters)
