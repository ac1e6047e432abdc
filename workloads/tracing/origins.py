"""What the recorder knows of a tensor: the node that computed it, or the parameter that it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from hwmodel.network.graph import Tensor

#: Ops that pick elements of their first tensor by an index: what is stored is that table.
_GATHERS = frozenset(
    f"aten::{name}"
    for name in ["index", "_unsafe_index", "index_select", "gather", "take", "take_along_dim", "embedding"]
)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an activation comes from: the node that computed it, its tensor there, when, the bits of its grid."""

    source: str
    tensor: Tensor
    time: int
    bits: int | None = None


@dataclass(frozen=True, kw_only=True)
class WeightOrigin:
    """Where a weight comes from: the largest parameter (or buffer) that it was computed from; and its widths.

    Attributes:
        module, name: of the parameter.
        elements: of the parameter; of its slice where that was copied.
        stored: the most weights that all the parameters hold that it was computed from.
        is_gathered: it was picked out of the parameter by an index.
        is_parameter: not a buffer.
        bits, input_bits: widths that the parameter carries [bit].
    """

    module: str
    name: str
    elements: int
    stored: int
    is_parameter: bool
    is_gathered: bool = False
    bits: int | None = None
    input_bits: int | None = None

    def part(self, weight: torch.Tensor) -> str:
        """The weight's name in its module; a slice of it also says where it starts."""
        whole = self.is_gathered or weight.numel() == self.elements or weight.numel() > self.stored
        return self.name if whole else f"{self.name}[{weight.storage_offset()}:]"

    def stored_elements(self, weight: torch.Tensor, elements: int) -> int | None:
        """What is stored of a weight, where that is not the weight itself: a table, or less than what it grew to.

        Args:
            weight: the tensor that plays W.
            elements: of W, as its layer counts them (two per complex number; the values of a packed tensor).
        """
        if weight.numel() == self.elements or not (self.is_gathered or weight.numel() > self.stored):
            return None
        stored = (self.elements if self.is_gathered else self.stored) * (2 if weight.is_complex() else 1)
        return None if elements <= stored and not self.is_gathered else stored


def most_weights(parameter: torch.Tensor) -> int:
    """Weights that a parameter may hold: one per number, or per bit of an integer, which may pack several."""
    is_number = parameter.is_floating_point() or parameter.is_complex()
    return parameter.numel() * (1 if is_number else 8 * parameter.element_size())


def derived(op: str, sources: Sequence[tuple[torch.Tensor, WeightOrigin]], result: torch.Tensor) -> WeightOrigin:
    """The origin of what an op makes of weights alone.

    Args:
        op: `aten::index`, ...
        sources: the weights that it reads, in the order of its arguments, and their origins.
        result: one of its outputs.
    """
    if op in _GATHERS:
        return replace(sources[0][1], is_gathered=True)
    source, largest = max(sources, key=lambda item: item[1].elements)
    parameters = {(origin.module, origin.name): origin.stored for _, origin in sources}
    is_view = source.untyped_storage()._cdata == result.untyped_storage()._cdata
    if not is_view and not largest.is_gathered and source.numel() < largest.elements:  # its slice goes its own way
        largest = replace(largest, name=largest.part(source), elements=source.numel())
    return replace(largest, stored=sum(parameters.values()))
