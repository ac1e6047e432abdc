"""What is to be traced: the model, its inputs by name, and the checks before anything runs."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import GeneratorType
from typing import Any

import torch
from torch import nn

from hwmodel.errors import TraceError
from hwmodel.network.names import times
from workloads.tracing.inputs import Inputs, find_inputs, find_tensors, map_tensors
from workloads.tracing.scope import ModuleNames
from workloads.wrappers import unwrapped


@dataclass(frozen=True, kw_only=True)
class Request:
    """A model and its inputs.

    Attributes:
        model: the module, without `torch.compile` or `DataParallel` around it.
        inputs: of its forward.
        names: of its modules.
        graph_name: of the graph.
    """

    model: nn.Module
    inputs: Inputs
    names: ModuleNames
    graph_name: str

    @property
    def is_meta(self) -> bool:
        """The model has shapes but no numbers."""
        return _is_meta(self.model)


def make_request(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str | None) -> Request:
    """Check the model and its inputs.

    Raises:
        TraceError: not a module, parameters without a shape yet, arguments that its forward does
            not take, or an input with a dim of zero.
    """
    if not isinstance(model, nn.Module):
        raise TraceError(f"trace needs a torch.nn.Module, but got {type(model).__name__}: wrap it in a module.")
    model = unwrapped(model)
    _check_model(model)
    bound = _bind(model, args, kwargs)
    ordered = {key: kwargs[key] for key in bound if key in kwargs}
    ordered.update({key: value for key, value in kwargs.items() if key not in ordered})
    args, ordered = _on_device((tuple(args), ordered), model)
    inputs = find_inputs(args, ordered, [key for key in bound if key not in ordered])
    for leaf_name, leaf in zip(inputs.names, inputs.tensors, strict=True):
        if leaf.numel() == 0:
            raise TraceError(
                f"input {leaf_name!r}: every dim must be >= 1, but its shape is {tuple(leaf.shape)}. "
                "Give an example with at least one element."
            )
    return Request(model=model, inputs=inputs, names=ModuleNames(model), graph_name=name or type(model).__name__)


def _check_model(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            place = f"module {name!r}" if name else "the model"
            raise TraceError(
                f"{place} is TorchScript ({module.original_name}), which has no Python forward to follow: trace "
                "the nn.Module that it was made from."
            )
    for key, parameter in model.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter):
            raise TraceError(f"{key} has no shape yet (a lazy module): run the model once on an example first.")


def _bind(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by the parameter names of forward; `*args` as `args.0`, ..."""
    try:
        signature = inspect.signature(model.forward)
    except ValueError:  # a compiled forward without a signature
        return {f"input.{index}": arg for index, arg in enumerate(args)} | dict(kwargs)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        called = f"{type(model).__name__}.forward{_short(signature)}"
        raise TraceError(f"{called} cannot be called with {_given(args, kwargs)}: {error}") from error
    flat: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            flat.update({name if len(value) == 1 else f"{name}.{i}": item for i, item in enumerate(value)})
        elif kind is inspect.Parameter.VAR_KEYWORD:
            flat.update(value)
        else:
            flat[name] = value
    return flat


def _given(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """`1 example argument` or `2 example arguments and mask=`, as they were given."""
    words = [times(len(args), "example argument")] if args or not kwargs else []
    words += [", ".join(f"{name}=" for name in kwargs)] if kwargs else []
    return " and ".join(words)


def _short(signature: inspect.Signature) -> str:
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(inspect.Signature(plain))


def _on_device(inputs: tuple[tuple[Any, ...], dict[str, Any]], model: nn.Module) -> tuple[Any, Any]:
    """Inputs go to the device of the model: counts do not depend on it, and on meta shapes are all there is."""
    devices = {parameter.device for parameter in model.parameters()}
    device = torch.device("meta") if _is_meta(model) else devices.pop() if len(devices) == 1 else None
    if device is None or all(tensor.device == device for tensor in find_tensors(inputs)):
        return inputs
    moved = map_tensors(inputs, lambda _, tensor: tensor.to(device))
    return moved[0], moved[1]


def _is_meta(model: nn.Module) -> bool:
    return any(parameter.device.type == "meta" for parameter in model.parameters())


def named_outputs(output: Any) -> list[tuple[str, torch.Tensor]]:
    """Tensors of an output with their names: containers by index or key, other objects by attribute.

    Raises:
        TraceError: a generator, whose ops have not run yet.
    """
    found: list[tuple[str, torch.Tensor]] = []
    _collect("output", output, found, seen=set())
    return found


def _collect(name: str, value: Any, found: list[tuple[str, torch.Tensor]], seen: set[int]) -> None:
    if isinstance(value, torch.Tensor):
        found.append((name, value))
        return
    if isinstance(value, GeneratorType):
        raise TraceError(
            f"{name} is a generator, whose ops run only when it is read: return a list or a tuple from forward."
        )
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [(str(index), item) for index, item in enumerate(value)]
    elif dataclasses.is_dataclass(value):
        items = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif hasattr(value, "__dict__") and not isinstance(value, (type, nn.Module)):
        items = list(vars(value).items())
    else:
        return
    for key, item in items:
        _collect(f"{name}.{key}", item, found, seen)
