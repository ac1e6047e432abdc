"""What the recorder knows of a tensor: the node that computed it, or the parameter that it comes from."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hwmodel.network.graph import Tensor


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an activation comes from: the node that computed it, its tensor there, when, the bits of its grid."""

    source: str
    tensor: Tensor
    time: int
    bits: int | None = None


@dataclass(frozen=True, kw_only=True)
class WeightOrigin:
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
