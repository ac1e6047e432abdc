"""What weight quantizers share: a grid per tensor or channel, and a stochastic rounding that is drawn once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor

from workloads.compress.grid import Grid
from workloads.compress.quantizers.base import Quantizer, wide

NO_DRAW = -1


class WeightQuantizer(Quantizer):
    """A quantizer of weights.

    Stochastic rounding of a weight that is not trained is one draw: `draw_once` makes it, and eval mode, the
    grid and what is stored all have it. Training draws anew at every step; after it weights are rounded to the
    nearest.

    Args:
        bits, rounding: of `Quantizer`.
        axis: one range per index of this dim of the weight; None is one for the tensor.
    """

    draw: Tensor
    noise: Tensor | None

    def __init__(self, bits: int, *, axis: int | None = None, rounding: str = "nearest") -> None:
        super().__init__(bits, rounding)
        self.axis = axis
        self._shape: torch.Size | None = None
        self.register_buffer("noise", None, persistent=False)
        if rounding == "stochastic":
            self.register_buffer("draw", torch.tensor(NO_DRAW))

    def draw_once(self, weight: Tensor) -> None:
        """Draw for every weight which way it is rounded; a draw that was made stays.

        The seed comes from torch's own generator (`torch.manual_seed`) and is kept in the state dict.
        """
        if self.rounding != "stochastic":
            return
        if int(self.draw) == NO_DRAW:
            self.draw.fill_(int(torch.randint(2**31, ())))
        self._shape = weight.shape
        self._redraw()

    def _redraw(self) -> None:
        if int(self.draw) == NO_DRAW or self._shape is None:
            self.noise = None
            return
        generator = torch.Generator().manual_seed(int(self.draw))
        self.noise = torch.rand(self._shape, generator=generator).to(self.draw.device)

    def train(self, mode: bool = True) -> Self:
        if mode and self.rounding == "stochastic":
            self.draw.fill_(NO_DRAW)
            self.noise = None
        return super().train(mode)

    @property
    def mode(self) -> str | Tensor:
        """The rounding of the next call."""
        return self.noise if self.noise is not None and not self.training else self._own_mode()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        if self.rounding == "stochastic":
            state_dict.setdefault(f"{prefix}draw", torch.tensor(NO_DRAW))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if self.rounding == "stochastic":
            self._redraw()

    def initialise(self, weight: Tensor, mask: Tensor | None) -> None:
        """Start from the weights as they are now; nothing to do where the range follows the weight.

        Args:
            weight: any shape.
            mask: what survives, broadcastable to it; None is all.
        """

    def set_bits(self, bits: int, weight: Tensor, mask: Tensor | None) -> None:
        """Change the width and start anew from the weight.

        Raises:
            ConfigError: not 0..16 nor 32.
        """
        self._set_width(bits)
        self.initialise(weight, mask)

    def grid(self, weight: Tensor) -> Grid:
        """The values that `weight` may take and their codes; constants, no gradient.

        Raises:
            ConfigError: at 32 bits.
        """
        self._check_quantized()
        with torch.no_grad():
            return replace(self._grid(wide(weight.detach())), dtype=weight.dtype, noise=self.noise)

    def _grid(self, weight: Tensor) -> Grid:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.axis is None else f", axis={self.axis}")
