"""`torch.compile` for training, where the machine has what it needs."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from workloads.compress.quantizers.uniform import COMPILE_OPTIONS

BACKEND = "inductor"
_CXX = ("g++", "clang++", "c++")


Forward = Callable[..., Tensor]


@contextmanager
def compiled(model: nn.Module, wanted: bool, device: torch.device) -> Iterator[Forward]:
    """The compiled forward, or the model itself; the compiler's memory of it is freed on leaving.

    Args:
        model: on its device.
        wanted: False gives the model.
        device: of the training.

    Raises:
        ConfigError: no C++ compiler (CPU) or no Triton (CUDA).
    """
    if not wanted:
        yield model
        return
    try:
        yield compile_training(model, device)
    finally:
        torch._dynamo.reset()


def compile_training(model: nn.Module, device: torch.device) -> Forward:
    """The forward through `torch.compile`, with options under which training steps are fast; calibrate before.

    Raises:
        ConfigError: no C++ compiler (CPU) or no Triton (CUDA).
    """
    check_toolchain(device)
    is_tuned = device.type == "cpu" and BACKEND == "inductor"
    options: dict[str, Any] | None = dict(COMPILE_OPTIONS) if is_tuned else None
    forward: Forward = torch.compile(model, backend=BACKEND, options=options)
    return forward


def check_toolchain(device: torch.device) -> None:
    """What `torch.compile` builds kernels with on a device is installed.

    Raises:
        ConfigError: it is not.
    """
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise ConfigError("compile=True needs Triton on CUDA, and it is not installed. Use compile=False.")
        return
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else list(_CXX)
    if not any(shutil.which(name) for name in wanted):
        raise ConfigError(
            f"compile=True needs a C++ compiler, and {', '.join(wanted)} is not on the PATH. Install g++, "
            "set CXX, or use compile=False."
        )
