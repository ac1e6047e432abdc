"""The optimizers of `workloads.training.run`, for many candidates at once: every candidate has its own rate.

The arithmetic is that of `torch.optim`; candidates are rows, and each number of theirs stands in a column (K, 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from workloads.training.settings import TrainSettings

#: Of `torch.optim.AdamW`.
BETAS, EPS = (0.9, 0.999), 1e-8
#: Of `torch.nn.utils.clip_grad_norm_`.
CLIP_EPS = 1e-6


class Update:
    """One optimizer over (K, P) parameters, side by side.

    Args:
        values: (K, P), changed in place.
        num_decayed: the first so many of P have weight decay.
        settings: of each candidate; optimizer and momentum are those of the first.
    """

    def __init__(self, values: Tensor, num_decayed: int, settings: Sequence[TrainSettings]) -> None:
        self.values, self.num_decayed = values, num_decayed
        self.is_adam, self.momentum = settings[0].optimizer == "adam", settings[0].momentum
        self.decay = self._column([s.weight_decay for s in settings])
        self.clip = self._column([s.clip_norm for s in settings])
        self.clips = any(s.clip_norm for s in settings)
        self.buffer: Tensor | None = None
        self.square = torch.zeros_like(values) if self.is_adam else None
        self.steps = 0

    def _column(self, numbers: Sequence[float]) -> Tensor:
        return torch.tensor(numbers, dtype=self.values.dtype, device=self.values.device)[:, None]

    @torch.no_grad()
    def step(self, gradient: Tensor, rates: Sequence[float]) -> Tensor:
        """Take a step.

        Args:
            gradient: (K, P); changed.
            rates: learning rate of every candidate.

        Returns:
            (K,) the length of each gradient before it is cut to `clip_norm`.
        """
        length: Tensor = torch.linalg.vector_norm(gradient, dim=1)
        if self.clips:
            share = (self.clip / (length[:, None] + CLIP_EPS)).clamp_max(1.0)
            gradient.mul_(torch.where(self.clip > 0, share, 1.0))
        if self.is_adam:
            self._adam(gradient, rates)
        else:
            self._sgd(gradient, self._column(rates))
        return length

    def _sgd(self, gradient: Tensor, rate: Tensor) -> None:
        decayed = slice(None), slice(self.num_decayed)
        gradient[decayed].addcmul_(self.values[decayed], self.decay)
        if self.momentum:
            if self.buffer is None:
                self.buffer = gradient.clone()
            else:
                self.buffer.mul_(self.momentum).add_(gradient)
            gradient.add_(self.buffer, alpha=self.momentum)
        self.values.addcmul_(gradient, rate, value=-1)

    def _adam(self, gradient: Tensor, rates: Sequence[float]) -> None:
        assert self.square is not None
        self.steps += 1
        if self.buffer is None:
            self.buffer = torch.zeros_like(gradient)
        rate, (first, second) = self._column(rates), BETAS
        self.values[:, : self.num_decayed].mul_(1 - rate * self.decay)
        self.buffer.lerp_(gradient, 1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        root = self.square.sqrt().div_(math.sqrt(1 - second**self.steps)).add_(EPS)
        self.values.addcmul_(
            self.buffer / root, self._column([r / (1 - first**self.steps) for r in rates]), value=-1
        )
