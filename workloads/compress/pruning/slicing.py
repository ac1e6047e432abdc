"""Removing channels: first as zeros (`mask_channels`), then for good (`slice_channels`).

A removed channel is **zero wherever it is read**. That takes more than zero filters: a batch norm
adds its shift to a pruned channel, and a sigmoid makes 1/2 of it. With zero padding behind it such a
constant cannot be moved into a bias (the border would differ), so it is not kept: `mask_channels` sets
the norm's scale and shift of the channel to zero and the readers' weights on it too. The sliced model
then equals the masked one exactly, whatever stands between.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hwmodel.deprecated import example_was_spread
from hwmodel.errors import ConfigError
from workloads.compress.layers import QuantLayer
from workloads.compress.pruning.groups import ChannelAdapter, ChannelGroup, check_keep, is_adapter
from workloads.compress.pruning.sparse_layers import SparseLayer
from workloads.example import arguments
from workloads.placement import device_of
from workloads.tracing.request import named_outputs
from workloads.wrappers import copied, unwrapped

Keep = Mapping[str, Iterable[int]]
#: Of the largest output, in float64: a sliced network adds the same numbers in another order.
TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What stays of one module.

    Attributes:
        outputs: bool (K_all,), along dim 0 of its tensors; None is all.
        inputs: bool (C_all,), the channels that it reads; None is all.
    """

    outputs: Tensor | None = None
    inputs: Tensor | None = None


def plan_cuts(groups: Sequence[ChannelGroup], keep: Keep) -> dict[str, Cut]:
    """Module name -> what stays of it.

    Args:
        groups: of `channel_groups`.
        keep: group name -> channels that stay, rising; groups left out stay whole.

    Raises:
        ConfigError: a name is no group, or channels out of range.
    """
    numbers = {name: tuple(int(channel) for channel in channels) for name, channels in keep.items()}
    check_keep(groups, numbers)
    cuts: dict[str, Cut] = {}
    for group in groups:
        if len(numbers.get(group.name, range(group.size))) == group.size:
            continue
        kept = set(numbers[group.name]) | {-1}
        for member in group.members:
            stays = torch.tensor([channel in kept for channel in member.channels])
            old = cuts.get(member.module, Cut())
            outputs, inputs = old.outputs, old.inputs
            if member.role == "consumer":
                inputs = stays if inputs is None else inputs & stays
            else:
                outputs = stays if outputs is None else outputs & stays
            if not stays.any():
                raise ConfigError(
                    f"keep[{group.name!r}] must leave {member.module!r} at least one channel, but leaves none: "
                    f"it has {sorted(set(member.channels))}."
                )
            cuts[member.module] = Cut(outputs=outputs, inputs=inputs)
    return cuts


def parameter_masks(model: nn.Module, cuts: Mapping[str, Cut]) -> dict[str, Tensor]:
    """Parameter name -> bool of its shape, False where a removed channel writes or is read."""
    masks = {}
    for name, cut in cuts.items():
        module = model.get_submodule(name)
        for key, parameter in module.named_parameters(recurse=False):
            mask = _mask_of(module, parameter, cut) if key == "weight" else _rows(parameter, cut.outputs)
            masks[f"{name}.{key}"] = mask
    return masks


@torch.no_grad()
def mask_channels(model: nn.Module, groups: Sequence[ChannelGroup], keep: Keep) -> None:
    """Set removed channels to zero: filters, biases, norms, and the weights that read them. In place.

    Compressed layers get them into their masks as well, so that quantizers leave them at zero.

    Args:
        model: that the groups were found in.
        groups: of `channel_groups`.
        keep: group name -> channels that stay, rising; groups left out stay whole.

    Raises:
        ConfigError: a name is no group, or channels out of range.
    """
    model = unwrapped(model)
    cuts = plan_cuts(groups, keep)
    for name, mask in parameter_masks(model, cuts).items():
        model.get_parameter(name).mul_(mask)
    for name, cut in cuts.items():
        module = model.get_submodule(name)
        if isinstance(module, QuantLayer | SparseLayer):
            new = _mask_of(module, module.weight, cut)
            module.mask = new if module.mask is None else module.mask & new


