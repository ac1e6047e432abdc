"""Each stored weight once: which layers read the same one, and which of them stands for it in a sum.

Several layers read one weight where a module runs again and where two modules share a parameter; a module may also
own several weights, as an LSTM does. What tells them apart is `Layer.weight_key`, never the module alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hwmodel.network.layer import Layer


def weight_readers(layers: Iterable[Layer]) -> dict[tuple[str, str], list[Layer]]:
    """Stored weight (`Layer.weight_key`) -> the layers that read it; both in the order of the layers."""
    readers: dict[tuple[str, str], list[Layer]] = {}
    for layer in layers:
        if layer.weights:
            readers.setdefault(layer.weight_key, []).append(layer)
    return readers


def first_reads(layers: Iterable[Layer]) -> list[bool]:
    """Per layer: it is the first to read its stored weight, and stands for it in sums; False without a weight."""
    seen: set[tuple[str, str]] = set()
    flags = []
    for layer in layers:
        flags.append(layer.weights > 0 and layer.weight_key not in seen)
        seen.add(layer.weight_key)
    return flags


def stored_elements(layers: Sequence[Layer]) -> list[tuple[int, int]]:
    """Per layer the (weights, biases) that it stores: (0, 0) where an earlier one has read the same weight."""
    return [
        (layer.weights, layer.biases) if is_first else (0, 0)
        for layer, is_first in zip(layers, first_reads(layers), strict=True)
    ]
