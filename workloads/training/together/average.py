"""`WeightAverage`, of every candidate of a stack."""

from __future__ import annotations

import torch
from torch import Tensor

from workloads.training.step.ema import AVERAGED_BUFFERS, averaged_share
from workloads.training.together.stack import Stack


class Averages:
    """The averages of a stack's weights and of its norms' statistics.

    Args:
        stack: what they start from.
        decay: as `WeightAverage` has it.
    """

    def __init__(self, stack: Stack, decay: float) -> None:
        self._stack, self._decay, self._steps = stack, decay, 0
        self._now = [stack.trained]
        self._now += [
            value
            for name, value in stack.held.items()
            if name.rpartition(".")[2] in AVERAGED_BUFFERS
        ]  # fmt: skip
        self._mean: list[Tensor] = [value.clone() for value in self._now]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the tensors after a step."""
        self._steps += 1
        torch._foreach_lerp_(self._mean, self._now, 1 - averaged_share(self._decay, self._steps))
        torch._foreach_mul_(self._mean, [value != 0 for value in self._now])

    @torch.no_grad()
    def copy_to(self) -> None:
        """The averages become the stack's tensors."""
        for value, mean in zip(self._now, self._mean, strict=True):
            value.copy_(mean)
