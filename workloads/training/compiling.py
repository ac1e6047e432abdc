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
from torch._functorch import config as functorch_config

from hwmodel.errors import ConfigError
from workloads.compress.uniform import COMPILE_OPTIONS

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
    """The forward through `torch.compile`, set up so that training steps are fast; calibrate before.

    On the CPU the compiler's own choice is to store masks for the backward pass as booleans, and its loops over
    those are not vectorised: a step with fixed grids takes three times as long. Here masks are computed again.

    Raises:
        ConfigError: no C++ compiler (CPU) or no Triton (CUDA).
    """
    check_toolchain(device)
    if device.type != "cpu" or BACKEND != "inductor":
        forward: Forward = torch.compile(model, backend=BACKEND)
        return forward
    tuned: Forward = torch.compile(model, backend=BACKEND, options=dict(COMPILE_OPTIONS))

    def recomputing(*inputs: Any) -> Tensor:
        with functorch_config.patch(aggressive_recomputation=True):
            return tuned(*inputs)

    return recomputing


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
