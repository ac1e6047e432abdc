"""Who computes with the weight of a compressed layer: the layer itself, or a forward that reads it in float."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from hwmodel.errors import ConfigError
from workloads.compress.layers import QuantLayer
from workloads.compress.tied import TiedEmbedding


class WeightReads(TorchFunctionMode):
    """While active, notes every tensor that is made of a compressed layer's weight outside its own forward.

    Args:
        layers: name -> compressed layer.
    """

    def __init__(self, layers: Mapping[str, QuantLayer]) -> None:
        super().__init__()
        self._names: dict[int, str] = {}
        for name, layer in layers.items():
            self._names.setdefault(id(layer.weight), name)
        self._running: Counter[int] = Counter()
        self._read: dict[str, str] = {}

    def follow(self, model: nn.Module) -> list[RemovableHandle]:
        """Hooks that tell which layers run; the caller removes them."""
        handles = []
        for module in model.modules():
            if isinstance(module, (QuantLayer, TiedEmbedding)):
                weight = id(module.weight)
                handles.append(module.register_forward_pre_hook(lambda *_, w=weight: self._running.update([w])))
                handles.append(
                    module.register_forward_hook(lambda *_, w=weight: self._running.subtract([w]), always_call=True)
                )
        return handles

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):  # a size, a type or a device is no value
            for value in (*args, *(kwargs or {}).values()):
                name = self._names.get(id(value))
                if name is not None and self._running[id(value)] <= 0:
                    self._read.setdefault(name, getattr(func, "__name__", str(func)))
        return out

    def check(self) -> None:
        """Raises:
        ConfigError: a weight was read in float; it would be priced at its bits.
        """
        for name, func in self._read.items():
            raise ConfigError(
                f"{name!r}: the model also reads its weight without calling the layer ({func}), in float. Call the "
                "layer there, or leave it float."
            )
