"""Which modules a configuration means, by name or pattern; those that share a weight are compressed as one."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import embedding

from hwmodel.errors import ConfigError, did_you_mean
from workloads.compress.config import CompressionConfig, LayerChoice
from workloads.compress.layers import CONVOLUTIONS, QuantLayer
from workloads.compress.patterns import expand, is_pattern
from workloads.compress.replacing import mirrored, must_be_called

COMPRESSIBLE: tuple[type[nn.Module], ...] = (nn.Linear, *CONVOLUTIONS)
#: What a pattern meets: a configuration that prices them must also be told that they stay float.
WITH_WEIGHTS: tuple[type[nn.Module], ...] = (
    nn.Linear, nn.modules.conv._ConvNd, nn.Bilinear, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention,
)  # fmt: skip


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


def named_choices(
    model: nn.Module, config: CompressionConfig, kinds: tuple[type[nn.Module], ...] = COMPRESSIBLE
) -> dict[str, LayerChoice]:
    """The choices with exact names for patterns.

    Args:
        model: without a wrapper.
        config: by name or shell pattern.
        kinds: of the layers that an unknown name may have meant.

    Raises:
        ConfigError: a name or pattern matches no module; the nearest is offered.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    known = [name for name, module in modules.items() if isinstance(module, WITH_WEIGHTS)]
    for name in config.layers:
        if name not in modules and not is_pattern(name):
            near = [n for n in known if isinstance(modules[n], kinds)]
            raise ConfigError(f"{name!r} matched 0 of {len(near)} layers.{did_you_mean(name, near)}")
    return expand(config.layers, known, modules)
