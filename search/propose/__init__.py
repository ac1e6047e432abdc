"""Which candidates to try next."""

from __future__ import annotations

#: Who proposes, by name: `front` (`search.propose.sampler`), and Optuna's.
SAMPLERS = ("front", "tpe", "nsga2", "random", "gp")
