"""`explain_layer`: what a configuration means for one layer, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from hwmodel.chip.accelerator import Accelerator
from hwmodel.deprecated import old_attribute
from hwmodel.errors import ConfigError, GraphError, check_names
from hwmodel.network.choice import FLOAT_BITS
from hwmodel.network.graph import LayerGraph
from hwmodel.show.quantities import quantity
from workloads.compress.config import CompressionConfig, LayerChoice
from workloads.compress.grid import Grid
from workloads.compress.layers import COMPRESSIBLE, QuantLayer
from workloads.export.marking import input_site, weight_site
from workloads.export.packed import against_float
from workloads.storage.packing import packed_bytes

_FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class GridExplanation:
    """The values that an operand may take.

    Attributes:
        bits: of a code [bit].
        qmin, qmax: lowest and highest code.
        scale: lowest and highest of its scales; equal where there is one.
        num_scales: how many there are.
        zero_point: lowest and highest; None where 0 need not be on the grid.
        range: lowest and highest value of the grid.
        levels: distinct codes that there are.
        levels_used: distinct codes that occur; None where that is not known (inputs).
        rounding: `nearest` or `floor`.
    """

    bits: int
    qmin: int
    qmax: int
    scale: tuple[float, float]
    num_scales: int
    zero_point: tuple[int, int] | None
    range: tuple[float, float]
    levels: int
    levels_used: int | None
    rounding: str

    def __str__(self) -> str:
        scale = f"{self.scale[0]:.4g}" if self.num_scales == 1 else f"{self.scale[0]:.4g}..{self.scale[1]:.4g}"
        several = "" if self.num_scales == 1 else f" ({self.num_scales} of them)"
        zero = "0 need not be on it" if self.zero_point is None else f"zero point {_span(*self.zero_point)}"
        used = "" if self.levels_used is None else f", {self.levels_used} of {self.levels} levels used"
        rounding = "" if self.rounding == "nearest" else f", {self.rounding}"
        return (
            f"{self.bits} bits, codes {self.qmin}..{self.qmax}, scale {scale}{several}, {zero}, "
            f"values {self.range[0]:.4g}..{self.range[1]:.4g}{used}{rounding}"
        )


@dataclass(frozen=True, kw_only=True)
class LayerExplanation:
    """What one layer is under a configuration.

    Attributes:
        module: its name.
        kind: its class.
        choice: bits, density, quantizer as configured.
        weight, input: their grids; None where they are float (or, the input, not calibrated).
        shape: of the weight.
        weights: elements of the weight.
        density: share of the weights that the mask keeps, in (0, 1].
        zeros: share of the weights that are 0 when multiplied, pruned or rounded to it.
        code_bytes: of the weight as packed codes, every element counted [byte].
        parameter_bytes: of scales and zero points or offsets [byte].
        float_bytes: of the weight as float32 [byte].
        macs: per inference of the graph's batch; None without a graph.
        macs_share: of the network's.
        energy_pj, cycles: on the accelerator; None without one.
        energy_share, cycles_share: of the network's layers and vector ops.
    """

    module: str
    kind: str
    choice: LayerChoice
    weight: GridExplanation | None
    input: GridExplanation | None
    shape: tuple[int, ...]
    weights: int
    density: float
    zeros: float
    code_bytes: int
    parameter_bytes: int
    float_bytes: int
    macs: int | None = None
    macs_share: float | None = None
    energy_pj: float | None = None
    energy_share: float | None = None
    cycles: float | None = None
    cycles_share: float | None = None

    num_bytes = old_attribute("num_bytes", "size_bytes")

    @property
    def size_bytes(self) -> int:
        """Stored size of the weight, scales included [byte]."""
        return self.code_bytes + self.parameter_bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "choice": self.choice.to_dict(), "size_bytes": self.size_bytes}

    def __str__(self) -> str:
        size = f"{self.size_bytes:,} bytes"
        if self.parameter_bytes:
            size += f" ({self.code_bytes:,} of codes, {self.parameter_bytes:,} of scales and zero points)"
        quantizer = f", {self.choice.quantizer}" if self.weight or self.input else ""
        lines = [
            f"{self.module or 'model'} ({self.kind}, {' x '.join(map(str, self.shape))} weights{quantizer})",
            f"  weight   {self.weight or 'float'}",
            f"  input    {self.input or _float_input(self.choice)}",
            f"  density  {100 * self.density:.4g} % kept, {100 * self.zeros:.4g} % of the weights are 0",
            f"  size     {size}, {against_float(self.size_bytes, self.float_bytes)}",
        ]
        if self.macs is not None and self.macs_share is not None:
            lines.append(f"  MACs     {self.macs:,}, {100 * self.macs_share:.3g} % of the network")
        if self.energy_pj is not None and self.energy_share is not None:
            energy = quantity(self.energy_pj * 1e-12, "J", 4)
            lines.append(f"  energy   {energy}, {100 * self.energy_share:.3g} % of the network")
        if self.cycles is not None and self.cycles_share is not None:
            lines.append(f"  latency  {self.cycles:,.0f} cycles, {100 * self.cycles_share:.3g} % of the network")
        return "\n".join(lines)


def explain_layer(
    qmodel: nn.Module,
    module: str,
    *,
    graph: LayerGraph | None = None,
    config: CompressionConfig | None = None,
    accelerator: Accelerator | None = None,
) -> LayerExplanation:
    """What a configuration means for one layer: its grids, its size, its share of the cost.

    Args:
        qmodel: of `apply`; grids of inputs are there once it is calibrated.
        module: name of the layer.
        graph: of the model, for MACs.
        config: that the model was made with, for the cost of the whole network; needed with `accelerator`.
        accelerator: to price the network on; needs `graph`.

    Raises:
        ConfigError: the model has no such layer, or a graph or configuration is missing.
        GraphError: the graph has no such layer.

    Example:
        >>> print(explain_layer(qmodel, "layer1.0.conv1"))  # doctest: +SKIP
    """
    if accelerator is not None and (graph is None or config is None):
        raise ConfigError("explain needs graph and config to price a layer on an accelerator")
    layer = _layer(qmodel, module)
    weight: torch.Tensor = layer.get_parameter("weight").detach()
    codes, parameters, grid, zeros, kept = weight.numel() * _FLOAT_BYTES, 0, None, weight == 0, None
    stream = None
    choice = LayerChoice()
    if isinstance(layer, QuantLayer):
        choice, kept = layer.choice, layer.mask
        zeros = layer.effective_weight().detach() == 0
        site = weight_site(module, layer)
        if site is not None:
            grid = explain_grid(site.grid, site.bits, site.codes)
            codes = packed_bytes(weight.numel(), site.bits) + (
                0 if site.kept is None else packed_bytes(weight.numel(), 1)
            )
            parameters = _parameter_bytes(site.grid)
        if layer.input_quantizer is not None and bool(layer.input_quantizer.calibrated):
            found = input_site(module, layer)
            stream = None if found is None else explain_grid(found.grid, found.bits)
    return LayerExplanation(
        module=module, kind=type(layer).__name__, choice=choice, weight=grid, input=stream,
        shape=tuple(weight.shape), weights=weight.numel(),
        density=1.0 if kept is None else float(kept.expand_as(weight).float().mean()),
        zeros=float(zeros.float().mean()), code_bytes=codes, parameter_bytes=parameters,
        float_bytes=weight.numel() * _FLOAT_BYTES,
        **_costs(module, graph, config, accelerator),
    )  # fmt: skip


def explain_grid(grid: Grid, bits: int, codes: torch.Tensor | None = None) -> GridExplanation:
    """A grid in plain numbers.

    Args:
        grid: of a weight or an input.
        bits: of a code [bit].
        codes: those that occur; None where that is not known.
    """
    rows = torch.tensor([grid.qmin, grid.qmax], dtype=torch.int32)
    if grid.axis is not None and grid.scale.dim():
        shape = [1] * (grid.axis + 1)
        shape[grid.axis] = len(grid.scale)
        rows = rows.expand(*shape, 2)
    values = grid.values(rows)
    zero = grid.zero_point
    used = None if codes is None else int(torch.bincount((codes - grid.qmin).reshape(-1)).count_nonzero())
    return GridExplanation(
        bits=bits, qmin=grid.qmin, qmax=grid.qmax,
        scale=(float(grid.scale.min()), float(grid.scale.max())), num_scales=grid.scale.numel(),
        zero_point=None if zero is None else (int(zero.min()), int(zero.max())),
        range=(float(values.min()), float(values.max())), levels=grid.qmax - grid.qmin + 1,
        levels_used=used, rounding=grid.rounding,
    )  # fmt: skip


def _layer(qmodel: nn.Module, module: str) -> nn.Module:
    layers = {name: found for name, found in qmodel.named_modules() if isinstance(found, COMPRESSIBLE)}
    check_names([module], layers)
    return layers[module]


def _parameter_bytes(grid: Grid) -> int:
    return sum(
        part.numel() * part.element_size()
        for part in (grid.scale, grid.zero_point, grid.offset)
        if part is not None
    )


def _costs(
    module: str, graph: LayerGraph | None, config: CompressionConfig | None, accelerator: Accelerator | None
) -> dict[str, Any]:
    if graph is None:
        return {}
    check_names([module], graph.layer_modules, f"layers of {graph.name}", error=GraphError)
    own = {layer.name for layer in graph.layers if layer.module == module}
    macs = sum(layer.macs for layer in graph.layers if layer.name in own)
    costs: dict[str, Any] = {"macs": macs, "macs_share": macs / graph.macs}
    if accelerator is None:
        return costs
    from hwmodel import evaluate

    total = evaluate(graph, accelerator, config=config)
    found = [cost for cost in total.layers if cost.name in own]
    energy, cycles = sum(cost.energy_pj for cost in found), sum(cost.cycles for cost in found)
    return {
        **costs, "energy_pj": energy, "energy_share": energy / total.energy_pj, "cycles": cycles,
        "cycles_share": cycles / total.cycles,
    }  # fmt: skip


def _float_input(choice: LayerChoice) -> str:
    return "float" if choice.a_bits == FLOAT_BITS else f"{choice.a_bits} bits, not calibrated yet"


def _span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g}..{high:g}"
