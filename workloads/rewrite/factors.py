"""Singular values: the best product of two thin matrices, and how thin they may be."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hwmodel.errors import ConfigError


@dataclass(frozen=True, kw_only=True, eq=False)
class Factors:
    """A = U diag(S) V', batched or not, in float64 on the CPU.

    Attributes:
        u: (..., M, R), R = min(M, N).
        s: (..., R), falling.
        vt: (..., R, N).
    """

    u: Tensor
    s: Tensor
    vt: Tensor

    def halves(self, rank: int) -> tuple[Tensor, Tensor]:
        """(left (..., M, rank), right (..., rank, N)), the singular values shared between them as square roots.

        Their product has the smallest squared error of all matrices of this rank (Eckart and Young, 1936):
        the sum of the squares of the singular values left out.
        """
        root = self.s[..., :rank].sqrt()
        return self.u[..., :rank] * root[..., None, :], root[..., :, None] * self.vt[..., :rank, :]


def factorize(matrix: Tensor) -> Factors:
    """Singular value decomposition of (..., M, N).

    Raises:
        ConfigError: values that are not finite.
    """
    fixed = matrix.detach().cpu().double()
    if not torch.isfinite(fixed).all():
        raise ConfigError("its weight must be finite to be factorized, but holds NaN or infinity")
    u, s, vt = torch.linalg.svd(fixed, full_matrices=False)
    return Factors(u=u, s=s, vt=vt)


def relative_error(weight: Tensor, approximation: Tensor) -> float:
    """||W - W'|| / ||W|| (Frobenius); 0 where both are zero."""
    exact, other = weight.detach().cpu().double(), approximation.detach().cpu().double()
    norm = float(exact.norm())
    return float((exact - other).norm()) / norm if norm else float(other.norm() > 0)


def rank_for_energy(s: Tensor, energy: float) -> int:
    """The smallest rank that keeps this share of the sum of squared singular values; at least 1.

    Args:
        s: (R,), falling.
        energy: in (0, 1].
    """
    kept = s.square().cumsum(0)
    return min(int((kept < energy * kept[-1] * (1 - 1e-12)).sum()) + 1, len(s))


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A weight that may be factorized.

    Attributes:
        s: its singular values (R,).
        per_rank: parameters that each rank costs.
        dense: parameters of the weight as it is.
    """

    s: Tensor
    per_rank: int
    dense: int


def ranks_for_budget(layers: Mapping[str, Candidate], budget: int) -> dict[str, int | None]:
    """Ranks that together keep the most energy within a number of weights.

    Greedy on (share of the layer's energy won) / (weights spent), one rank at a time from rank 1; the last
    step of a layer, from the highest rank that is still smaller, makes it dense again. Singular values
    fall, so greedy is optimal up to the last step of each layer.

    Args:
        layers: by name.
        budget: weights of all these layers together, factorized or dense.

    Returns:
        name -> rank; None stays dense.

    Raises:
        ConfigError: rank 1 everywhere exceeds the budget.
    """
    steps = {name: _steps(candidate) for name, candidate in layers.items()}
    spent = sum(own[0][1] for own in steps.values())
    if spent > budget:
        raise ConfigError(f"`parameters >= {spent}` must hold (rank 1 everywhere), but got parameters={budget}")
    taken = dict.fromkeys(layers, 1)
    queue = [_entry(name, own, 1) for name, own in steps.items() if len(own) > 1]
    heapq.heapify(queue)
    while queue:
        _, name = heapq.heappop(queue)
        own, position = steps[name], taken[name]
        if spent + own[position][1] > budget:
            continue  # the next steps of this layer cost as much or follow this one
        spent += own[position][1]
        taken[name] = position + 1
        if position + 1 < len(own):
            heapq.heappush(queue, _entry(name, own, position + 1))
    return {name: None if taken[name] == len(own) else taken[name] for name, own in steps.items()}


def _entry(name: str, steps: Sequence[tuple[float, int]], position: int) -> tuple[float, str]:
    gain, cost = steps[position]
    return -gain / cost, name


def _steps(layer: Candidate) -> list[tuple[float, int]]:
    """(energy won, weights spent) of rank 1, 2, ... while that is smaller, and last of being dense."""
    energy = layer.s.square() / max(float(layer.s.square().sum()), 1e-300)
    highest = min((layer.dense - 1) // layer.per_rank, len(layer.s))
    steps = [(float(share), layer.per_rank) for share in energy[:highest]]
    rest = max(layer.dense - highest * layer.per_rank, 1)
    return [*steps, (float(energy[highest:].sum()), rest)]
