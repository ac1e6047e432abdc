"""Quantizers of weights and activations, and which of them a configuration's name stands for."""

from __future__ import annotations

from torch import Tensor

from workloads.compress.config import LayerChoice
from workloads.compress.quantizers.activations import ActivationQuantizer
from workloads.compress.quantizers.base import HALF, Quantizer, check_width
from workloads.compress.quantizers.drawn import WeightQuantizer
from workloads.compress.quantizers.learned import THREE_SIGMA, LSQWeight
from workloads.compress.quantizers.weights import (
    DoReFaWeight,
    MinMaxWeight,
    UniformWeight,
    minmax_affine,
)

__all__ = [
    "HALF",
    "ActivationQuantizer",
    "DoReFaWeight",
    "LSQWeight",
    "MinMaxWeight",
    "Quantizer",
    "UniformWeight",
    "WeightQuantizer",
    "activation_quantizer",
    "check_width",
    "minmax_affine",
    "weight_quantizer",
]


def weight_quantizer(choice: LayerChoice, weight: Tensor) -> WeightQuantizer:
    """The quantizer that a choice asks for; `initialise` it with the weight.

    Args:
        choice: its bits, quantizer, granularity, observer and rounding.
        weight: (K, ...), K output channels.
    """
    bits = choice.w_bits or 0
    axis = 0 if choice.granularity == "channel" else None
    rounding = choice.rounding
    given = None if choice.observer == "default" else choice.observer
    channels = weight.shape[0]
    if choice.quantizer == "minmax":
        return MinMaxWeight(bits, axis=axis, rounding=rounding)
    if choice.quantizer in ("dorefa", "pact"):
        return DoReFaWeight(bits, axis=axis, rounding=rounding)
    if choice.quantizer in ("affine", "symmetric"):
        return UniformWeight(
            bits, symmetric=choice.quantizer == "symmetric", observer=given or "minmax", axis=axis,
            channels=channels, rounding=rounding,
        )  # fmt: skip
    start = given or (THREE_SIGMA if choice.quantizer == "lsq+" else "mse")
    return LSQWeight(bits, observer=start, axis=axis, channels=channels, rounding=rounding)


def activation_quantizer(choice: LayerChoice) -> ActivationQuantizer:
    """The quantizer that a choice asks for, not calibrated yet."""
    return ActivationQuantizer(
        choice.a_bits or 0, choice.quantizer, observer=choice.observer, rounding=choice.rounding
    )
