"""A trained model at a list of widths, without training: the width at which it breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from hwmodel.errors import ConfigError
from hwmodel.network.choice import FLOAT_BITS
from workloads.compress.calibration import Inputs, calibrate, reestimate_norms
from workloads.compress.config import CompressionConfig, LayerChoice
from workloads.compress.transform import apply, uniform_config
from workloads.training.accuracy import Accuracy
from workloads.training.inputs import SplitSource
from workloads.training.measuring import Metric, MetricValue, measure
from workloads.training.settings import CONTIGUOUS


@dataclass(frozen=True, kw_only=True)
class WidthScore:
    """A model at one width.

    Attributes:
        w_bits, a_bits: of weights and inputs of every compressed layer [bit]; 32 is float.
        config: of the model.
        score: on the split.
    """

    w_bits: int
    a_bits: int
    config: CompressionConfig
    score: Accuracy | MetricValue


def ladder(
    model: nn.Module,
    split: SplitSource,
    bits: Sequence[int],
    *,
    like: LayerChoice | None = None,
    keep_float: Iterable[str] = (),
    calibration: Inputs | None = None,
    norms: bool = False,
    metric: Metric | None = None,
    device: str | torch.device | None = None,
    memory_format: str = CONTIGUOUS,
    progress: Callable[[WidthScore], object] | None = None,
) -> list[WidthScore]:
    """The model at each width, in the order of `bits`. The model is not changed.

    Args:
        model: trained, float.
        split: that is scored.
        bits: of the weights; 32 leaves them float.
        like: what else holds for every layer: quantizer, granularity, a_bits, ...; its w_bits are not used. None is
            LSQ whose steps have the smallest squared error, one per tensor, inputs float.
        keep_float: names and shell patterns of layers that stay float.
        calibration: training inputs (N, ...), a few hundred; needed for the ranges of inputs, and for norms.
        norms: re-estimate the running statistics of batch norms on the calibration inputs, as a `Scorer` does;
            else those of the float model stay.
        metric, device, memory_format: as for `measure`.
        progress: called after every width.

    Raises:
        ConfigError: no width or one out of its range, names that match no layer, or calibration is missing.
    """
    like = like or LayerChoice()
    configs, a_bits = _configs(model, bits, like, keep_float), like.a_bits or FLOAT_BITS
    if calibration is None and (norms or a_bits != FLOAT_BITS):
        wanted = "norms are re-estimated" if a_bits == FLOAT_BITS else "inputs are quantized"
        raise ConfigError(f"ladder: {wanted}, which needs calibration=INPUTS, a few hundred training inputs.")
    found = []
    for width, config in configs:
        compressed = apply(model, config, seed=0)
        if a_bits != FLOAT_BITS:
            calibrate(compressed, calibration, weights=False)
        if norms and not all(choice.is_float for choice in config.layers.values()):
            reestimate_norms(compressed, calibration)
        score = measure(compressed, split, device, metric, memory_format=memory_format)
        found.append(WidthScore(w_bits=width, a_bits=a_bits, config=config, score=score))
        if progress is not None:
            progress(found[-1])
    return found


def _configs(
    model: nn.Module, bits: Sequence[int], like: LayerChoice, keep_float: Iterable[str]
) -> list[tuple[int, CompressionConfig]]:
    """(width, configuration), every width checked before anything is computed."""
    if not bits:
        raise ConfigError("ladder: bits must hold at least one width, as (8, 4, 2), but is empty.")
    kept = tuple(keep_float)
    return [(width, uniform_config(model, replace(like, w_bits=width), kept)) for width in bits]
