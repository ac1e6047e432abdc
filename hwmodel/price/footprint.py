"""How much a network stores: weights at each width with what their quantizer keeps, and whether it fits.

A quantized tensor is not only its integers: every scale is a float, and every zero point of an affine
quantizer an integer as wide as the values (ONNX QuantizeLinear: the zero point has the type of the quantized
tensor, the scale that of the float one). One of each per tensor, or per output channel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import LayerError, check_one_of
from hwmodel.network.choice import FLOAT, FLOAT_BITS
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Layer
from hwmodel.price.results import NetworkCost, storing

Granularity = Literal["tensor", "channel"]


def quantization_overhead_bits(
    layer: Layer,
    bits: int,
    granularity: Granularity = "tensor",
    *,
    scale_bits: int = 32,
    zero_points: bool = True,
) -> int:
    """Bits of the scales and zero points of a layer's weights.

    overhead = n * (scale_bits + bits if zero_points else scale_bits), n = 1 per tensor, G * K per channel.

    Args:
        layer: one without weights of its own (a matmul of two activations) has no overhead.
        bits: width of the weights [bit]; from 32 on they are stored as floats, without a scale.
        granularity: one range per `tensor`, or per output `channel`.
        scale_bits: width of a scale [bit].
        zero_points: the quantizer is affine; a symmetric one has none.

    Raises:
        LayerError: an unknown granularity.

    Source: Krishnamoorthi, Quantizing deep convolutional networks, 2018, section 2 (affine quantizer, per layer
        and per channel); ONNX operator QuantizeLinear (types).
    """
    check_one_of("granularity", granularity, ("tensor", "channel"), LayerError)
    if not layer.weights or bits >= FLOAT_BITS:
        return 0
    count = 1 if granularity == "tensor" else layer.dims.G * layer.dims.K
    return count * (scale_bits + (bits if zero_points else 0))


@dataclass(frozen=True, kw_only=True)
class WeightMemory:
    """The weights of a network at one width.

    Attributes:
        bits: of every weight [bit].
        values_bits: the weights alone, dense [bit].
        per_tensor_bits, per_channel_bits: scales and zero points at either granularity [bit].
    """

    bits: int
    values_bits: int
    per_tensor_bits: int
    per_channel_bits: int


def weight_memory(graph: LayerGraph, widths: Iterable[int] = (2, 3, 4, 5, 6, 7, 8, 16, 32)) -> list[WeightMemory]:
    """Dense weight memory at each uniform width; a weight that is read twice is stored once."""
    layers = graph.weight_layers
    return [
        WeightMemory(
            bits=bits,
            values_bits=sum(layer.weights for layer in layers) * bits,
            per_tensor_bits=sum(quantization_overhead_bits(layer, bits) for layer in layers),
            per_channel_bits=sum(quantization_overhead_bits(layer, bits, "channel") for layer in layers),
        )
        for bits in widths
    ]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What one memory could hold at once.

    Attributes:
        name: of the memory.
        capacity_bits: of all its copies together [bit]; None when unbounded.
        too_large: layers whose weights (scales and zero points included) exceed it; None where it holds no weights.
        all_weights: the weights of the whole network fit; None where it holds no weights.
        activations: the peak of the activations fits; None where it holds no activations.
    """

    name: str
    capacity_bits: float | None
    too_large: tuple[str, ...] | None
    all_weights: bool | None
    activations: bool | None


def does_it_fit(cost: NetworkCost, accelerator: Accelerator, granularity: Granularity = "tensor") -> list[Fit]:
    """For every memory, innermost first: which layers' weights, the whole network's, and the activations fit.

    Copies in the PEs add up, as weights can be spread over them. Resident data need no second copy: a double
    buffer counts in full. Weights and activations are each compared with the whole memory.

    Args:
        cost: of the network, as `evaluate` gives it: its widths and stored weights.
        accelerator: that it was priced on, or another.
        granularity: of the scales and zero points.
    """
    weights = _stored_weights(cost, granularity)
    fits = []
    for level in accelerator.levels:
        for memory in level.memories:
            copies = accelerator.num_copies(memory)
            capacity = None if memory.size_bits is None else memory.size_bits * copies
            room = float("inf") if capacity is None else capacity
            holds_weights, holds_activations = "W" in memory.holds, bool({"I", "O"} & set(memory.holds))
            large = tuple(name for name, bits in weights.items() if bits > room)
            fits.append(
                Fit(
                    name=memory.name,
                    capacity_bits=capacity,
                    too_large=large if holds_weights else None,
                    all_weights=sum(weights.values()) <= room if holds_weights else None,
                    activations=cost.activation_bits <= room if holds_activations else None,
                )
            )
    return fits


def overhead_bits(cost: NetworkCost, granularity: Granularity = "tensor") -> int:
    """Scales and zero points of a network at the widths that it was priced at, each weight once [bit]."""
    return sum(_overhead(item.layer, granularity) for item in storing(cost.layers))


def _stored_weights(cost: NetworkCost, granularity: Granularity) -> dict[str, float]:
    """Layer name -> stored weights with their scales and zero points, each weight once [bit]."""
    return {item.name: item.weight_bits + _overhead(item.layer, granularity) for item in storing(cost.layers)}


def _overhead(layer: Layer, granularity: Granularity) -> int:
    return quantization_overhead_bits(layer, (layer.bits or FLOAT).w, granularity)
