"""Exponential moving average of the weights: often better than the last step's, and less noisy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError

#: Buffers that follow the weights and are averaged with them; every other buffer is the model's own.
AVERAGED_BUFFERS = ("running_mean", "running_var")


class WeightAverage:
    """average = d * average + (1 - d) * weights, with d = min(decay, (1 + n) / (10 + n)) at step n = 1, 2, ...

    The rising d lets the average leave the start quickly. Parameters and the running statistics of norms are
    averaged. An element that is exactly zero in the model is zero in the average, so that pruned weights stay
    pruned.

    Args:
        model: what the average starts from.
        decay: 0 < decay < 1.

    Raises:
        ConfigError: a decay outside.

    Source: Polyak and Juditsky, 1992; the rising decay is that of TensorFlow's ExponentialMovingAverage
    with `num_updates`.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ConfigError(f"`0 < decay < 1` must hold, but got decay={decay!r}")
        self.decay = decay
        self.steps = 0
        self.tensors = {name: tensor.detach().clone() for name, tensor in _averaged(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        keep = averaged_share(self.decay, self.steps)
        now = [tensor.detach() for tensor in _averaged(model).values()]
        mean = list(self.tensors.values())
        torch._foreach_lerp_(mean, now, 1 - keep)
        torch._foreach_mul_(mean, [tensor != 0 for tensor in now])

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Within it the model has the averaged weights."""
        own = {name: tensor.detach().clone() for name, tensor in _averaged(model).items()}
        _put(model, self.tensors)
        try:
            yield
        finally:
            _put(model, own)

    def copy_to(self, model: nn.Module) -> None:
        """The averaged weights become the model's."""
        _put(model, self.tensors)

    def state(self) -> dict[str, Any]:
        """What `restore` needs."""
        return {"steps": self.steps, "tensors": dict(self.tensors)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`; the average stays on its device."""
        self.steps = state["steps"]
        for name, tensor in state["tensors"].items():
            self.tensors[name].copy_(tensor)


def averaged_share(decay: float, steps: int) -> float:
    """How much of the average stays at step 1, 2, ..."""
    return min(decay, (1 + steps) / (10 + steps))


def _averaged(model: nn.Module) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {name: p for name, p in model.named_parameters() if p.is_floating_point()}
    found |= {name: b for name, b in model.named_buffers() if name.rpartition(".")[2] in AVERAGED_BUFFERS}
    return found


@torch.no_grad()
def _put(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    for name, tensor in _averaged(model).items():
        tensor.copy_(tensors[name])
