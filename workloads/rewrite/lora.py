"""LoRA: frozen layers with a small trained correction of low rank.

Source: Hu et al., LoRA, arXiv:2106.09685, section 4.1: h = W x + (alpha / r) B A x, A random, B zero.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwmodel.errors import ConfigError
from workloads.compress.config import LayerChoice
from workloads.compress.layers import QuantConv1d, QuantConv2d, QuantConv3d, QuantLayer, QuantLinear, from_float
from workloads.compress.replacing import must_be_called, replace_modules
from workloads.options import is_integer
from workloads.rewrite.frozen import freeze_norms, parameters_named, thaw_norms
from workloads.rewrite.report import RewriteReport, make_report
from workloads.rewrite.select import (
    CONVOLUTIONS,
    convolution_like,
    describe,
    in_place_of,
    seeded,
    select_layers,
)
from workloads.wrappers import copied

ADAPTABLE: tuple[type[nn.Module], ...] = (
    nn.Linear,
    *CONVOLUTIONS,
    QuantLinear,
    QuantConv1d,
    QuantConv2d,
    QuantConv3d,
)
_CONVOLVE = (functional.conv1d, functional.conv2d, functional.conv3d)


class LoRALayer(nn.Module):
    """`base(x) + (alpha / rank) * B A x`; at first B = 0, so that the output is that of the base.

    A convolution's A has the kernel, stride and groups of the base, B is 1 x 1; each group has its own rank
    r. Where the base quantizes its input, A reads the quantized input, so that the merged layer is equal.

    Args:
        base: a linear layer or convolution, float or quantized; its parameters are frozen.
        rank: r >= 1.
        alpha: the correction counts alpha / r.
        dropout: of the input of A, while training.
    """

    lora_a: nn.Parameter
    lora_b: nn.Parameter

    def __init__(self, base: Any, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.rank, self.alpha, self.dropout = rank, float(alpha), dropout
        self.groups = getattr(base, "groups", 1)
        weight = base.weight
        ones = [1] * (weight.dim() - 2)
        self.lora_a = nn.Parameter(weight.new_empty(rank * self.groups, *weight.shape[1:]))
        self.lora_b = nn.Parameter(weight.new_zeros(len(weight), rank, *ones))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))
        must_be_called(self.train(base.training))

    @property
    def scaling(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank

    def forward(self, x: Tensor) -> Tensor:
        seen = self.base.effective_input(x) if isinstance(self.base, QuantLayer) else x
        seen = functional.dropout(seen, self.dropout, self.training)
        out: Tensor = self.base(x) + self.scaling * self._correction(seen)
        return out

    def _correction(self, x: Tensor) -> Tensor:
        if self.lora_a.dim() == 2:
            return functional.linear(functional.linear(x, self.lora_a), self.lora_b)
        base, convolve = self.base, _CONVOLVE[self.lora_a.dim() - 3]
        inner: Tensor = base._conv_forward(x, self.lora_a, None)
        out: Tensor = convolve(inner, self.lora_b, groups=base.groups)
        return out

    @torch.no_grad()
    def delta(self) -> Tensor:
        """(alpha / r) B A: what the adapter adds to the weight. The shape of the weight."""
        a = self.lora_a.reshape(self.groups, self.rank, -1)
        b = self.lora_b.reshape(self.groups, -1, self.rank)
        return self.scaling * (b @ a).reshape(self.base.weight.shape)

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """One layer with the same outputs (dropout aside), without the adapter.

        A float base gives its own class. A quantized one gives the plain class where its input is float,
        else a quantized layer with the same input quantizer and a float weight: the sum lies on no grid. A
        mask is gone: the correction fills its zeros.
        """
        base: Any = copy.deepcopy(self.base)
        if not isinstance(base, QuantLayer):
            base.weight += self.delta()
            result: nn.Module = base
            return result
        plain: Any = _plain(base)
        plain.weight.copy_(base.effective_weight() + self.delta())
        bias = base.effective_bias()
        if bias is not None:
            plain.bias.copy_(bias)
        if base.input_quantizer is None:
            result = plain
            return result
        merged: nn.Module = from_float(plain, LayerChoice())
        merged.input_quantizer = base.input_quantizer
        return merged

    def extra_repr(self) -> str:
        return f"rank={self.rank}, alpha={self.alpha:g}"


def add_lora(
    model: nn.Module,
    example: Any,
    *,
    rank: int = 4,
    alpha: float | None = None,
    layers: str | Iterable[str] | None = None,
    skip: str | Iterable[str] = (),
    train: str | Iterable[str] = (),
    dropout: float = 0.0,
    seed: int = 0,
) -> tuple[nn.Module, RewriteReport]:
    """A copy of the model that trains by its adapters alone; its outputs are unchanged at first.

    Every other parameter is frozen, batch norms with their running statistics too. The copy trains with
    `finetune` or any other loop.

    Args:
        model: not changed; float, or quantized by `apply` (calibrate it first).
        example: its input, or a tuple of them; its shape decides the MACs.
        rank: r.
        alpha: the correction counts alpha / r; None is r.
        layers: names or shell patterns of the layers that get an adapter; None is every linear layer and
            convolution.
        skip: names or shell patterns of those that do not.
        train: names or shell patterns of modules or parameters that train as well, such as `fc` or `*.bias`.
        dropout: of the adapters' input, while training.
        seed: of A.

    Returns:
        The copy, and the report with its trainable parameters.

    Raises:
        ConfigError: a name matches nothing, the model has adapters already, or a value is out of range.
    """
    if not is_integer(rank, 1):
        raise ConfigError(f"rank must be an integer >= 1, but got {rank!r}")
    if alpha is not None and not 0 < alpha < math.inf:
        raise ConfigError(f"`alpha > 0` must hold, but got alpha={alpha!r}")
    if not 0 <= dropout < 1:
        raise ConfigError(f"`0 <= dropout < 1` must hold, but got dropout={dropout!r}")
    result = copied(model)
    selection = select_layers(result, ADAPTABLE, lambda _: None, layers, skip)
    spec = LoRASpec(rank=rank, alpha=float(rank if alpha is None else alpha), dropout=dropout)
    trained = parameters_named(result, train)
    notes = {
        name: (describe(layer), f"{describe(layer)} + LoRA({rank})", 0.0)
        for name, layer in selection.layers.items()
    }
    result = adapt(result, dict.fromkeys(selection.layers, spec), trained, seed)
    return result, make_report(model, result, example, notes, selection.skipped)


@dataclass(frozen=True, kw_only=True)
class LoRASpec:
    """An adapter: rank r, alpha, and dropout of its input."""

    rank: int
    alpha: float
    dropout: float = 0.0


def adapt(model: nn.Module, specs: Mapping[str, LoRASpec], trained: Iterable[str], seed: int = 0) -> nn.Module:
    """Wrap layers and freeze the rest, in place.

    Args:
        model: without adapters.
        specs: layer name -> its adapter.
        trained: names of parameters that stay trainable.
        seed: of A.

    Raises:
        ConfigError: the model has adapters already.
    """
    if any(isinstance(module, LoRALayer) for module in model.modules()):
        raise ConfigError("the model has LoRA adapters already. Merge them first: merge_lora(model).")
    kept = [model.get_parameter(name) for name in trained]
    model.requires_grad_(False)
    wrapped: dict[nn.Module, nn.Module] = {}
    for position, (name, spec) in enumerate(specs.items()):
        base = model.get_submodule(name)
        wrapped[base] = seeded(seed + position, partial(LoRALayer, base, spec.rank, spec.alpha, spec.dropout))
    for parameter in kept:
        parameter.requires_grad_(True)
    return freeze_norms(replace_modules(model, wrapped))


def merge_lora(model: nn.Module) -> nn.Module:
    """A copy without adapters: plain layers with the same outputs, everything trainable again.

    Args:
        model: of `add_lora`, trained or not; not changed.

    Raises:
        ConfigError: it has no adapter.
    """
    result = copied(model)
    adapters = dict(lora_layers(result))
    if not adapters:
        raise ConfigError("the model has no LoRA adapter to merge")
    result = replace_modules(result, {layer: layer.merged() for layer in adapters.values()})
    return thaw_norms(result).requires_grad_(True)


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoRALayer]]:
    """(name, adapter) of every adapted layer, each module once."""
    for name, module in model.named_modules():
        if isinstance(module, LoRALayer):
            yield name, module


def _plain(base: Any) -> nn.Module:
    """A float layer like a quantized one, its weights to be filled in."""
    new: nn.Module
    if isinstance(base, nn.Linear):
        new = seeded(0, lambda: nn.Linear(base.in_features, base.out_features, base.bias is not None))
    else:
        new = seeded(0, lambda: convolution_like(base))
    return in_place_of(base, new)
