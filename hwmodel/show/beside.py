"""A network on several accelerators, layer by layer: what each takes, its ratio to the first, who takes least."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hwmodel.errors import ConfigError, check_one_of

if TYPE_CHECKING:
    import pandas as pd

    from hwmodel.mapper.free import Objective
    from hwmodel.price.results import NetworkCost

#: What accelerators are compared by -> its column in a frame, units in the name.
COLUMN_OF: dict[str, str] = {"energy": "energy_pj", "latency": "latency_s", "edp": "edp_pj_s"}


def compare_costs(costs: Mapping[str, NetworkCost], by: Objective = "energy") -> pd.DataFrame:
    """The costs of one network on several accelerators as a long frame: a row per accelerator and layer.

    Args:
        costs: of `evaluate`, by the name under which each is shown; the others are compared with the first.
        by: what decides: `energy`, `latency` (each at its own clock) or `edp`, their product.

    Returns:
        `accelerator`, the columns of `NetworkCost.to_dataframe`, then `edp_pj_s`, `ratio_to_first` (of `by`; nan
        where the first takes nothing), `is_best` (it takes least of all; of a tie all do) and `notes`: what is to
        know about the price of the layer, such as a width that is rounded.

    Raises:
        ConfigError: no cost, another `by`, or costs of different layers.

    Example:
        >>> compare_costs({name: evaluate(graph, load_accelerator(name)) for name in ("eyeriss", "edge_npu")})
    """
    import pandas as pd

    check_one_of("by", by, list(COLUMN_OF))
    check_same_layers(costs)
    frames = []
    for name, cost in costs.items():
        frame = cost.to_dataframe()
        frame.insert(0, "accelerator", name)
        frame["edp_pj_s"] = frame["energy_pj"] * frame["latency_s"]
        frame["notes"] = [" ".join(item.notes) for item in cost.layers]
        frames.append(frame)
    column = COLUMN_OF[by]
    least = pd.concat([frame[column] for frame in frames], axis=1).min(axis=1)
    for frame in frames:
        frame["ratio_to_first"] = [ratio(*pair) for pair in zip(frame[column], frames[0][column], strict=True)]
        frame["is_best"] = frame[column] == least
    return pd.concat(frames, ignore_index=True)


def check_same_layers(costs: Mapping[str, NetworkCost]) -> None:
    """Costs that are compared are of the same layers, whatever their widths.

    Raises:
        ConfigError: they are not, or there is none.
    """
    if not costs:
        raise ConfigError("compare_costs needs at least one cost, but got none")
    (first, one), *others = costs.items()
    layers = [(item.name, item.macs) for item in one.layers]
    for name, cost in others:
        if [(item.name, item.macs) for item in cost.layers] != layers:
            raise ConfigError(
                f"compare_costs needs costs of one network, but those of {name!r} are of other layers than "
                f"those of {first!r}"
            )


def amount(energy_pj: float, seconds: float, by: str) -> float:
    """What is compared [pJ, s, or pJ s]."""
    return {"energy": energy_pj, "latency": seconds, "edp": energy_pj * seconds}[by]


def ratio(value: float, first: float) -> float:
    """How many times the first a value is; nan where the first is nothing."""
    return value / first if first else math.nan


def least_of(values: Sequence[float]) -> int | None:
    """Index of the least value; None where several are."""
    least = min(values)
    return values.index(least) if list(values).count(least) == 1 else None
