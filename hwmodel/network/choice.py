"""What a configuration may decide about one layer, and how it changes the layer.

Quantizing changes the bits, masking the density, removing whole filters the shape: those three are
all that the cost model knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hwmodel.network.layer import Bits, Density, Layer, parse_pattern

#: Weights and activations that nothing quantizes are this wide [bit].
FLOAT_BITS = 32
#: Widths of a layer without bits.
FLOAT = Bits(w=FLOAT_BITS, i=FLOAT_BITS)


@dataclass(frozen=True, kw_only=True, order=True)
class Choice:
    """Bit-widths and density of one layer.

    Attributes:
        w_bits: of the weights [bit], 1..32; 32 is float.
        a_bits: of the activations that the layer computes with [bit]. In a network its outputs are as wide as their
            readers ask; alone, as wide as its inputs.
        density: non-zero fraction of the weights, in (0, 1].
        pattern: `unstructured`, `filter` or `N:M`.
        acc_bits: of the partial sums [bit]; None lets the accelerator decide.
    """

    w_bits: int = FLOAT_BITS
    a_bits: int = FLOAT_BITS
    density: float = 1.0
    pattern: str = "unstructured"
    acc_bits: int | None = None

    def __post_init__(self) -> None:
        Bits(w=self.w_bits, i=self.a_bits, acc=self.acc_bits)
        Density(w=self.density, pattern=self.pattern)

    def annotate(self, layer: Layer) -> Layer:
        """The layer with these bits and this density (a matmul has no weights: only a_bits apply)."""
        if layer.kind == "matmul":
            return layer.with_bits(Bits(w=self.a_bits, i=self.a_bits, acc=self.acc_bits))
        density = replace(layer.density, w=self.density, pattern=self.pattern)
        return layer.with_bits(Bits(w=self.w_bits, i=self.a_bits, acc=self.acc_bits)).with_density(density)


def kept_filters(num_filters: int, density: float) -> int:
    """Filters that survive at a density: rounded to the nearest, halves up, never below 1."""
    return max(1, min(num_filters, math.floor(num_filters * density + 0.5)))


def remove_filters(layer: Layer) -> Layer:
    """The layer that is left after whole filters are removed; unchanged for other patterns.

    Filters lie along K in each group, or along G where a group has a single filter (depthwise).
    The layer that reads the output keeps its shape: its missing channels are zeros.
    """
    if layer.density.pattern != "filter" or layer.density.w == 1.0:
        return layer
    d = layer.dims
    if d.K > 1:
        dims = replace(d, K=kept_filters(d.K, layer.density.w))
    else:
        dims = replace(d, G=kept_filters(d.G, layer.density.w))
    return replace(layer, dims=dims, density=Density(i=layer.density.i, o=layer.density.o))


def surviving_weights(layer: Layer) -> int:
    """Non-zero weight elements of a layer at its density, rounded to the nearest, halves up."""
    if layer.kind == "matmul":
        return 0
    if layer.density.pattern == "filter":
        return remove_filters(layer).weights
    nm = parse_pattern(layer.density.pattern)
    density = layer.density.w if nm is None else min(layer.density.w, nm[0] / nm[1])
    return max(1, math.floor(layer.weights * density + 0.5))
