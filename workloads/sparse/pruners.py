"""Pruning while training: masks that follow a schedule and hold after every step.

After the optimizer's step a pruned weight is exactly zero, and so is what the optimizer remembers of it
(momentum, second moments): weight decay and old gradients cannot bring it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from hwmodel.network.layer import parse_pattern
from workloads.compress.config import LayerChoice
from workloads.compress.layers import QuantLayer
from workloads.compress.prune import build_mask
from workloads.compress.pruning.groups import ChannelGroup
from workloads.compress.pruning.masks import get_masks, global_masks, raw_weight, set_masks, weight_layers
from workloads.compress.pruning.select import Scope, select_channels
from workloads.compress.pruning.slicing import mask_channels, parameter_masks, plan_cuts
from workloads.compress.pruning.sparse_layers import SparseLayer
from workloads.sparse.schedules import PruneSchedule
from workloads.training.hooks import TrainHook


class MaskHook(TrainHook):
    """Holds parameters at zero where their masks say so; `masks` may be set at any time.

    Args:
        masks: parameter name -> bool of its shape, False is pruned.
    """

    def __init__(self, masks: dict[str, Tensor] | None = None) -> None:
        self.masks = dict(masks or {})

    @torch.no_grad()
    def hold(self, model: nn.Module) -> None:
        """Set what is pruned to zero."""
        for name, parameter, mask in self._masked(model):
            self.masks[name] = mask
            parameter.mul_(mask)

    @torch.no_grad()
    def after_step(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _, parameter, mask in self._masked(model):
            parameter.mul_(mask)
            for value in optimizer.state.get(parameter, {}).values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value.mul_(mask)

    def state(self) -> dict[str, Any]:
        return {"masks": self.masks}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        self.masks = {name: mask.to(device) for name, mask in state["masks"].items()}

    def _masked(self, model: nn.Module) -> list[tuple[str, Tensor, Tensor]]:
        found: list[tuple[str, Tensor, Tensor]] = []
        for name, mask in self.masks.items():
            parameter = model.get_parameter(name)
            found.append((name, parameter, mask.to(parameter.device)))
        return found


class MagnitudePruner(MaskHook):
    """Prunes the smallest weights (or filters by their L1 norm) as a schedule says.

    It prunes plain, sparse and compressed layers alike; a mask that a sparse or compressed layer has
    already stays in force, and the new one goes into it. What is pruned stays pruned.

    Args:
        schedule: sparsity by epoch.
        pattern: `unstructured`, `filter`, or `N:M`, whose density the schedule then only switches on.
        scope: of `unstructured`: `layer` prunes each to the same sparsity, `global` all weights together.
        layers: module names; None is all convolutions and linear layers.

    Raises:
        ConfigError: an unknown pattern or scope.
    """

    def __init__(
        self,
        schedule: PruneSchedule,
        *,
        pattern: str = "unstructured",
        scope: str = "layer",
        layers: Iterable[str] | None = None,
    ) -> None:
        super().__init__()
        LayerChoice(pattern=pattern)
        if scope not in ("layer", "global") or (scope == "global" and pattern != "unstructured"):
            raise ConfigError(
                f"scope must be 'layer', or 'global' with 'unstructured', but got {scope!r} with {pattern!r}"
            )
        self.schedule, self.pattern, self.scope = schedule, pattern, scope
        self.layers = None if layers is None else tuple(layers)
        self._reached = 0.0

    def before_epoch(self, model: nn.Module, epoch: int) -> None:
        sparsity = self.schedule.sparsity(epoch)
        if sparsity > self._reached:
            self._reached = sparsity
            self.prune(model, sparsity)

    def state(self) -> dict[str, Any]:
        return super().state() | {"reached": self._reached}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        super().restore(state, device)
        self._reached = state["reached"]

    @torch.no_grad()
    def prune(self, model: nn.Module, sparsity: float) -> None:
        """Prune now, on the weights as they are. In place.

        Raises:
            ConfigError: a layer that does not exist, or a pattern that does not fit; the message names it.
        """
        layers = weight_layers(model, self.layers)
        old = get_masks(model)
        weights = {name: raw_weight(module) for name, module in layers.items()}
        weights |= {name: weights[name] * old[name] for name in weights if name in old}
        masks = global_masks(weights, 1 - sparsity) if self.scope == "global" else {}
        for name, module in layers.items():
            mask = masks[name] if masks else self._layer_mask(name, module, weights[name], 1 - sparsity)
            if name in old:
                mask = mask & old[name]
            self._put(model, name, module, mask.expand_as(weights[name]))
        self.hold(model)

    def _layer_mask(self, name: str, module: nn.Module, weight: Tensor, density: float) -> Tensor:
        is_block = parse_pattern(self.pattern) is not None
        choice = LayerChoice(density=1.0 if is_block else density, pattern=self.pattern)
        try:
            mask = build_mask(weight, choice, int(getattr(module, "groups", 1)))
        except ConfigError as error:
            raise ConfigError(f"{name!r}: {error} Name the layers that are to be pruned.") from None
        return torch.ones_like(weight, dtype=torch.bool) if mask is None else mask

    def _put(self, model: nn.Module, name: str, module: nn.Module, mask: Tensor) -> None:
        if isinstance(module, QuantLayer | SparseLayer):
            set_masks(model, {name: mask})
        self.masks[f"{name}.weight"] = mask
        if self.pattern == "filter" and isinstance(module.bias, Tensor):
            self.masks[f"{name}.bias"] = mask.flatten(1).any(1)


class ChannelPruner(MaskHook):
    """Removes whole channels of coupled groups as a schedule says: filters, biases, norms and readers at once.

    After the training `slice_channels(model, groups, pruner.keep, example)` is the small model with the
    same outputs.

    Args:
        groups: of `channel_groups`.
        schedule: sparsity of the channels by epoch.
        scope, multiple: of `select_channels`.
    """

    def __init__(
        self, groups: Sequence[ChannelGroup], schedule: PruneSchedule, *, scope: Scope = "group", multiple: int = 1
    ) -> None:
        super().__init__()
        self.groups, self.schedule, self.scope, self.multiple = tuple(groups), schedule, scope, multiple
        self.keep: dict[str, tuple[int, ...]] = {}
        self._reached = 0.0

    def before_epoch(self, model: nn.Module, epoch: int) -> None:
        sparsity = self.schedule.sparsity(epoch)
        if sparsity > self._reached:
            self._reached = sparsity
            self.keep = select_channels(model, self.groups, 1 - sparsity, scope=self.scope, multiple=self.multiple)
            mask_channels(model, self.groups, self.keep)
            self.masks = parameter_masks(model, plan_cuts(self.groups, self.keep))

    def state(self) -> dict[str, Any]:
        return super().state() | {"reached": self._reached, "keep": self.keep}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        super().restore(state, device)
        self._reached = state["reached"]
        self.keep = {name: tuple(kept) for name, kept in state["keep"].items()}
