"""Where numbers stopped being finite: on the way forward, or on the way back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def first_non_finite(model: nn.Module, images: Tensor) -> str:
    """Names the first parameter, else the first module in order of execution, that is not finite.

    Args:
        model: as it failed; its running statistics may move by one batch.
        images: the batch on which it failed.
    """
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"parameter {name!r} is not finite"
    if not torch.isfinite(images).all():
        return "the images are not finite"
    culprits: list[str] = []
    handles = [
        module.register_forward_hook(lambda _m, _i, out, name=name: _note(culprits, name, out))
        for name, module in model.named_modules()
        if not any(module.children())
    ]
    try:
        model(images)
    finally:
        for handle in handles:
            handle.remove()
    return f"the output of {culprits[0]!r} is not finite" if culprits else "every module's output is finite"


def _note(culprits: list[str], name: str, out: Any) -> None:
    if isinstance(out, Tensor) and out.is_floating_point() and not torch.isfinite(out).all():
        culprits.append(name or "the model")


def first_bad_gradient(model: nn.Module, loss: Callable[[], Tensor]) -> str:
    """Names where, on the way back from a finite loss, a gradient first is not finite.

    Args:
        model: as it failed; its gradients are lost, and its running statistics may move by one batch.
        loss: computes the loss of the batch on which it failed, anew.
    """
    failed = {name for name, p in model.named_parameters() if p.grad is not None and not _finite(p.grad)}
    culprits: list[str] = []
    handles: list[Any] = []

    def watch(tensor: Tensor, what: str) -> None:
        register: Callable[[Callable[[Tensor], None]], Any] = tensor.register_hook
        handles.append(register(lambda grad: None if _finite(grad) else culprits.append(what)))

    def watch_output(_module: nn.Module, _inputs: Any, out: Any, name: str) -> None:
        if isinstance(out, Tensor) and out.requires_grad:
            watch(out, f"behind the output of {name!r}")

    for name, module in model.named_modules():
        if name and not any(module.children()):
            handles.append(module.register_forward_hook(functools.partial(watch_output, name=name)))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            watch(parameter, f"of {name!r}")
    try:
        torch.autograd.backward([loss()])
    finally:
        for handle in handles:
            handle.remove()
    if culprits:
        return f"the gradient {culprits[0]} is not finite"
    if failed:
        return f"the gradient of {sorted(failed)[0]!r} is not finite"
    return "every gradient is finite, but their norm overflows"


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())
