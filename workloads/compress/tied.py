"""Modules that share one weight: stored once, so compressed once, under whichever name."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import embedding

from workloads.compress.layers import QuantLayer
from workloads.compress.replacing import mirrored, must_be_called


class TiedEmbedding(nn.Embedding):
    """A lookup in the weight of a compressed layer, as that layer has it: on its grid and under its mask.

    The layer is no submodule: names in the state dict stay those of the float model.
    """

    _owner: tuple[QuantLayer]

    @property
    def owner(self) -> QuantLayer:
        """The layer whose weight this is."""
        return self._owner[0]

    def forward(self, x: Tensor) -> Tensor:
        return embedding(x, self.owner.effective_weight(), self.padding_idx)


def tied_embedding(module: nn.Embedding, owner: QuantLayer) -> TiedEmbedding:
    """The embedding that reads the weight of a layer."""
    new = mirrored(module, TiedEmbedding)
    new._owner = (owner,)
    return must_be_called(new)


def share_grid(layer: QuantLayer, owner: QuantLayer) -> QuantLayer:
    """Let a layer read the weight as its owner has it: one quantizer, one mask. Inputs keep their own grids."""
    layer.weight_quantizer = owner.weight_quantizer
    layer.mask = owner.mask
    return layer


def partners(model: nn.Module, weight: Tensor | None) -> dict[str, nn.Module]:
    """First name -> module of every module whose own `weight` this is; just one where nothing is shared."""
    if weight is None:
        return {}
    return {name: module for name, module in model.named_modules() if module._parameters.get("weight") is weight}
