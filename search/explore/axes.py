"""What designs are compared in: the energy and latency of every network or their geometric mean, and the area.

Several networks make one front of their geometric means, or one front for each of them; a design that is on none of
the fronts is of no use. Everything is a loss: less is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwmodel.errors import ConfigError, did_you_mean
from search.front.costs import COSTS, Cost
from search.front.limits import Limits, parse_limits

Floats = NDArray[np.float64]
#: By the name that users write.
AXES = ("energy", "latency", "area")

NO_LIMITS = Limits()


@dataclass(frozen=True, kw_only=True)
class View:
    """One front: whose, and the columns of the losses that it is of.

    Attributes:
        model: of which network; "" of the geometric means of all.
        columns: of `Axes.losses`.
    """

    model: str
    columns: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The axes of an exploration.

    Attributes:
        names: some of `AXES`.
        models: names of the networks.
        per_model: a front for each network, not one of geometric means.
        limits: hard ones; those of energy and latency hold for every network.
    """

    names: tuple[str, ...]
    models: tuple[str, ...]
    per_model: bool = False
    limits: Limits = NO_LIMITS

    @cached_property
    def views(self) -> tuple[View, ...]:
        """The fronts."""
        wanted = [AXES.index(name) for name in self.names]
        if not self.per_model or len(self.models) == 1:
            return (View(model="" if len(self.models) > 1 else self.models[0], columns=tuple(wanted)),)
        area = 2 * len(self.models)
        return tuple(
            View(model=model, columns=tuple((2 * n, 2 * n + 1, area)[axis] for axis in wanted))
            for n, model in enumerate(self.models)
        )

    def losses(self, energy_pj: Floats, latency_s: Floats, area_mm2: Floats) -> Floats:
        """All losses of designs.

        Args:
            energy_pj, latency_s: (n, num_models) [pJ], [s].
            area_mm2: (n) [mm^2]; NaN where it is not known.

        Returns:
            With one front (n, 3): means of energy and latency, area; else (n, 2 * num_models + 1).
        """
        area = np.where(np.isnan(area_mm2), 0.0, area_mm2)[:, None]
        if len(self.views) > 1:
            pairs = np.stack((energy_pj, latency_s), axis=2).reshape(len(area), 2 * len(self.models))
            return np.concatenate((pairs, area), axis=1)
        return np.concatenate((mean(energy_pj)[:, None], mean(latency_s)[:, None], area), axis=1)

    def within(self, energy_pj: Floats, latency_s: Floats, area_mm2: Floats) -> NDArray[np.bool_]:
        """Which designs are within all limits. Arguments as of `losses`; (n)."""
        values = {"energy_pj": energy_pj, "latency_s": latency_s, "area_mm2": area_mm2[:, None]}
        inside = np.ones(len(area_mm2), dtype=np.bool_)
        for limit in self.limits.costs:
            inside &= limit.holds(values[limit.objective.key]).all(axis=1)
        return inside


def cost_of(name: str) -> Cost:
    """The cost that an axis of `AXES` is."""
    return next(cost for cost in COSTS if cost.name == name)


def mean(values: Floats) -> Floats:
    """Geometric mean over the networks, exact for one. (n, num_models) -> (n)

    Roots are taken before the product, which so stays among the values. Both rise with their arguments in floating
    point too, so a mean of lower bounds is one.
    """
    count = values.shape[1]
    found: Floats = values[:, 0] if count == 1 else (values ** (1.0 / count)).prod(axis=1)
    return found


def parse_axes(names: Sequence[str] | str) -> tuple[str, ...]:
    """`energy,latency` as names of axes.

    Raises:
        ConfigError: a name is unknown or given twice, or there is none.
    """
    found = tuple(part.strip() for part in names.split(",")) if isinstance(names, str) else tuple(names)
    for name in found:
        if name not in AXES:
            raise ConfigError(
                f"objectives: must be among {', '.join(AXES)}, but got {name!r}.{did_you_mean(name, AXES)}"
            )
    if len(set(found)) < len(found) or not found:
        raise ConfigError(
            f"objectives: each may be given once, and one at least, but got {', '.join(found) or 'none'}."
        )
    return found


def parse_budget(budget: str | Sequence[str] | None) -> Limits:
    """`area<=4 mm2, latency<=5 ms` as limits.

    Raises:
        ConfigError: a bound is none, or of what no design has.
    """
    parts = [budget] if isinstance(budget, str) else list(budget or ())
    bounds: dict[str, str] = {}
    for part in (piece.strip() for text in parts for piece in text.split(",")):
        at = min((part.find(sign) for sign in "<>=" if sign in part), default=-1)
        name = part[:at].strip() if at > 0 else part
        if at <= 0:
            raise ConfigError(f"budget: must be NAME<=VALUE, as area<=4 mm2, but got {part!r}.")
        if name not in AXES:
            raise ConfigError(
                f"budget: must bound one of {', '.join(AXES)}, but got {name!r}.{did_you_mean(name, AXES)}"
            )
        if name in bounds:
            raise ConfigError(
                f"budget: {name} may be bounded once, but got {bounds[name]} and {part[at:].strip()}."
            )
        bounds[name] = part[at:].strip()
    try:
        found = parse_limits(bounds)
    except ConfigError as error:
        raise ConfigError(str(error).replace("limits: ", "budget: ", 1)) from None
    for limit in found.costs:
        if limit.most <= 0:
            raise ConfigError(
                f"budget: {limit.objective.name} must be bounded above 0, but got {bounds[limit.objective.name]}."
            )
    return found
