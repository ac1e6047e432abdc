"""Parameters, MACs and bytes of a model before and after a transform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from hwmodel.network.graph import LayerGraph
from workloads.compress.layers import QuantLayer
from workloads.tracing import trace
from workloads.wrappers import copied, unwrapped

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a model, or a part of it, holds and does.

    Attributes:
        parameters: numbers that were trained; those of quantizers left out.
        trainable: those with a gradient.
        macs: of one forward pass on the example.
        size_bytes: of the parameters, each stored at its own width (4 for float32), quantized weights at theirs.
    """

    parameters: int
    trainable: int
    macs: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class LayerChange:
    """One layer of the model as it was, and what stands in its place.

    Attributes:
        name: module name.
        was, now: `Conv2d(16, 32, 3x3)`.
        before, after: counts of the layer.
        weight_error: ||W - W'|| / ||W|| (Frobenius) of the weight that it computes with; None where the
            new one starts from random numbers.
    """

    name: str
    was: str
    now: str
    before: Counts
    after: Counts
    weight_error: float | None


@dataclass(frozen=True, kw_only=True)
class RewriteReport:
    """What a transform did.

    Attributes:
        layers: those that changed.
        before, after: counts of the whole model.
        skipped: name -> why a layer stayed.
    """

    layers: tuple[LayerChange, ...]
    before: Counts
    after: Counts
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


def _sides(before: Counts, after: Counts) -> dict[str, int]:
    first, second = asdict(before), asdict(after)
    return {
        f"{key}_{side}": values[key] for key in first for side, values in (("before", first), ("after", second))
    }


def count(model: nn.Module, example: Any) -> Counts:
    """Counts of a whole model.

    Args:
        model: not changed.
        example: its input, or a tuple of them.
    """
    return _counts(model, "", _graph(model, example))


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
            before=_counts(before, name, old),
            after=_counts(after, name, new),
            weight_error=error,
        )
        for name, (was, now, error) in errors.items()
    )
    return RewriteReport(
        layers=changes, before=_counts(before, "", old), after=_counts(after, "", new), skipped=dict(skipped)
    )


def arguments(example: Any) -> tuple[Any, ...]:
    """The positional arguments that an example stands for."""
    return tuple(example) if isinstance(example, (tuple, list)) else (example,)


def _graph(model: nn.Module, example: Any) -> LayerGraph:
    return trace(copied(model).eval(), *arguments(example))


def _counts(model: nn.Module, name: str, graph: LayerGraph) -> Counts:
    """Of the module with this name; "" is the model."""
    module = model.get_submodule(name)
    quantizers = {
        id(p)
        for layer in module.modules()
        if isinstance(layer, QuantLayer)
        for child in layer.children()
        for p in child.parameters()
    }
    own = [p for p in module.parameters() if id(p) not in quantizers]
    bits = _quantized_bits(module)
    inside = [layer for layer in graph.layers if not name or f"{layer.module}.".startswith(f"{name}.")]
    return Counts(
        parameters=sum(p.numel() for p in own),
        trainable=sum(p.numel() for p in own if p.requires_grad),
        macs=sum(layer.macs for layer in inside),
        size_bytes=-(-sum(p.numel() * bits.get(id(p), 8 * p.element_size()) for p in own) // 8),
    )


def _quantized_bits(module: nn.Module) -> dict[int, int]:
    """id(weight) -> its bits, for every quantized weight inside."""
    return {
        id(layer.weight): int(layer.weight_quantizer.bits)
        for layer in module.modules()
        if isinstance(layer, QuantLayer) and layer.weight_quantizer is not None
    }
