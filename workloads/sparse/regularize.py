"""Sparse optimisation of a network's layers: `loss + gamma * penalty(layers)`, proximal steps, ADMM."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, check_one_of
from workloads.compress.pruning.masks import raw_weight, weight_layers
from workloads.sparse.penalties import Penalty, penalty
from workloads.sparse.proximal import Prox, project_sparse
from workloads.training.hooks import TrainHook
from workloads.training.inputs import SplitLike
from workloads.training.loop import finetune
from workloads.training.measuring import measure_accuracy
from workloads.training.settings import TrainSettings

if TYPE_CHECKING:
    import pandas as pd

#: Weight, name of its layer -> the nearest allowed weight, the same shape.
Projection = Callable[[Tensor, str], Tensor]


def penalty_of(model: nn.Module, chosen: Penalty, layers: Iterable[str] | None = None) -> Tensor:
    """Sum of a penalty over the weights of layers; 0-dim, with gradients.

    Args:
        model: its convolutions and linear layers, plain or compressed.
        chosen: of `penalty`.
        layers: module names, such as `["conv1"]`; None is all.

    Raises:
        ConfigError: a name is no such layer.
    """
    values = [chosen.value(raw_weight(module)) for module in weight_layers(model, layers).values()]
    return torch.stack(values).sum()


class PenaltyHook(TrainHook):
    """`loss + gamma * penalty(layers)`, by (sub-)gradients: weights come near zero, few reach it.

    Args:
        gamma: >= 0.
        chosen: of `penalty`.
        layers: module names; None is all convolutions and linear layers.

    Raises:
        ConfigError: a negative gamma, or a penalty without gradient.
    """

    def __init__(self, gamma: float, chosen: Penalty, layers: Iterable[str] | None = None) -> None:
        _check_gamma(gamma)
        if not chosen.has_gradient:
            raise ConfigError(f"penalty {chosen.name!r} has no gradient. Use ProximalHook.")
        self.gamma, self.chosen = gamma, chosen
        self.layers = None if layers is None else tuple(layers)

    def extra_loss(self, model: nn.Module) -> Tensor:
        return self.gamma * penalty_of(model, self.chosen, self.layers)


class ProximalHook(TrainHook):
    """Proximal gradient: after every step the weights go through prox with t = lr * gamma; zeros are exact.

    With `prox=lambda w, t: project_sparse(w, kept)` this is iterative hard thresholding.

    Args:
        gamma: >= 0.
        prox: of `workloads.sparse.proximal`, or a `Penalty`'s.
        layers: module names; None is all convolutions and linear layers.

    Raises:
        ConfigError: a negative gamma.
    """

    def __init__(self, gamma: float, prox: Prox, layers: Iterable[str] | None = None) -> None:
        _check_gamma(gamma)
        self.gamma, self.prox = gamma, prox
        self.layers = None if layers is None else tuple(layers)

    @torch.no_grad()
    def after_step(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        t = float(optimizer.param_groups[0]["lr"]) * self.gamma
        for module in weight_layers(model, self.layers).values():
            weight = raw_weight(module)
            weight.copy_(self.prox(weight, t))


class AdmmHook(TrainHook):
    """ADMM towards a set: loss + rho/2 |W - Z + U|^2, Z = projection(W + U), U += W - Z after `every` epochs.

    After the training the weights are projected, so that they lie in the set.

    Args:
        projection: such as `sparse_projection` or `grid_projection`.
        rho: > 0.
        layers: module names; None is all convolutions and linear layers.
        every: epochs between two updates of Z and U.

    Raises:
        ConfigError: a value out of its range.

    Source: Zhang et al., A Systematic DNN Weight Pruning Framework using ADMM, ECCV 2018, section 3;
    for grids Leng et al., Extremely Low Bit Neural Network, AAAI 2018.
    """

    def __init__(
        self, projection: Projection, *, rho: float = 1e-3, layers: Iterable[str] | None = None, every: int = 1
    ) -> None:
        if not rho > 0 or every < 1:
            raise ConfigError(f"`rho > 0` and `every >= 1` must hold, but got rho={rho!r}, every={every!r}")
        self.projection, self.rho, self.every = projection, rho, every
        self.layers = None if layers is None else tuple(layers)
        self.targets: dict[str, Tensor] = {}
        self.duals: dict[str, Tensor] = {}

    @torch.no_grad()
    def before_epoch(self, model: nn.Module, epoch: int) -> None:
        if self.targets and (epoch - 1) % self.every:
            return
        for name, module in weight_layers(model, self.layers).items():
            weight = raw_weight(module)
            if name in self.targets:
                self.duals[name] += weight - self.targets[name]
            else:
                self.duals[name] = torch.zeros_like(weight)
            self.targets[name] = self.projection(weight + self.duals[name], name)

    def extra_loss(self, model: nn.Module) -> Tensor:
        layers = weight_layers(model, self.layers)
        gaps = [(raw_weight(m) - self.targets[n] + self.duals[n]).square().sum() for n, m in layers.items()]
        return torch.stack(gaps).sum() * (self.rho / 2)

    def state(self) -> dict[str, Any]:
        return {"targets": self.targets, "duals": self.duals}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        self.targets = {name: target.to(device) for name, target in state["targets"].items()}
        self.duals = {name: dual.to(device) for name, dual in state["duals"].items()}

    @torch.no_grad()
    def after_training(self, model: nn.Module) -> None:
        for name, module in weight_layers(model, self.layers).items():
            weight = raw_weight(module)
            weight.copy_(self.projection(weight, name))


def sparse_projection(density: float | Mapping[str, float]) -> Projection:
    """The nearest weight with that share of non-zeros, one for all layers or by name.

    Raises:
        ConfigError: a density outside (0, 1].
    """
    values = density if isinstance(density, Mapping) else {"": density}
    for value in values.values():
        if not 0 < value <= 1:
            raise ConfigError(f"`0 < density <= 1` must hold, but got density={value!r}")

    def project(weight: Tensor, name: str) -> Tensor:
        share = values.get(name, values.get("", 1.0))
        return project_sparse(weight, max(1, int(weight.numel() * share + 0.5)))

    return project


def grid_projection(bits: int) -> Projection:
    """The nearest weight on the symmetric grid step * {-(2^(b-1) - 1) .. 2^(b-1) - 1}, the step by least squares.

    The step and the codes are found in turns, each exact for the other (Leng et al., AAAI 2018, section 3).

    Raises:
        ConfigError: fewer than 2 bits.
    """
    if bits < 2:
        raise ConfigError(f"`bits >= 2` must hold for a grid with zero, but got bits={bits}")
    top = 2 ** (bits - 1) - 1

    def project(weight: Tensor, name: str) -> Tensor:
        step = weight.abs().max() / top
        codes = torch.zeros_like(weight)
        for _ in range(20):
            if not step > 0:
                return torch.zeros_like(weight)
            codes = (weight / step).round().clamp(-top, top)
            step = (weight * codes).sum() / codes.square().sum().clamp_min(1)
        return codes.mul(step)

    return project


def sweep_gamma(
    model: nn.Module,
    train: SplitLike,
    validation: SplitLike,
    settings: TrainSettings,
    gammas: Sequence[float],
    *,
    chosen: Penalty | None = None,
    layers: Iterable[str] | None = None,
    method: Literal["gradient", "proximal"] = "gradient",
    threshold: float = 1e-3,
    device: str | torch.device | None = None,
) -> pd.DataFrame:
    """Finetune a copy of the model with each gamma: what the penalty buys and what it costs.

    Args:
        model: not changed.
        train, validation: splits.
        settings: of every finetuning.
        gammas: weights of the penalty.
        chosen: of `penalty`; None is L1.
        layers: module names that are penalised, such as the first convolution only; None is all.
        method: `gradient` adds gamma * penalty to the loss, `proximal` uses the proximal operator.
        threshold: weights up to this share of the largest of their layer count as zero (subgradients
            come near zero, and rarely reach it).
        device: None is CUDA where there is one, else the CPU.

    Returns:
        One row per gamma: gamma, penalty, density (of the penalised layers), accuracy (validation).

    Raises:
        ConfigError: an unknown layer, or a penalty that the method cannot use.
    """
    import pandas as pd

    chosen = penalty("l1") if chosen is None else chosen
    names = None if layers is None else tuple(layers)
    rows = []
    for gamma in gammas:
        trained = copy.deepcopy(model)
        hook = _hook(gamma, chosen, names, method)
        finetune(trained, train, settings, device=device, hooks=[hook])
        rows.append({
            "gamma": gamma,
            "penalty": float(penalty_of(trained, chosen, names).detach()),
            "density": _density(trained, names, threshold),
            "accuracy": measure_accuracy(trained, validation, memory_format=settings.memory_format).value,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _hook(gamma: float, chosen: Penalty, layers: tuple[str, ...] | None, method: str) -> TrainHook:
    check_one_of("method", method, ("gradient", "proximal"))
    if method == "gradient":
        return PenaltyHook(gamma, chosen, layers)
    if chosen.prox is None:
        raise ConfigError(f"penalty {chosen.name!r} has no proximal operator. Use method='gradient'.")
    return ProximalHook(gamma, chosen.prox, layers)


def _density(model: nn.Module, layers: tuple[str, ...] | None, threshold: float) -> float:
    kept = total = 0
    for module in weight_layers(model, layers).values():
        sizes = raw_weight(module).detach().abs()
        kept += int((sizes > threshold * sizes.max()).sum())
        total += sizes.numel()
    return kept / total


def _check_gamma(gamma: float) -> None:
    if not gamma >= 0:
        raise ConfigError(f"`gamma >= 0` must hold, but got gamma={gamma!r}")
