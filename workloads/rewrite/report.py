"""Parameters, MACs and bytes of a model before and after a transform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from hwmodel.network.graph import LayerGraph
from workloads.compress.pruning.size import ModelSize, size_of
from workloads.example import arguments
from workloads.tracing import trace
from workloads.wrappers import copied, unwrapped

if TYPE_CHECKING:
    import pandas as pd


#: The record of a model's size, under the name that it had here.
Counts = ModelSize
_COLUMNS = ("parameters", "trainable", "macs", "size_bytes")


@dataclass(frozen=True, kw_only=True)
class LayerChange:
    """One layer of the model as it was, and what stands in its place.

    Attributes:
        name: module name.
        was, now: `Conv2d(16, 32, 3x3)`.
        before, after: size of the layer.
        weight_error: ||W - W'|| / ||W|| (Frobenius) of the weight that it computes with; None where the
            new one starts from random numbers.
    """

    name: str
    was: str
    now: str
    before: ModelSize
    after: ModelSize
    weight_error: float | None


@dataclass(frozen=True, kw_only=True)
class RewriteReport:
    """What a transform did.

    Attributes:
        layers: those that changed.
        before, after: size of the whole model.
        skipped: name -> why a layer stayed.
    """

    layers: tuple[LayerChange, ...]
    before: ModelSize
    after: ModelSize
    skipped: Mapping[str, str] = field(default_factory=dict)

    def to_dataframe(self) -> pd.DataFrame:
        """One row per changed layer, then the whole model under the name `total`.

        Columns: layer, was, now, then parameters, trainable, macs and size_bytes with `_before` and
        `_after`, and weight_error.
        """
        import pandas as pd

        rows = [
            {
                "layer": c.name,
                "was": c.was,
                "now": c.now,
                **_sides(c.before, c.after),
                "weight_error": c.weight_error,
            }
            for c in self.layers
        ]
        total = {"layer": "total", "was": "", "now": "", **_sides(self.before, self.after), "weight_error": None}
        return pd.DataFrame([*rows, total])

    def __str__(self) -> str:
        before, after = self.before, self.after
        kept = f" · {len(self.skipped)} left as they were" if self.skipped else ""
        return (
            f"{len(self.layers)} layers changed{kept} · parameters {before.parameters:,} -> {after.parameters:,} · "
            f"MACs {before.macs:,} -> {after.macs:,} · {before.size_bytes:,} B -> {after.size_bytes:,} B"
        )


def _sides(before: ModelSize, after: ModelSize) -> dict[str, int]:
    sides = (("before", before), ("after", after))
    return {f"{column}_{side}": getattr(size, column) for column in _COLUMNS for side, size in sides}


def make_report(
    before: nn.Module,
    after: nn.Module,
    example: Any,
    errors: Mapping[str, tuple[str, str, float | None]],
    skipped: Mapping[str, str],
) -> RewriteReport:
    """The report of a transform that kept the names of the layers.

    Args:
        before, after: the models.
        example: input, or a tuple of them.
        errors: changed layer -> what it was, what it is now, its relative weight error.
        skipped: name -> why it stayed.
    """
    before = unwrapped(before)
    old, new = _graph(before, example), _graph(after, example)
    changes = tuple(
        LayerChange(
            name=name,
            was=was,
            now=now,
            before=size_of(before, old, name),
            after=size_of(after, new, name),
            weight_error=error,
        )
        for name, (was, now, error) in errors.items()
    )
    return RewriteReport(
        layers=changes, before=size_of(before, old), after=size_of(after, new), skipped=dict(skipped)
    )


def _graph(model: nn.Module, example: Any) -> LayerGraph:
    return trace(copied(model).eval(), *arguments(example))
