"""Which grid every tensor of an integer network lies on.

A tensor that only layers read, through max pools and movements at most, lies on the grid of their input
quantizer if they agree on it. Every other tensor (what an add, a concatenation, an average or a table reads,
or the output) gets a grid of its own over the range seen on the example, 0 included; a layer that reads such
a tensor gets a change of grid in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from hwmodel.errors import ConfigError
from workloads.compress.layers import QuantLayer
from workloads.compress.ranges import affine_grid
from workloads.compress.transform import check_plain
from workloads.integer.stages import Stage
from workloads.integer.steps import IntGrid

TRANSPARENT = ("move", "max_pool", "clamp", "concat")
#: Where a table's function is flat, its input need not resolve anything.
_FLAT = {"tanh": 4.0, "Tanh": 4.0, "sigmoid": 8.0, "Sigmoid": 8.0}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the example showed of a tensor."""

    low: float
    high: float
    shape: tuple[int, ...]


class Watcher(fx.Interpreter):
    """Runs a traced model and keeps the range and shape of every tensor."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.seen: dict[fx.Node, Seen] = {}

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        if isinstance(value, Tensor) and value.is_floating_point():
            low, high = torch.aminmax(value)
            self.seen[n] = Seen(low=float(low), high=float(high), shape=tuple(value.shape))
        return value


class NoGridError(ConfigError):
    """A layer has no grid of integers; the message starts with its name."""


def layer_grid(name: str, module: nn.Module | None) -> IntGrid:
    """The grid of a layer's input.

    Raises:
        NoGridError: the layer is float, was not calibrated, or its grid has no integral zero point for the tensor.
    """
    if not isinstance(module, QuantLayer):
        raise NoGridError(f"{name!r} is float: an integer network needs every layer quantized. Add it to `apply`.")
    try:
        check_plain(module)
        grid = module.input_grid()
    except ConfigError as error:
        raise NoGridError(f"{name!r}: {error}") from None
    if grid.zero_point is None or grid.scale.dim():
        raise NoGridError(
            f"{name!r}: the input's grid must have one scale and an integral zero point. Use quantizer 'affine', "
            "'symmetric' or 'lsq', and 2 bits or more where inputs are negative."
        )
    return IntGrid(
        scale=float(grid.scale), zero=int(grid.zero_point), qmin=grid.qmin, qmax=grid.qmax, rounding=grid.rounding
    )


@dataclass
class Grids:
    """Chooses grids.

    Attributes:
        stages: of the network.
        seen: range of what leaves a stage, by its name.
        bits: of grids of their own.
    """

    stages: Sequence[Stage]
    seen: dict[str, Seen]
    bits: int
    _readers: dict[str, list[Stage]] = field(init=False)

    def __post_init__(self) -> None:
        self._readers = {}
        for stage in self.stages:
            for source in stage.inputs:
                self._readers.setdefault(source, []).append(stage)

    def of(self, stage: Stage) -> IntGrid:
        """The grid of what leaves a stage that makes new values."""
        asked = self._asked(stage.name)
        if len(asked) == 1:
            (grid,) = asked
            if grid is not None:
                return grid
        seen = self.seen[stage.name]
        low, high = seen.low, seen.high
        readers = self._readers.get(stage.name, [])
        if len(readers) == 1 and readers[0].op.kind == "table":
            flat = _FLAT.get(table_name(readers[0]))
            if flat is not None:
                low, high = max(low, -flat), min(high, flat)
        return own_grid(low, high, self.bits)

    def is_output(self, stage: Stage) -> bool:
        """The network returns this stage's values as they are."""
        return [reader.op.kind for reader in self._readers.get(stage.name, [])] == ["output"]

    def _asked(self, name: str) -> set[IntGrid | None]:
        """Grids that the readers want; None where one wants no particular."""
        asked: set[IntGrid | None] = set()
        for reader in self._readers.get(name, []):
            if reader.op.kind == "layer":
                asked.add(layer_grid(reader.name, reader.op.module))
            elif reader.op.kind in TRANSPARENT:
                asked |= self._asked(reader.name)
            else:
                asked.add(None)
        return asked


def table_name(stage: Stage) -> str:
    """The name of a table's function."""
    node = stage.op.node
    if node.op == "call_module":
        return type(stage.op.options["apply"]).__name__
    return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", ""))


def own_grid(low: float, high: float, bits: int) -> IntGrid:
    """2^bits codes over low..high, widened to contain 0."""
    levels = (1 << bits) - 1
    step, zero = affine_grid(torch.tensor(low).double(), torch.tensor(high).double(), levels)
    return IntGrid(scale=float(step), zero=int(zero), qmin=0, qmax=levels)
