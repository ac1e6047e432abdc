"""A task: one layer on one accelerator with all its widths known, as everything below `layer_cost` takes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from hwmodel.chip.accelerator import Accelerator, Widths
from hwmodel.network.choice import remove_filters
from hwmodel.network.layer import Bits, Density, Dims, Layer


class Identity(NamedTuple):
    """What the best mapping of a task depends on, and nothing else: no name, no module, no zeros.

    Attributes:
        dims, stride, dilation: of the layer.
        widths: [bit].
        accelerator: its fingerprint.
    """

    dims: Dims
    stride: tuple[int, int]
    dilation: tuple[int, int]
    widths: Widths
    accelerator: str


@dataclass(frozen=True)
class Task:
    """One layer on one accelerator; make it with `Task.of`.

    Attributes:
        layer: its `bits` are the widths.
        accelerator: the target.
        widths: of weights, inputs, finished outputs and partial sums [bit].
    """

    layer: Layer
    accelerator: Accelerator
    widths: Widths

    @classmethod
    def of(cls, layer: Layer, accelerator: Accelerator) -> Task:
        """The task of a layer; one without bits runs at the accelerator's native widths."""
        widths = accelerator.resolve_bits(layer.bits, layer.reduction)
        bits = Bits(w=widths.w, i=widths.i, o=widths.o, acc=widths.acc)
        return cls(replace(layer, bits=bits), accelerator, widths)

    @property
    def identity(self) -> Identity:
        """Tasks with equal identities have the same best mapping, whatever their layers are called."""
        layer = self.layer
        return Identity(layer.dims, layer.stride, layer.dilation, self.widths, self.accelerator.fingerprint)

    def without_removed_filters(self) -> Task:
        """The task that is left once whole filters are removed; its widths stay."""
        return self.with_layer(remove_filters(self.layer))

    def with_density(self, density: Density) -> Task:
        """The same task with other zeros."""
        return self.with_layer(replace(self.layer, density=density))

    def with_layer(self, layer: Layer) -> Task:
        """The same task of a layer with the same bits and reduction."""
        return self if layer is self.layer else replace(self, layer=layer)
