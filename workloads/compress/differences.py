"""In what two configurations differ."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from workloads.compress.config import CompressionConfig, LayerChoice


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One field of one module in which two configurations differ; None where one does not name the module."""

    module: str
    field: str
    first: Any
    second: Any

    def __str__(self) -> str:
        return f"{self.module}.{self.field}: {self.first} -> {self.second}"


def diff(first: CompressionConfig, second: CompressionConfig) -> list[Difference]:
    """What changes from the first to the second, module by module.

    A module that one of them leaves out counts as float there.
    """
    found = []
    float_layer = LayerChoice()
    for module in dict.fromkeys([*first.layers, *second.layers]):
        a, b = first.layers.get(module, float_layer), second.layers.get(module, float_layer)
        for item in fields(LayerChoice):
            one, two = getattr(a, item.name), getattr(b, item.name)
            if one != two:
                found.append(Difference(module=module, field=item.name, first=one, second=two))
    return found
