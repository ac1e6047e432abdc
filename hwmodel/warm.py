"""All kernels compiled before the first call: `python -m hwmodel.warm`, as the last step of an install.

Without it nothing is lost but time: what is not kept on disk is compiled when it is first called.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from hwmodel.chip.loader import load_accelerator
from hwmodel.mapper import ahead
from hwmodel.mapper.deep.find import deep_call
from hwmodel.mapper.row_stationary import row_call
from hwmodel.mapper.uneven.find import uneven_call
from hwmodel.nest.task import Task
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Dims, Layer
from hwmodel.place.placer import Placer
from hwmodel.place.plan import Plan
from hwmodel.place.situation import Price

#: A layer with a single MAC: what kernels are compiled for is the same for all.
ANY = Layer(name="any", module="any", dims=Dims())


def warm() -> tuple[int, int]:
    """Compile what is kept nowhere, on all cores; kernels in all, and how many of them are kept now."""
    every = parts()
    wanted = [found for part in every if (found := ahead.lacking(*part))]
    with ThreadPoolExecutor(ahead.cores()) as pool:
        list(pool.map(ahead.compile_apart, wanted))
    calls = [call for part in every for call in part]
    return len(calls), len(calls) - len(ahead.lacking(*calls))


def parts() -> list[tuple[ahead.Call, ...]]:
    """The kernels of all chips, as processes may compile them side by side, the longest first."""
    free, rows = load_accelerator("edge_npu"), load_accelerator("eyeriss")
    graph = LayerGraph("any", [ANY], [])
    placer = Placer(Plan.of(graph, free), free, "energy", [[ANY]], lambda situation: Price(0.0, 0.0, 0.0))
    *whole, stored = placer.calls()  # the first two are one kernel for two types: not to be kept at the same time
    many = Task.of(ANY, load_accelerator("simba"))
    return [
        deep_call(many),
        uneven_call(many),
        (stored,),
        tuple(whole),
        *ahead.parts(free),
        (row_call(Task.of(ANY, rows), "energy", 1),),
    ]


def main() -> None:
    """Say what is done, and how it went: never an error, since every call works without it."""
    say = sys.stdout.write
    started = time.perf_counter()
    say("hwmodel: compiling the kernels of the mapper, once for this machine (a minute or two) ...\n")
    try:
        every, kept = warm()
    except Exception as error:
        say(f"hwmodel: not done, so the first calls will: {error}\n")
        return
    took = time.perf_counter() - started
    say(f"hwmodel: {kept} of {every} kernels are kept, after {took:.0f} s")
    say(".\n" if kept == every else "; the first calls compile the others.\n")


if __name__ == "__main__":
    main()
