"""Run a model without a trace left: flags, attributes, hooks, random state and messages as before."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def isolated(model: nn.Module) -> Iterator[None]:
    """Inference mode for the model, math forms instead of fused kernels, and everything restored.

    In here the modules are in eval mode (flag only: no `train()` override runs), the fast paths of
    attention and the oneDNN recurrent kernels are off, nothing is compiled, and warnings and torch's
    log lines are silent.
    """
    with ExitStack() as stack:
        stack.enter_context(_no_collection())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(_quiet("torch"))
        stack.enter_context(torch.random.fork_rng(devices=_cuda_devices(model)))
        stack.enter_context(_attributes_restored(model))
        stack.enter_context(_fast_paths_off())
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        for module in model.modules():
            module.training = False
        yield


@contextmanager
def _no_collection() -> Iterator[None]:
    """The cyclic garbage collector waits: it would walk over the growing graph again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _fast_paths_off() -> Iterator[None]:
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.backends.mkldnn.flags(enabled=False):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def _attributes_restored(model: nn.Module) -> Iterator[None]:
    """Attributes of every module (and the lists and dicts among them) are put back as they were."""
    saved = [(module, dict(vars(module)), _containers(module)) for module in model.modules()]
    try:
        yield
    finally:
        for module, attributes, containers in saved:
            current = vars(module)
            for name in current.keys() - attributes.keys():
                del current[name]
            current.update(attributes)
            for container, content in containers:
                container.clear()
                if content is None:
                    continue
                if isinstance(container, list):
                    container.extend(content)
                else:
                    container.update(content)


def _containers(module: nn.Module) -> list[tuple[Any, Any]]:
    """(container, a copy of it; None where it is empty, as most of the ten of a module are)."""
    return [
        (value, value.copy() if value else None)
        for value in vars(module).values()
        if isinstance(value, (list, dict, set))
    ]


@contextmanager
def _quiet(prefix: str) -> Iterator[None]:
    """No log line of the loggers under a name: their errors reach the user as ours."""
    names = [name for name in logging.root.manager.loggerDict if name == prefix or name.startswith(f"{prefix}.")]
    loggers = [logging.getLogger(name) for name in {prefix, *names}]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _cuda_devices(model: nn.Module) -> list[int]:
    devices = {parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"}
    return sorted(device.index or 0 for device in devices)
