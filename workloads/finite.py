"""Parameters that hold no number: a checkpoint that went wrong means nothing, whatever is computed from it."""

from __future__ import annotations

import torch
from torch import nn


def non_finite(model: nn.Module) -> str:
    """What is wrong with the first parameter that holds NaN or infinity; "" where all are finite.

    Parameters without numbers (on the meta device, not initialised yet, packed) are passed over.
    """
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter) or type(parameter.data) is not torch.Tensor:
            continue
        if parameter.is_meta or not (parameter.is_floating_point() or parameter.is_complex()):
            continue
        values = parameter.detach()
        if bool(torch.isfinite(values.sum())):  # one pass, no copy; a sum may overflow where no value does
            continue
        bad = values.numel() - int(torch.isfinite(values).sum())
        if bad:
            return (
                f"parameters must be finite, but {name!r} has NaN or infinity in {bad:,} of "
                f"{values.numel():,} values."
            )
    return ""
