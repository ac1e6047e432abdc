"""Where numbers stopped being finite."""

from __future__ import annotations

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
