"""Which modules channels can be cut from, judged by what their forwards do, and why not from the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from hwmodel.errors import ConfigError
from workloads.compress.layers import COMPRESSIBLE, OwnForward, QuantLayer
from workloads.compress.own_forward import is_own, own_call
from workloads.compress.pruning.sparse_layers import SparseLayer

_CARRIERS: tuple[type[nn.Module], ...] = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.PReLU,
)  # fmt: skip
_KINDS: tuple[type[nn.Module], ...] = (*COMPRESSIBLE, *_CARRIERS)
_PRODUCTS = frozenset(f"aten::{name}" for name in ("linear", "conv1d", "conv2d", "conv3d", "convolution"))
_NORMS = frozenset(f"aten::{name}" for name in ("batch_norm", "instance_norm", "prelu"))
_NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, kw_only=True)
class OwnModule:
    """A module that runs a forward of its own.

    Attributes:
        name, module: of torch's convolutions, linear layers, norms or PReLU, a subclass.
        apart: whether filters, and input channels, can be cut from the weight that it multiplies by.
    """

    name: str
    module: nn.Module
    apart: tuple[bool, bool]

    def is_called(self, op: str, arguments: Mapping[str, Any]) -> bool:
        """The op is the one that the class stands for, on the tensors of this module."""
        if isinstance(self.module, COMPRESSIBLE):
            return op in _PRODUCTS and arguments["weight"].shape == self.module.weight.shape
        stored = {id(tensor) for tensor in (*self.module._parameters.values(), *self.module._buffers.values())}
        return op in _NORMS and all(id(arguments.get(key)) in stored | {id(None)} for key in _NORM_TENSORS)


@dataclass(frozen=True, kw_only=True)
class Cuttable:
    """The modules of a model with weights along the channels, each once, by name.

    Attributes:
        plain: that compute what torch's class computes, compressed or not.
        own: with a forward of their own.
        refused: name -> why none can be cut.
    """

    plain: dict[str, nn.Module] = field(default_factory=dict)
    own: dict[str, OwnModule] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def cuttable_modules(model: nn.Module) -> Cuttable:
    """Sort the convolutions, linear layers, norms and PReLUs of a model."""
    found, owners = Cuttable(), _owners(model)
    for name, module in model.named_modules():
        if not isinstance(module, _KINDS):
            continue
        why = _refusal(module, owners)
        if why:
            found.refused[name] = f"{name} {why}"
        elif isinstance(module, SparseLayer) or not _runs_its_own(module):
            found.plain[name] = module
        else:
            try:
                found.own[name] = OwnModule(name=name, module=module, apart=_apart(module))
            except ConfigError as error:
                found.refused[name] = f"{name} ({type(module).__name__}) cannot be looked into: {error}"
    return found


def _owners(model: nn.Module) -> Counter[int]:
    return Counter(id(p) for module in model.modules() for p in module._parameters.values() if p is not None)


def _refusal(module: nn.Module, owners: Counter[int]) -> str:
    if isinstance(module, COMPRESSIBLE) and "weight" not in module._parameters:
        return "has a weight that a parametrization or hook computes"
    if isinstance(module, nn.PReLU) and module.num_parameters == 1:
        return "has one slope for all of them"
    if any(owners[id(parameter)] > 1 for parameter in module._parameters.values() if parameter is not None):
        return "shares its weight with another module"
    return "has a forward that was replaced by another function" if "forward" in vars(module) else ""


def _runs_its_own(module: nn.Module) -> bool:
    if isinstance(module, QuantLayer):
        return isinstance(module, OwnForward)
    return is_own(type(module), _KINDS)


def _apart(module: Any) -> tuple[bool, bool]:
    if not isinstance(module, COMPRESSIBLE):
        return True, True
    call = own_call(module, module.own if isinstance(module, OwnForward) else None)
    return call.rows_apart, call.columns_apart
