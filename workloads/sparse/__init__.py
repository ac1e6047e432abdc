"""Sparse training: penalties, proximal steps, regularisers, schedules and pruners."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from workloads.sparse.penalties import Penalty, penalty
    from workloads.sparse.proximal import (
        block_soft_threshold,
        hard_threshold,
        project_sparse,
        soft_threshold,
        trimmed_soft_threshold,
    )
    from workloads.sparse.pruners import ChannelPruner, MagnitudePruner, MaskHook
    from workloads.sparse.regression import SparseSolution, regularization_path, sparse_regression
    from workloads.sparse.regularize import (
        AdmmHook,
        PenaltyHook,
        ProximalHook,
        grid_projection,
        penalty_of,
        sparse_projection,
        sweep_gamma,
    )
    from workloads.sparse.schedules import Cubic, OneShot, PruneSchedule, Stepwise

__all__ = [
    "AdmmHook",
    "ChannelPruner",
    "Cubic",
    "MagnitudePruner",
    "MaskHook",
    "OneShot",
    "Penalty",
    "PenaltyHook",
    "ProximalHook",
    "PruneSchedule",
    "SparseSolution",
    "Stepwise",
    "block_soft_threshold",
    "grid_projection",
    "hard_threshold",
    "penalty",
    "penalty_of",
    "project_sparse",
    "regularization_path",
    "soft_threshold",
    "sparse_projection",
    "sparse_regression",
    "sweep_gamma",
    "trimmed_soft_threshold",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "penalties": ("Penalty", "penalty"),
        "proximal": (
            "block_soft_threshold",
            "hard_threshold",
            "project_sparse",
            "soft_threshold",
            "trimmed_soft_threshold",
        ),
        "pruners": ("ChannelPruner", "MagnitudePruner", "MaskHook"),
        "regression": ("SparseSolution", "regularization_path", "sparse_regression"),
        "regularize": (
            "AdmmHook",
            "PenaltyHook",
            "ProximalHook",
            "grid_projection",
            "penalty_of",
            "sparse_projection",
            "sweep_gamma",
        ),
        "schedules": ("Cubic", "OneShot", "PruneSchedule", "Stepwise"),
    },
)