@example_was_spread(3)
def slice_channels(
    model: nn.Module, groups: Sequence[ChannelGroup], keep: Keep, example: Any = None, *, check: bool = True
) -> nn.Module:
    """A smaller dense copy of the model, without the channels that are not kept.

    Its outputs are those of `mask_channels(model, groups, keep)`. Compressed layers keep their grids. A channel
    that is pruned in its producer only and comes back through a batch norm's shift changes the
    outputs when it goes: `mask_channels` first, finetune, then slice.

    Args:
        model: that the groups were found in; not changed.
        groups: of `channel_groups`.
        keep: group name -> channels that stay, rising; groups left out stay whole.
        example: its input, or a tuple of them; the outputs are compared on normal numbers of their shape.
        check: compare in float64; without, no example is needed.

    Returns:
        An ordinary module, in the same mode and on the same device.

    Raises:
        ConfigError: a name is no group, channels are out of range, or the outputs differ (the
            forward has a size written into it, such as `x.view(-1, 400)`).
    """
    result = copied(model)
    cuts = plan_cuts(groups, keep)
    for name, cut in cuts.items():
        _cut_module(result.get_submodule(name), cut)
    if check:
        if example is None:
            raise ConfigError("slice_channels compares outputs on an example input: pass one, or check=False.")
        masked = copied(model)
        mask_channels(masked, groups, keep)
        _check_weights(masked, result, cuts)
        _check_equal(masked, result, arguments(example))
    return result


# ---- one module ------------------------------------------------------------------------------------


def _rows(tensor: Tensor, outputs: Tensor | None) -> Tensor:
    mask = torch.ones(tensor.shape, dtype=torch.bool, device=tensor.device)
    if outputs is not None and tensor.dim() and len(tensor) == len(outputs):
        mask[~outputs.to(tensor.device)] = False
    return mask


def _mask_of(module: nn.Module, weight: Tensor, cut: Cut) -> Tensor:
    mask = _rows(weight, cut.outputs)
    if cut.inputs is not None:
        mask[:, ~_per_group(module, cut.inputs).to(weight.device)] = False
    return mask


def _per_group(module: nn.Module, inputs: Tensor) -> Tensor:
    """The input channels along dim 1 of the weight: those of one group (all groups lose the same)."""
    return inputs.reshape(int(getattr(module, "groups", 1)), -1)[0]


def _cut_module(module: nn.Module, cut: Cut) -> None:
    if is_adapter(module):
        cast("ChannelAdapter", module).keep_channels(cut.inputs, cut.outputs)
        return
    weight = module._parameters.get("weight")
    whole = None if weight is None else weight.shape
    for owner, key, tensor in _tensors(module, *_modules_of(module, "weight_quantizer")):
        new = tensor
        if cut.outputs is not None and new.dim() and len(new) == len(cut.outputs):
            new = new[cut.outputs.to(new.device)]
        if cut.inputs is not None and tensor.shape == whole:
            new = new[:, _per_group(module, cut.inputs).to(new.device)]
        setattr(owner, key, _like(tensor, new))
    for owner, key, tensor in _tensors(*_modules_of(module, "input_quantizer")):
        if cut.inputs is not None and tensor.shape == cut.inputs.shape:
            setattr(owner, key, _like(tensor, tensor[cut.inputs.to(tensor.device)]))
    _resize(module, cut)
    if isinstance(module, QuantLayer) and module.mask is not None and bool(module.mask.all()):
        module.mask = None


def _modules_of(module: nn.Module, child: str) -> list[nn.Module]:
    """A child and those inside it; none where the module has no such child."""
    found = module._modules.get(child)
    return [] if found is None else list(found.modules())


def _tensors(*owners: nn.Module) -> list[tuple[nn.Module, str, Tensor]]:
    """(owner, name, tensor) of their own parameters and buffers."""
    return [
        (owner, key, tensor)
        for owner in owners
        for store in (owner._parameters, owner._buffers)
        for key, tensor in store.items()
        if tensor is not None
    ]


