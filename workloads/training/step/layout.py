"""In which order the numbers of images lie in memory; their shape and values are the same in each.

A convolution gives its output in the order of its input, so laying out the inputs is enough: weights, and all that
is kept of them, stay as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hwmodel.errors import ConfigError, check_one_of
from workloads.training.settings import CONTIGUOUS, MEMORY_FORMATS


def laid_out(inputs: Tensor, memory_format: str) -> Tensor:
    """The inputs in a memory format, copied where they lie otherwise.

    Args:
        inputs: (N, C, H, W) for `channels_last`; anything passes as it is for `contiguous`.
        memory_format: of `TrainSettings`.

    Raises:
        ConfigError: another format, or `channels_last` of inputs that are no images.
    """
    check_one_of("memory_format", memory_format, MEMORY_FORMATS)
    if memory_format == CONTIGUOUS:
        return inputs
    if inputs.dim() != 4:
        raise ConfigError(
            f"memory_format={memory_format!r} is of images (N, C, H, W), but the inputs are {tuple(inputs.shape)}. "
            f"Use memory_format={CONTIGUOUS!r}."
        )
    if inputs.shape[1] == 1:  # both orders are one; only the strides tell the next layer which is meant
        h, w = inputs.shape[2:]
        return inputs.contiguous().as_strided(inputs.shape, (h * w, 1, w, 1))
    return inputs.contiguous(memory_format=torch.channels_last)
