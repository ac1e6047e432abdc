"""What the recorder knows of a tensor: the node that computed it, or the parameter that it comes from."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hwmodel.network.graph import Tensor


@dataclass(frozen=True, kw_only=True)
class Value:
    """What an activation tensor holds: the tensor of the node that computed it, when, and the bits of its grid."""

    source: str
    tensor: Tensor
    time: int
    bits: int | None = None


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Where a weight comes from: the largest parameter (or buffer) that it was computed from; and its widths."""

    module: str
    name: str
    elements: int
    is_parameter: bool
    bits: int | None = None
    input_bits: int | None = None

    def part(self, weight: torch.Tensor) -> str:
        """The weight's name in its module; a slice of it also says where it starts."""
        whole = weight.numel() == self.elements
        return self.name if whole else f"{self.name}[{weight.storage_offset()}:]"
