"""Mixed precision: multiplications in 16 bits, weights and their updates in 32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from hwmodel.errors import ConfigError

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
#: Of the loss scale: it starts at 2^16 and halves at every overflow, so below 1 the fault is not the scale's.
_LOWEST_SCALE = 1.0


class Precision:
    """How a step multiplies and how its gradients come back.

    Args:
        mode: `off`, `bf16`, or `fp16`, whose loss is scaled so that small gradients survive.
        device: fp16 wants CUDA.

    Raises:
        ConfigError: fp16 elsewhere.

    Source: Micikevicius et al., Mixed Precision Training, ICLR 2018.
    """

    def __init__(self, mode: str, device: torch.device) -> None:
        if mode == "fp16" and device.type != "cuda":
            raise ConfigError(f"amp='fp16' needs CUDA, but the device is {str(device)!r}. Use amp='bf16'.")
        self._type = _TYPES.get(mode)
        self._device = device
        self.scaler = torch.amp.GradScaler(device.type) if mode == "fp16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of the forward pass."""
        if self._type is None:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self._type)

    def backward(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Gradients of the loss, at their true size."""
        if self.scaler is None:
            torch.autograd.backward([loss])
            return
        torch.autograd.backward([self.scaler.scale(loss)])
        self.scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Update the weights; False if gradients overflow at any loss scale.

        A single overflow skips the update and halves the scale.
        """
        if self.scaler is None:
            optimizer.step()
            return True
        self.scaler.step(optimizer)
        self.scaler.update()
        return self.scaler.get_scale() >= _LOWEST_SCALE

    @property
    def skips_overflows(self) -> bool:
        """Gradients that are not finite are expected now and then."""
        return self.scaler is not None

    def state(self) -> dict[str, Any]:
        """What `restore` needs."""
        return {} if self.scaler is None else self.scaler.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        if self.scaler is not None:
            self.scaler.load_state_dict(state)
