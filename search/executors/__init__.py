"""Who scores the candidates: this process, several processes of this machine, or the nodes of a Ray cluster.

All give the same answers in the same order; they differ in how many hands they have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from search.executors.base import Executor, Job
    from search.executors.engine import ENGINES, Engine
    from search.executors.factory import ScorerFactory, factory_of
    from search.executors.inprocess import InProcess
    from search.executors.placing import Place, devices_of, places
    from search.executors.processes import Processes
    from search.executors.ray import RayExecutor

__all__ = [
    "ENGINES",
    "Engine",
    "Executor",
    "InProcess",
    "Job",
    "Place",
    "Processes",
    "RayExecutor",
    "ScorerFactory",
    "devices_of",
    "factory_of",
    "places",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "base": ("Executor", "Job"),
        "engine": ("ENGINES", "Engine"),
        "factory": ("ScorerFactory", "factory_of"),
        "inprocess": ("InProcess",),
        "placing": ("Place", "devices_of", "places"),
        "processes": ("Processes",),
        "ray": ("RayExecutor",),
    },
)
