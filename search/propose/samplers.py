"""Names of the samplers: `front` (`search.propose.sampler`), and those of Optuna."""

from __future__ import annotations

SAMPLERS = ("front", "tpe", "nsga2", "random", "gp")
