"""Ranges from data: activation grids, and the running statistics of batch norms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from hwmodel.network.choice import FLOAT_BITS
from workloads.compress.observer import RangeObserver
from workloads.compress.reads import WeightReads
from workloads.compress.transform import quantized_layers
from workloads.placement import device_of

#: A tensor or array (N, ...), a sequence of them, or a DataLoader of inputs or of (inputs, targets).
Inputs = Any


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Restore train or eval mode of every module on leaving."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.no_grad()
def calibrate(qmodel: nn.Module, x: Inputs, batch_size: int = 256, *, weights: bool = True) -> None:
    """Set every activation grid from data, and start every weight grid anew. In place.

    The data pass in eval mode with weights quantized and activations not, so that a coarse grid does
    not distort the ranges behind it. Extremes are exact; LSQ steps minimise the squared error over a
    sample.

    Args:
        qmodel: of `apply`.
        x: (N, ...) inputs, or a tuple of them for a model with several; training data, a few hundred. Or a
            DataLoader of inputs or of (inputs, targets), all of whose batches run.
        batch_size: images at a time; a loader's are its own.
        weights: False leaves the weight grids as they are: right behind `apply`, which has just set them.

    Raises:
        ConfigError: no data, values that are not finite, or a compressed layer that did not run or whose weight
            is also read without calling it.
    """
    layers = dict(quantized_layers(qmodel))
    observers = {
        name: layer.input_quantizer.new_observer()
        for name, layer in layers.items()
        if layer.input_quantizer is not None
    }
    ran: set[str] = set()
    reads = WeightReads(layers)
    handles = reads.follow(qmodel)
    for name, layer in layers.items():
        if weights:
            layer.initialise()
        handles.append(layer.register_forward_pre_hook(lambda *_, name=name: ran.add(name)))
        if layer.input_quantizer is not None:
            layer.input_quantizer.observer = observers[name]
    try:
        with modes_kept(qmodel), torch.compiler.set_stance("force_eager"), reads:
            qmodel.eval()
            for batch in _batches(x, batch_size, device_of(qmodel)):
                qmodel(*batch)
    finally:
        for handle in handles:
            handle.remove()
        for layer in layers.values():
            if layer.input_quantizer is not None:
                layer.input_quantizer.observer = None
    _check_all_ran(layers, ran)
    reads.check()
    for name, observer in observers.items():
        _set_range(name, layers[name].input_quantizer, observer)


def _set_range(name: str, quantizer: Any, observer: RangeObserver) -> None:
    try:
        quantizer.set_range(observer)
    except ConfigError as error:
        raise ConfigError(f"{name!r}: {error}") from None


def check_calibrated(qmodel: nn.Module) -> None:
    """Every input that is quantized has its grid: running the model changes nothing.

    Raises:
        ConfigError: one has none; it would take its range from whatever runs first.
    """
    for name, layer in quantized_layers(qmodel):
        quantizer = layer.input_quantizer
        if quantizer is not None and int(quantizer.bits) != FLOAT_BITS and not bool(quantizer.calibrated):
            raise ConfigError(f"{name!r}: its input has no range yet. Call calibrate(model, x) first.")


def _check_all_ran(layers: dict[str, Any], ran: set[str]) -> None:
    idle = [name for name in layers if name not in ran]
    if idle:
        raise ConfigError(
            f"{', '.join(map(repr, idle))} did not run on the calibration data: the model uses the weight without "
            "calling the layer, or not at all, so it is not compressed. Leave it float."
        )


@torch.no_grad()
def reestimate_norms(model: nn.Module, x: Inputs, batch_size: int = 256) -> None:
    """Replace the running statistics of every batch norm by those over `x`. In place.

    Quantization and pruning shift the means and variances that the float model recorded.

    Args:
        model: with batch norms (without, nothing happens).
        x: as in `calibrate`.
        batch_size: images at a time; batches weigh equally.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    try:
        with modes_kept(model):
            model.eval()
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # the plain mean over batches
                norm.train()
            for batch in _batches(x, batch_size, device_of(model)):
                model(*batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _batches(x: Inputs, batch_size: int, device: torch.device) -> Iterator[tuple[Tensor, ...]]:
    if isinstance(x, Iterable) and not isinstance(x, Sequence) and not hasattr(x, "__array__"):
        yield from _loaded(x, device)
        return
    inputs = tuple(x) if isinstance(x, Sequence) else (x,)
    tensors = [torch.as_tensor(item) for item in inputs]
    if not tensors or not len(tensors[0]):
        raise ConfigError("calibration needs at least one input, but got none")
    if batch_size < 1:
        raise ConfigError(f"`batch_size >= 1` must hold, but got batch_size={batch_size}")
    for start in range(0, len(tensors[0]), batch_size):
        yield tuple(t[start : start + batch_size].to(device) for t in tensors)


def _loaded(loader: Iterable[Any], device: torch.device) -> Iterator[tuple[Tensor, ...]]:
    """The inputs of a loader's batches; targets beside them are left out."""
    empty = True
    for batch in loader:
        inputs = batch
        if isinstance(batch, list | tuple):
            if len(batch) not in (1, 2):
                raise ConfigError(
                    f"a batch must be inputs or (inputs, targets), but the loader gave {len(batch)} values."
                )
            inputs = batch[0]
        if not isinstance(inputs, Tensor):
            raise ConfigError(f"the inputs of a batch must be a tensor, but are {type(inputs).__name__}.")
        empty = False
        yield (inputs.to(device),)
    if empty:
        raise ConfigError("calibration needs at least one input, but the loader gave none")