def _like(old: Tensor, new: Tensor) -> Tensor:
    if isinstance(old, nn.Parameter):
        return nn.Parameter(new.detach().clone(), requires_grad=old.requires_grad)
    return new.detach().clone()


def _resize(module: nn.Module, cut: Cut) -> None:
    """The sizes that a module knows of itself."""
    sizes: dict[str, int] = {}
    outputs = None if cut.outputs is None else int(cut.outputs.sum())
    inputs = None if cut.inputs is None else int(cut.inputs.sum())
    if isinstance(module, nn.Linear):
        sizes = _some(out_features=outputs, in_features=inputs)
    elif isinstance(module, nn.modules.conv._ConvNd):
        if outputs is not None and module.groups > 1 and module.groups == module.in_channels:
            inputs = outputs * module.groups // module.out_channels  # depthwise: each group goes with its filters
            sizes = {"groups": inputs}
        sizes |= _some(out_channels=outputs, in_channels=inputs)
    elif isinstance(module, nn.PReLU):
        sizes = _some(num_parameters=outputs)
    else:
        sizes = _some(num_features=outputs)
    for key, value in sizes.items():
        setattr(module, key, value)


def _some(**sizes: int | None) -> dict[str, int]:
    return {key: value for key, value in sizes.items() if value is not None}


# ---- the proof -------------------------------------------------------------------------------------


@torch.no_grad()
def _check_weights(masked: nn.Module, sliced: nn.Module, cuts: Mapping[str, Cut]) -> None:
    """What multiplies is the same in every compressed layer: outputs on one example could agree by chance."""
    for name, cut in cuts.items():
        whole, part = (copy.deepcopy(model.get_submodule(name)).double().eval() for model in (masked, sliced))
        if not isinstance(whole, QuantLayer) or not isinstance(part, QuantLayer):
            continue
        expected = whole.effective_weight()
        if cut.outputs is not None:
            expected = expected[cut.outputs.to(expected.device)]
        if cut.inputs is not None:
            expected = expected[:, _per_group(whole, cut.inputs).to(expected.device)]
        gap = float((expected - part.effective_weight()).abs().max())
        if not gap <= TOLERANCE * max(1.0, float(expected.abs().max())):
            raise ConfigError(
                f"{name!r}: the sliced weights must equal the masked ones, but differ by {gap:g}. {_FIX}"
            )


@torch.no_grad()
def _check_equal(masked: nn.Module, sliced: nn.Module, example: Sequence[Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    device = device_of(masked)

    def stand_in(x: Tensor) -> Tensor:
        if not x.is_floating_point():
            return x.to(device)
        return torch.randn(x.shape, generator=generator, dtype=torch.float64).to(device)

    inputs = pytree.tree_map_only(Tensor, stand_in, tuple(example))
    expected = _outputs(masked, inputs)
    try:
        got = _outputs(copy.deepcopy(sliced), inputs)
    except RuntimeError as error:
        raise ConfigError(f"the sliced model does not run: {error}. {_FIX}") from error
    for first, second in zip(expected, got, strict=True):
        if first.shape != second.shape:
            shapes = f"{tuple(first.shape)}, but has {tuple(second.shape)}"
            raise ConfigError(f"the sliced model's output must have shape {shapes}. {_FIX}")
        gap = float((first - second).abs().max())
        if not gap <= TOLERANCE * max(1.0, float(first.abs().max())):
            raise ConfigError(f"the sliced outputs must equal the masked ones, but differ by {gap:g}. {_FIX}")


_FIX = (
    "A size written into the forward? Write flatten(1) for view(-1, 400). A grid that follows the mean of the "
    "whole weight? Calibrate another. Or keep these channels."
)


def _outputs(model: nn.Module, inputs: Any) -> list[Tensor]:
    return [tensor for _, tensor in named_outputs(model.double().eval()(*inputs))]
