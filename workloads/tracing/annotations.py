"""What a compressed model says about itself: the bits of its quantizers, the density of its masks.

Bits follow the tensors. A quantizer is a module with an integer attribute `simulated_bits` (ours have it), or an
op that rounds to a grid (torch's fake quantization): it costs nothing, as the hardware rounds on the way, and its
result has so many bits until an op computes new values from it. Where no values are needed a method `stand_in` of
the module is called for its forward: a tensor like the result, in one op. A weight may also be a tensor subclass
that holds integers (torchao). Masks are counted where they lie: in our compressed layers, in
`torch.nn.utils.prune`, in a parametrization with a `mask`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from hwmodel.errors import TraceError
from hwmodel.network.graph import LayerGraph
from workloads.tracing.scope import ModuleNames

_PART = re.compile(r"(_orig|_mask)?(\[\d+:\])?$")

#: Attributes of torchao's tensors that say that inputs are rounded to 8 bits before the product.
_ROUNDS_INPUTS = ("act_quant_kwargs", "activation_quantization")


@dataclass(frozen=True, kw_only=True)
class StoredBits:
    """Widths that come with a weight tensor [bit]; `i` is that to which inputs are rounded on the fly."""

    w: int
    i: int | None


def quantizers(model: nn.Module) -> dict[str, int]:
    """Path of every quantizer -> bits of its results.

    Raises:
        TraceError: its bits are on the meta device.
    """
    found: dict[str, int] = {}
    for path, module in model.named_modules():
        try:
            bits = getattr(module, "simulated_bits", None)
        except RuntimeError as error:  # torch: no numbers in a meta tensor
            raise TraceError(f"{path}: its bits are on the meta device. Trace the model on the CPU.") from error
        if isinstance(bits, int):
            found[path] = bits
    return found


@contextmanager
def stand_ins(model: nn.Module) -> Iterator[frozenset[nn.Module]]:
    """In here every quantizer that has a `stand_in` is called through it; hooks run as ever.

    Gives these modules and those in them: what they hold is not read.
    """
    replaced = []
    for module in model.modules():
        stand_in = getattr(module, "stand_in", None)
        if callable(stand_in) and hasattr(module, "simulated_bits") and "forward" not in vars(module):
            vars(module)["forward"] = stand_in  # hides that of its class
            replaced.append(module)
    try:
        yield frozenset(inner for module in replaced for inner in module.modules())
    finally:
        for module in replaced:
            vars(module).pop("forward", None)


def is_packed(tensor: torch.Tensor) -> bool:
    """The tensor is a subclass that holds integers and scales instead of the values that it shows."""
    return isinstance(getattr(tensor, "qdata", None), torch.Tensor)


def narrow_bits(tensor: torch.Tensor, elements: int) -> int | None:
    """Width of the values in a tensor of bytes (int8, uint8, float8, quint8); None for other types [bit].

    Args:
        tensor: as stored.
        elements: values that it holds: two per byte where 4-bit values are packed.
    """
    if tensor.dtype.itemsize > 1 or tensor.dtype == torch.bool or not elements:
        return None
    return max(1, min(8, tensor.numel() * 8 // elements))


def stored_bits(tensor: torch.Tensor) -> StoredBits | None:
    """Widths of a weight stored in fewer bits than a float of 16; None for an ordinary tensor.

    Of a torchao tensor the integers count (`qdata`; `target_dtype` where they are stored wider), not the scales.
    """
    if not is_packed(tensor):
        narrow = narrow_bits(tensor, tensor.numel())
        return StoredBits(w=narrow, i=None) if narrow else None
    packed: Any = tensor
    target = re.search(r"int(\d+)$", str(getattr(packed, "target_dtype", "")))
    stored = packed.qdata.numel() * packed.qdata.element_size() * 8
    dynamic = any(getattr(packed, name, None) is not None for name in _ROUNDS_INPUTS)
    w = int(target[1]) if target else max(1, stored // packed.numel())
    return StoredBits(w=w, i=8 if dynamic else None)


def with_mask_densities(graph: LayerGraph, names: ModuleNames) -> LayerGraph:
    """The graph with the weight density of every masked layer, as its mask has it.

    Raises:
        TraceError: a mask is on the meta device.
    """
    masks = dict(_masks(names))
    if not masks:
        return graph
    found = {}
    for layer in graph.layers:
        mask = masks.get((layer.module, _PART.sub("", layer.parameter)))
        if mask is not None and layer.weights:
            density, pattern = mask
            found[layer.name] = replace(layer, density=replace(layer.density, w=density, pattern=pattern))
    return graph.with_layers(found)


def _masks(names: ModuleNames) -> Iterator[tuple[tuple[str, str], tuple[float, str]]]:
    """((module, parameter), (density, pattern)) of every mask."""
    for path, module in names.model.named_modules():
        buffers: Mapping[str, torch.Tensor | None] = module._buffers
        for key, mask in buffers.items():
            if mask is None or not (key == "mask" or key.endswith("_mask")):
                continue
            if ".parametrizations." in f".{path}":
                yield names.owner_of(f"{path}.{key}"), (_density(path, mask), "unstructured")
            elif key != "mask" and f"{key[:-5]}_orig" in module._parameters:
                yield (names.canonical(path), key[:-5]), (_density(path, mask), "unstructured")
            elif key == "mask" and _covers(mask, module._parameters.get("weight")):
                density = _density(path, mask)
                pattern = str(getattr(module, "pattern", "unstructured")) if density < 1.0 else "unstructured"
                yield (names.canonical(path), "weight"), (density, pattern)


def _covers(mask: torch.Tensor, weight: torch.Tensor | None) -> bool:
    """The mask broadcasts to the weight, dim by dim."""
    return (
        weight is not None
        and mask.dim() == weight.dim()
        and all(bound in (1, whole) for bound, whole in zip(mask.shape, weight.shape, strict=True))
    )


def _density(path: str, mask: torch.Tensor) -> float:
    """Share of what a mask keeps; a mask that keeps nothing counts as if it kept one."""
    if mask.is_meta:
        raise TraceError(f"{path}: its mask is on the meta device. Trace the model on the CPU.")
    return max(1, int(torch.count_nonzero(mask))) / mask.numel()
