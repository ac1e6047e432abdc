"""The objectives of a search: accuracy and the costs of `search.front.costs` that may be searched for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from hwmodel.chip.units import parse_quantity
from hwmodel.cost import layer_cost
from hwmodel.errors import ConfigError, did_you_mean
from hwmodel.network.layer import Dims, Layer
from search.front.costs import COSTS, at_chip, cost_named
from search.front.results import Result

if TYPE_CHECKING:
    from hwmodel.chip.accelerator import Accelerator

Direction = Literal["maximize", "minimize"]
#: Number of a result -> the accuracy that counts, where it is not the measured one.
Accuracies = Mapping[int, float]
AS_MEASURED: Accuracies = {}
#: What a unit of `Cost.unit` is called where quantities are parsed.
_QUANTITIES = {"pJ": "energy", "s": "time", "bit": "size", "mm^2": "area"}


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One axis of the search.

    Attributes:
        name: as users write it.
        direction: `maximize` or `minimize`.
        key: of `Result.costs`; "" for accuracy, which is measured.
        unit: of the value.
        label: for tables and axes.
        needs_accelerator: the cost depends on an accelerator.
    """

    name: str
    direction: Direction
    key: str
    unit: str
    label: str
    needs_accelerator: bool

    def value(self, result: Result, accuracies: Accuracies = AS_MEASURED) -> float:
        """The value of this objective in a result that is done.

        Args:
            result: itself.
            accuracies: by number of a result, what counts in place of measured ones.

        Raises:
            ConfigError: the result holds no such cost.
        """
        if not self.key:
            return accuracies.get(result.number, result.accuracy)
        if self.key not in result.costs:
            raise ConfigError(
                f"candidate {result.number}: has no {self.key!r}, only {', '.join(sorted(result.costs))}."
            )
        return result.costs[self.key]

    def written(self, value: float) -> str:
        """A value as messages show it, in the unit of the tables: `2 ms`, `4.10172 mJ`; accuracy as a share."""
        cost = cost_named(self.key)
        return f"{value:.6g}" if cost is None else cost.in_full(value)

    def parsed(self, text: str) -> float:
        """A value as people write it: a number in `unit`, or with a unit of its own (`2 ms`, `64 KiB`, `95 %`).

        Raises:
            ValueError: it is none.
        """
        is_percent = not self.key and text.endswith("%")
        try:
            return float(text.removesuffix("%")) / 100 if is_percent else float(text)
        except ValueError:
            kind = _QUANTITIES.get(self.unit)
        if kind is None:
            raise ValueError(f"must be a number{'' if self.key else ' or a percentage'}, but got {text!r}.")
        return parse_quantity(kind, text.replace("mm2", "mm^2"))


ACCURACY = Objective(
    name="accuracy", direction="maximize", key="", unit="", label="Accuracy", needs_accelerator=False
)
OBJECTIVES: dict[str, Objective] = {
    ACCURACY.name: ACCURACY,
    **{
        cost.name: Objective(
            name=cost.name, direction="minimize", key=cost.key, unit=cost.unit, label=cost.label,
            needs_accelerator=cost.needs_accelerator,
        )
        for cost in COSTS
        if cost.role == "objective"
    },
}  # fmt: skip


def objective_named(name: str) -> Objective:
    """The objective of that name (`energy`) or cost key (`energy_pj`), on a further accelerator (`energy@tpu_v1`).

    Raises:
        ConfigError: there is none; the nearest name is offered.
    """
    plain, _, chip = name.partition("@")
    for objective in OBJECTIVES.values():
        if plain in (objective.name, objective.key) and plain and (not chip or objective.needs_accelerator):
            return objective if not chip else _on(objective, chip)
    raise ConfigError(
        f"objectives: must be among {', '.join(OBJECTIVES)}, but got {name!r}.{did_you_mean(name, OBJECTIVES)}"
    )


def _on(objective: Objective, chip: str) -> Objective:
    return replace(
        objective, name=at_chip(objective.name, chip), key=at_chip(objective.key, chip),
        label=f"{objective.label} ({chip})",
    )  # fmt: skip


def resolve_objectives(names: Sequence[str]) -> tuple[Objective, ...]:
    """The objectives of a study, in the order given.

    Raises:
        ConfigError: a name is unknown or given twice, accuracy is missing, or it stands alone.
    """
    if isinstance(names, str):
        names = (names,)
    objectives = tuple(objective_named(name) for name in names)
    found = [objective.name for objective in objectives]
    if len(set(found)) != len(found):
        raise ConfigError(f"objectives: each may be given once, but got {', '.join(names)}.")
    if "accuracy" not in found or len(found) < 2:
        raise ConfigError(
            f"objectives: must hold accuracy and at least one cost, but got {', '.join(names) or 'none'}. "
            f"Costs are {cost_names()}."
        )
    return objectives


def default_objectives(accelerators: Sequence[Accelerator]) -> tuple[str, ...]:
    """What a search that names none optimises beside accuracy.

    Energy on each accelerator, latency where the energies of that are not known (`has_energies`), and average bits
    without one.
    """
    if not accelerators:
        return (ACCURACY.name, "avg_w_bits")
    costs = ["energy" if has_energies(chip) else "latency" for chip in accelerators]
    further = zip(costs[1:], accelerators[1:], strict=True)
    return (ACCURACY.name, costs[0], *(at_chip(cost, chip.name) for cost, chip in further))


def has_energies(accelerator: Accelerator) -> bool:
    """A product costs energy; by a chip file of `hw calibrate`, which measures latency, it does not."""
    if any(memory.read_pj_per_bit > 0 for memory in accelerator.memories().values()):
        return True
    product = Layer(name="product", module="product", kind="linear", dims=Dims(K=16, C=16))
    return layer_cost(product, accelerator).energy_pj > 0


def cost_names() -> str:
    """`avg_w_bits, energy, latency, memory`."""
    return ", ".join(name for name in OBJECTIVES if name != ACCURACY.name)


def first_cost(objectives: Sequence[Objective]) -> Objective:
    """The cost that orders a front: the first of the objectives that is not accuracy."""
    return next(objective for objective in objectives if objective.key)


def signs(objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """+1 where less is better, -1 where more is better. Shape (num_objectives,)."""
    return np.array([1.0 if objective.direction == "minimize" else -1.0 for objective in objectives])


def values_of(
    results: Sequence[Result], objectives: Sequence[Objective], accuracies: Accuracies = AS_MEASURED
) -> NDArray[np.float64]:
    """Raw values of the objectives. Shape (num_results, num_objectives)."""
    values = [[objective.value(result, accuracies) for objective in objectives] for result in results]
    return np.array(values, dtype=np.float64).reshape(len(results), len(objectives))


def losses_of(
    results: Sequence[Result], objectives: Sequence[Objective], accuracies: Accuracies = AS_MEASURED
) -> NDArray[np.float64]:
    """As `values_of`, with signs flipped where needed so that less is better everywhere."""
    return values_of(results, objectives, accuracies) * signs(objectives)
