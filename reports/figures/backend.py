"""What `hwmodel.plots` draws with: a function for each figure that a cost or a study offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.errors import ConfigError
from reports.figures.bars import plot_breakdown, plot_layers
from reports.figures.occupancy import plot_memory
from reports.figures.pareto import plot_costs, plot_pareto
from reports.figures.progress import plot_history, plot_sensitivity
from reports.figures.roofline import plot_roofline
from reports.figures.traffic import plot_traffic
from reports.run.folder import read_run
from reports.run.volume import Box
from search.front.objective import first_cost, objective_named
from search.front.results import final_stage
from search.propose.posterior import read_sensitivity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hwmodel import NetworkCost
    from hwmodel.chip.accelerator import Accelerator
    from search import Study

__all__ = [
    "cost_breakdown", "cost_layers", "cost_memory", "cost_roofline", "cost_traffic", "study_front", "study_history",
    "study_layers", "study_sensitivity",
]  # fmt: skip


def cost_layers(cost: NetworkCost, *, ax: Axes | None) -> Axes:
    return plot_layers(cost.to_dataframe(), ax=ax)


def cost_breakdown(cost: NetworkCost, *, ax: Axes | None) -> Axes:
    return plot_breakdown(cost, ax=ax)


def cost_traffic(cost: NetworkCost, *, ax: Axes | None) -> Axes:
    return plot_traffic(cost, ax=ax)


def cost_memory(cost: NetworkCost, accelerator: Accelerator, *, ax: Axes | None) -> Axes:
    if accelerator.keeper is None:
        raise ConfigError(f"plot_memory: {accelerator.name} has no memory in which tensors stay (`resident:`).")
    return plot_memory(cost, accelerator, ax=ax)


def cost_roofline(cost: NetworkCost, accelerator: Accelerator, *, ax: Axes | None) -> Axes:
    return plot_roofline(cost, accelerator, ax=ax)


def study_front(study: Study, x: str | None, y: str, *, ax: Axes | None) -> Axes:
    across = first_cost(study.objectives) if x is None else objective_named(x)
    up = objective_named(y)
    if not across.key:
        raise ConfigError("plot_front: x must be a cost; accuracy is y")
    if not up.key:
        return plot_pareto(study, ax=ax, x=across.key)
    return plot_costs(study, ax=ax, x=across.key, y=up.key)


def study_history(study: Study, *, ax: Axes | None) -> Axes:
    results = study.results()
    chosen = [result for result in results if result.stage == final_stage(results)]
    box = Box.of(chosen, study.objectives)
    if box is None:
        raise ConfigError(f"plot_history: {study.folder} holds no result yet. Run the study first.")
    return plot_history({study.name: box.history(chosen)}, ax=ax)


def study_sensitivity(study: Study, *, ax: Axes | None) -> Axes:
    sensitivity = read_sensitivity(study.folder, study.space)
    if sensitivity is None:
        raise ConfigError(f"plot_sensitivity: {study.folder} holds no sensitivities. Run the study first.")
    return plot_sensitivity(sensitivity.to_dataframe(study.space), ax=ax)


def study_layers(study: Study, *, ax: Axes | None) -> Axes:
    layers = read_run(study).layers
    if layers is None:
        raise ConfigError(f"plot_layers: {study.folder} holds no result yet. Run the study first.")
    return plot_layers(layers, ax=ax)
