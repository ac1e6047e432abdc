"""What stays as it is while the rest trains: parameters, and batch norms with their running statistics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from torch import nn

from hwmodel.network.patterns import matching
from workloads.compress.replacing import replace_modules
from workloads.wrappers import copied


class FrozenNorm(nn.Module):
    """A batch norm that never leaves eval mode: its running statistics neither move nor are bypassed."""

    def train(self, mode: bool = True) -> Self:
        return super().train(False)


class FrozenBatchNorm1d(FrozenNorm, nn.BatchNorm1d):
    """`nn.BatchNorm1d` in eval mode."""


class FrozenBatchNorm2d(FrozenNorm, nn.BatchNorm2d):
    """`nn.BatchNorm2d` in eval mode."""


class FrozenBatchNorm3d(FrozenNorm, nn.BatchNorm3d):
    """`nn.BatchNorm3d` in eval mode."""


_FROZEN: dict[type[nn.Module], type[Any]] = {
    nn.BatchNorm1d: FrozenBatchNorm1d,
    nn.BatchNorm2d: FrozenBatchNorm2d,
    nn.BatchNorm3d: FrozenBatchNorm3d,
}


def freeze(model: nn.Module, train: str | Iterable[str], *, norms: bool = True) -> nn.Module:
    """A copy that trains by some of its parameters alone.

    Args:
        model: not changed.
        train: names or shell patterns of the modules or parameters that train, such as `fc` or `layer3.*`.
        norms: batch norms without a trained parameter keep their running statistics too; without, these go on
            to follow the data in train mode.

    Raises:
        ConfigError: a name matches nothing.
    """
    result = copied(model)
    kept = [result.get_parameter(name) for name in parameters_named(result, train)]
    result.requires_grad_(False)
    for parameter in kept:
        parameter.requires_grad_(True)
    return freeze_norms(result) if norms else result


def thaw(model: nn.Module) -> nn.Module:
    """A copy in which everything trains again, running statistics included."""
    return thaw_norms(copied(model)).requires_grad_(True)


def parameters_named(model: nn.Module, patterns: str | Iterable[str]) -> list[str]:
    """Names of the parameters that patterns meet, themselves or by their module.

    Raises:
        ConfigError: a pattern meets nothing.
    """
    parameters = [name for name, _ in model.named_parameters()]
    owners = [name for name, _ in model.named_modules() if name]
    met = matching(patterns, [*owners, *parameters], "modules and parameters") if patterns else []
    return [name for name in parameters if any(f"{name}.".startswith(f"{chosen}.") for chosen in met)]


def freeze_norms(model: nn.Module) -> nn.Module:
    """Freeze every batch norm without a trainable parameter, in place; those without statistics are left."""
    norms: list[Any] = [m for m in model.modules() if type(m) in _FROZEN]
    chosen = [m for m in norms if m.track_running_stats and not any(p.requires_grad for p in m.parameters())]
    return replace_modules(model, {norm: _copied(norm, _FROZEN[type(norm)]) for norm in chosen})


def thaw_norms(model: nn.Module) -> nn.Module:
    """Ordinary batch norms in the place of frozen ones, in place, in the mode of the model."""
    plain = {frozen: kind for kind, frozen in _FROZEN.items()}
    norms = [m for m in model.modules() if isinstance(m, FrozenNorm)]
    model = replace_modules(model, {norm: _copied(norm, plain[type(norm)]) for norm in norms})
    return model.train(model.training)


def _copied(norm: Any, kind: type[Any]) -> nn.Module:
    """A norm of another class around the same parameters and buffers."""
    new: nn.Module = kind(norm.num_features, norm.eps, norm.momentum, norm.affine)
    for name, parameter in norm.named_parameters():
        new.register_parameter(name, parameter)
    for name, buffer in norm.named_buffers():
        new.register_buffer(name, buffer)
    return new.train(norm.training)
