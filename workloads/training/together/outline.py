"""Which models can train as one: those whose structure is the same, so that they differ in numbers alone.

Widths, masks, steps, weights and statistics are tensors, and may differ. What Python decides (the class of a module
or of a quantizer, a stride, a shape) must be one for all: a forward pass that runs once follows one path.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workloads.compress.layers import COMPRESSIBLE, OwnForward, QuantLayer
from workloads.compress.quantizers import ActivationQuantizer, Quantizer
from workloads.compress.replacing import is_hooked
from workloads.compress.tied import TiedEmbedding, partners
from workloads.training.settings import CONTIGUOUS, TrainSettings

#: Settings that may differ between candidates that train as one.
OWN_SETTINGS = (
    "lr", "weight_decay", "schedule", "warmup_epochs", "milestones", "gamma", "lr_floor", "clip_norm", "seed",
    "data_seed",
)  # fmt: skip
_INTERNAL = frozenset(vars(nn.Module())) | {"training", "_compiled_call_impl"}
#: Of a compressed layer: what its tensors say, or what only setting a grid needs.
_OF_LAYERS = frozenset({"choice", "pattern", "input_quantizer", "weight_quantizer", "_owner"})
#: Of a quantizer: what its gradients and its rounding follow.
_OF_QUANTIZERS = ("kind", "axis", "rounding", "symmetric", "follows")


@dataclass(frozen=True)
class Outline:
    """The structure of a model and its training.

    Attributes:
        fixed: what must be equal: settings, and by module class, attributes and shapes.
        open: what a candidate may lack: quantizers, masks of filters beside a bias. None fits any.
    """

    fixed: Mapping[str, Any]
    open: Mapping[str, Any]

    def joined(self, other: Outline) -> Outline | None:
        """That of both together; None where they cannot train as one."""
        if self.fixed != other.fixed:
            return None
        for name, value in self.open.items():
            if value is not None and other.open[name] is not None and value != other.open[name]:
                return None
        return Outline(
            self.fixed, {name: other.open[name] if value is None else value for name, value in self.open.items()}
        )


def reason_apart(model: nn.Module, settings: TrainSettings) -> str:
    """Why a candidate trains alone whatever the others are; "" if nothing known speaks against company."""
    how = _reason_of_settings(settings)
    if how:
        return how
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        return "nothing is trained"
    if len({p.dtype for p in trained}) > 1 or trained[0].dtype not in (torch.float32, torch.float64):
        return "its parameters are not all float32, or all float64"
    for name, module in model.named_modules():
        why = _reason_of(module)
        if why:
            return f"{name!r} {why}"
    return ""


def _reason_of_settings(settings: TrainSettings) -> str:
    if settings.amp != "off":
        return f"amp={settings.amp!r} rounds each candidate's products in its own way"
    if settings.memory_format != CONTIGUOUS:
        return f"memory_format={settings.memory_format!r} is of the images of one network"
    return "compile=True compiles each candidate alone" if settings.compile else ""


def _reason_of(module: nn.Module) -> str:
    if is_hooked(module) or module._compiled_call_impl is not None:
        return "has hooks, or is compiled"
    if isinstance(module, OwnForward):
        return "is a layer with a forward of its own"
    if isinstance(module, Quantizer) and module.rounding == "stochastic":
        return "rounds stochastically, by draws that every candidate makes for itself"
    if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
        return "drops values, by draws that every candidate makes for itself"
    if isinstance(module, ActivationQuantizer) and (module.observer is not None or not bool(module.calibrated)):
        return "is not calibrated, and takes its range from the first batch"
    return ""


def outline(model: nn.Module, settings: TrainSettings) -> Outline:
    """The structure of a candidate."""
    names = {id(module): name for name, module in model.named_modules()}
    own = settings.to_dict()
    fixed: dict[str, Any] = {"settings": {key: own[key] for key in own if key not in OWN_SETTINGS}}
    fixed["momentum"] = settings.momentum
    choices: dict[str, Any] = {}
    for name, module in model.named_modules():
        if isinstance(module, Quantizer):
            continue
        fixed[name] = _piece(module, names)
        if isinstance(module, COMPRESSIBLE):
            choices |= {f"{name}.{key}": value for key, value in _choices(module).items()}
            if len(partners(model, module.get_parameter("weight"))) > 1:
                fixed[f"{name}, shared"] = (type(module), *_choices(module).values())
    return Outline(fixed, choices)


def _piece(module: nn.Module, names: Mapping[int, str]) -> tuple[Any, ...]:
    """Class, plain attributes, and the shapes of what the module itself holds."""
    kind: type[nn.Module] = type(module)
    left_out: frozenset[str] = frozenset()
    if isinstance(module, (QuantLayer, TiedEmbedding)):
        kind = next((plain for plain in COMPRESSIBLE if isinstance(module, plain)), kind)
        left_out = _OF_LAYERS
    attributes = {
        key: _comparable(value, names)
        for key, value in vars(module).items()
        if key not in _INTERNAL and key not in left_out
    }
    tensors = {
        key: (tuple(value.shape), value.dtype, value.requires_grad)
        for held in (module._parameters, module._buffers)
        for key, value in held.items()
        if value is not None and not (key == "mask" and isinstance(module, QuantLayer))
    }
    return kind, attributes, tensors


def _choices(module: nn.Module) -> dict[str, Any]:
    """What a compressed layer may have and its float counterpart has not."""
    if not isinstance(module, QuantLayer):
        return {"input": None, "weight": None, "bias": None}
    masked = module.mask is not None and getattr(module, "bias", None) is not None
    return {
        "input": _rounding(module.input_quantizer),
        "weight": _rounding(module.weight_quantizer),
        "bias": module.pattern == "filter" if masked else None,
    }


def _rounding(quantizer: Quantizer | None) -> tuple[Any, ...] | None:
    if quantizer is None:
        return None
    shapes: dict[str, Any] = {key: (tuple(p.shape), p.requires_grad) for key, p in quantizer.named_parameters()}
    shapes |= {key: (tuple(b.shape), b.dtype) for key, b in quantizer.named_buffers()}
    return type(quantizer), *(getattr(quantizer, name, None) for name in _OF_QUANTIZERS), shapes


_PLAIN = (
    bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size, enum.Enum, type,
    types.FunctionType, types.BuiltinFunctionType,
)  # fmt: skip


def _comparable(value: Any, names: Mapping[int, str]) -> Any:
    """Equal where two attributes mean the same; what cannot be told is equal to nothing."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, list | tuple):
        return type(value), [_comparable(item, names) for item in value]
    if isinstance(value, dict):
        return {key: _comparable(item, names) for key, item in value.items()}
    if isinstance(value, nn.Module) and id(value) in names:
        return "module", names[id(value)]
    if isinstance(value, Tensor) and value.numel() <= 1024 and not value.requires_grad:
        return "tensor", value.dtype, value.tolist()
    return object()
