"""Layers whose forward is their own: what it calls its convolution or linear with is what is compressed.

A subclass may pad its input (timm's `Conv2dSame`), standardise its weight (`StdConv2d`), scale it, or cast it.
Such a forward is left as it is. While it runs, the one call that multiplies is met, and its operands are compressed
there: the padded input, the standardised weight. Whether there is one such call is not read off the type but seen:
the forward runs on numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from hwmodel.errors import ConfigError
from workloads.compress.replacing import mirrored

_PRODUCTS = (linear, torch.conv1d, torch.conv2d, torch.conv3d)
_OPERANDS = ("input", "weight", "bias")
#: Of the largest weight: standardising some filters gives the same numbers as standardising all, up to rounding.
_SAME = 1e-5

Operands = tuple[Tensor, Tensor, Tensor | None]


class Met(TorchFunctionMode):
    """While active, hands the operands of every product by a weight of some shape to a function.

    Args:
        shape: of the weight.
        change: (input, weight, bias) -> those to multiply instead.
    """

    def __init__(self, shape: torch.Size, change: Callable[[Tensor, Tensor, Tensor | None], Operands]) -> None:
        super().__init__()
        self._shape = shape
        self._change = change

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func not in _PRODUCTS:
            return func(*args, **given)
        given |= dict(zip(_OPERANDS, args[:3], strict=False))
        if given["weight"].shape == self._shape:
            changed = self._change(given["input"], given["weight"], given.get("bias"))
            given |= dict(zip(_OPERANDS, changed, strict=True))
        return func(*(given.pop(name, None) for name in _OPERANDS), *args[3:], **given)


def is_own(own: type[nn.Module], kinds: tuple[type[nn.Module], ...]) -> bool:
    """A subclass of one of these classes that computes in another way than they do."""
    kind = next((kind for kind in kinds if issubclass(own, kind)), None)
    names = ("forward", "_conv_forward")
    return kind is not None and any(getattr(own, name, None) is not getattr(kind, name, None) for name in names)


@dataclass(frozen=True, kw_only=True)
class OwnCall:
    """How a forward calls its product.

    Attributes:
        computes_weight: with a tensor made of the weight, not the weight itself.
        rows_apart: each filter of it is made of that filter alone.
        columns_apart: and of each input channel alone.
    """

    computes_weight: bool
    rows_apart: bool
    columns_apart: bool


def called_with(module: nn.Module, forward: Callable[..., Any]) -> Tensor:
    """The weight that a forward calls its product with; gradients flow to the parameter.

    Args:
        module: whose forward it is, a convolution or linear layer.
        forward: takes module and input.

    Raises:
        ConfigError: it does not make one such call.
    """
    return _met(module, {"weight": module.get_parameter("weight")}, forward)


@torch.no_grad()
def own_call(module: nn.Module, own: type[nn.Module] | None = None) -> OwnCall:
    """What the forward of a convolution or linear layer does with its weight.

    Args:
        module: a convolution or linear layer.
        own: the class whose forward is meant; None is its own.

    Raises:
        ConfigError: it does not call one product with a tensor that is made of its weight alone.
    """
    forward = (own or type(module)).forward
    weight = _numbers(0, module.get_parameter("weight"))
    others = {key: _positive(p) for key, p in module._parameters.items() if p is not None and key != "weight"}
    first = _met(module, {**others, "weight": weight}, forward)
    if first.data_ptr() == weight.data_ptr() and first.stride() == weight.stride():
        return OwnCall(computes_weight=False, rows_apart=True, columns_apart=True)
    second = _met(module, {**others, "weight": weight}, forward, seed=1)
    changed = _met(module, {**others, "weight": weight.square()}, forward)
    if not torch.equal(first, second):
        raise ConfigError("its forward multiplies by a weight that changes with the input, or from call to call.")
    if torch.equal(first, changed):
        raise ConfigError("its forward multiplies by a tensor that does not depend on its weight.")

    def apart(dim: int) -> bool:
        """Zeros in every second index of the weight's dim stay zeros, and leave the others as they were."""
        shape = [-1 if d == dim else 1 for d in range(weight.dim())]
        mask = (torch.arange(weight.shape[dim], device=weight.device) % 2 == 0).reshape(shape)
        part = _met(module, {**others, "weight": weight * mask}, forward)
        return float((part - first * mask).abs().max()) <= _SAME * float(first.abs().max())

    return OwnCall(computes_weight=True, rows_apart=apart(0), columns_apart=apart(1))


def _met(module: nn.Module, parameters: dict[str, Tensor], forward: Callable[..., Any], seed: int = 0) -> Tensor:
    """The tensor that the one product of a forward is called with, were these some of its parameters."""
    copy, weight = mirrored(module, type(module)), parameters["weight"]
    all_of_them: dict[str, Any] = {**module._parameters, **parameters}
    copy._parameters = all_of_them
    copy._buffers = {key: None if b is None else b.clone() for key, b in module._buffers.items()}
    found: list[Tensor] = []

    def note(x: Tensor, called: Tensor, bias: Tensor | None) -> Operands:
        found.append(called)
        return x, called, bias

    x = _numbers(seed, weight.new_empty(_input_shape(module, weight)))
    try:
        with Met(weight.shape, note):
            forward(copy, x)
    except Exception as error:  # the forward of a user may raise anything
        raise ConfigError(f"its forward does not run on {tuple(x.shape)} alone: {error}.") from error
    if len(found) != 1:
        raise ConfigError(f"its forward must multiply by its weight once, but does so {len(found)} times.")
    return found[0]


def _input_shape(module: Any, weight: Tensor) -> tuple[int, ...]:
    """An input as small as the kernel."""
    if isinstance(module, nn.Linear):
        return 2, weight.shape[1]
    sizes = ((k - 1) * d + 1 for k, d in zip(module.kernel_size, module.dilation, strict=True))
    return 2, weight.shape[1] * module.groups, *sizes


def _numbers(seed: int, like: Tensor) -> Tensor:
    """Normal numbers, of a seed, whatever torch's own generator has drawn."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like)


def _positive(like: Tensor) -> Tensor:
    """Numbers that do as a scale: those that the layer has may be zero as yet."""
    return _numbers(2, like).abs() + 0.5
