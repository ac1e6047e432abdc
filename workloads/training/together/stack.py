"""K models as one: a template that runs, and every tensor of it with a candidate dim in front."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.network.choice import FLOAT_BITS
from workloads.compress.layers import COMPRESSIBLE, QuantLayer
from workloads.compress.quantizers import DoReFaWeight, Quantizer
from workloads.compress.replacing import replace_modules


class Stack:
    """Models whose outlines join, with their tensors stacked.

    What a candidate lacks is filled in: a quantizer of 32 bits passes its values, a mask of ones keeps them.

    Args:
        models: as they stand; they are not changed before `write_back`.
        unused: parameters that no gradient reaches: an optimizer leaves them alone.

    Attributes:
        template: whose forward runs, on the tensors that it is given.
        trained: (K, P) all trained parameters side by side, those with weight decay first.
        num_decayed: how many of the P decay.
        leaves: name -> (K, ...) views into `trained`, leaves of the gradients.
        held: name -> (K, ...) what is not trained: frozen parameters, buffers.
    """

    def __init__(self, models: Sequence[nn.Module], unused: Collection[str] = ()) -> None:
        self.models = list(models)
        self.template = _template(self.models).train()
        names = [name for name, p in self.template.named_parameters() if p.requires_grad and name not in unused]
        shapes = {name: self.template.get_parameter(name).shape for name in names}
        names.sort(key=lambda name: len(shapes[name]) < 2)
        values = {name: self._stacked(name) for name in names}
        self.num_decayed = sum(shapes[name].numel() for name in names if len(shapes[name]) >= 2)
        self.trained = torch.cat([value.reshape(len(self.models), -1) for value in values.values()], 1)
        parts = torch.split(self.trained, [shapes[name].numel() for name in names], 1)
        self.leaves = {
            name: part.view(len(self.models), *shapes[name]).detach()
            for name, part in zip(names, parts, strict=True)
        }
        for leaf in self.leaves.values():
            leaf.requires_grad_()
        others = [name for name, _ in self.template.named_parameters() if name not in self.leaves]
        others += [name for name, _ in self.template.named_buffers()]
        self.held = {name: self._stacked(name) for name in others}

    def _stacked(self, name: str) -> Tensor:
        like = _held_by(self.template, name)
        assert like is not None
        return torch.stack([self._of(model, name, like) for model in self.models]).detach()

    def _of(self, model: nn.Module, name: str, like: Tensor) -> Tensor:
        """A model's own tensor, or what stands for it."""
        value = _held_by(model, name)
        leaf = name.rpartition(".")[2]
        if value is not None:
            return value.expand_as(like) if leaf == "mask" else value
        if leaf == "mask":
            return torch.ones_like(like)
        return torch.full_like(like, FLOAT_BITS) if leaf == "bits" else like

    def state(self) -> dict[str, Tensor]:
        """Every tensor, trained or not, by the names of the template."""
        return {**self.leaves, **self.held}

    @torch.no_grad()
    def write_back(self, index: int) -> None:
        """Give a model what its candidate has learned."""
        model = self.models[index]
        for name, value in self.state().items():
            own = _held_by(model, name)
            if own is not None and own.shape == value.shape[1:]:
                own.copy_(value[index])


def _held_by(model: nn.Module, name: str) -> Tensor | None:
    """A parameter or buffer by its name; None where the model has none."""
    place, _, leaf = name.rpartition(".")
    module: Any = model
    for part in place.split(".") if place else ():
        module = module._modules.get(part)
        if module is None:
            return None
    held: Tensor | None = module._parameters.get(leaf)
    return held if held is not None else module._buffers.get(leaf)


def _template(models: Sequence[nn.Module]) -> nn.Module:
    """A copy of the first model, with every quantizer and mask that any of them has."""
    template = copy.deepcopy(models[0])
    for name, module in list(template.named_modules()):
        if not isinstance(module, COMPRESSIBLE):
            continue
        rows = [model.get_submodule(name) for model in models]
        layers = [row for row in rows if isinstance(row, QuantLayer)]
        if not layers:
            continue
        if isinstance(module, QuantLayer):
            layer = module
        else:
            layer = copy.deepcopy(layers[0])
            template = replace_modules(template, {module: layer})
        _complete(layer, rows)
    return template


def _complete(layer: QuantLayer, rows: Sequence[nn.Module]) -> None:
    """Fill in what any of the layers in this place has. In place."""
    layers = [row for row in rows if isinstance(row, QuantLayer)]
    for operand in ("input_quantizer", "weight_quantizer"):
        found = [getattr(row, operand, None) for row in rows]
        some = next((quantizer for quantizer in found if quantizer is not None), None)
        if some is None:
            setattr(layer, operand, None)
            continue
        if getattr(layer, operand) is None:
            setattr(layer, operand, copy.deepcopy(some))
        quantizer: Quantizer = getattr(layer, operand)
        widths = [FLOAT_BITS if each is None else int(each.bits) for each in found]
        quantizer.mixed = _is_mixed(quantizer, widths)
    masks = [row.mask for row in layers if row.mask is not None]
    if masks and (len({mask.shape for mask in masks}) > 1 or len(masks) < len(rows)):
        layer.mask = torch.ones_like(layer.weight, dtype=torch.bool)
    if any(row.pattern == "filter" and row.mask is not None for row in layers):
        layer.pattern = "filter"


def _is_mixed(quantizer: Quantizer, widths: Sequence[int]) -> bool:
    """The widths do different things, not the same with other numbers."""
    special = (FLOAT_BITS, 1) if isinstance(quantizer, DoReFaWeight) else (FLOAT_BITS,)
    return any(len({width == one for width in widths}) > 1 for one in special)
