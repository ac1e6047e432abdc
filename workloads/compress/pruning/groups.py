"""Which channels of which modules have to be removed together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, HwModelError, check_names
from workloads.compress.layers import QuantLayer
from workloads.compress.pruning.classes import FIXED, NONE
from workloads.compress.pruning.follow import ChannelFollower, Followed
from workloads.compress.pruning.sparse_layers import SparseLayer
from workloads.placement import device_of
from workloads.tracing.failure import forward_error
from workloads.tracing.isolate import isolated
from workloads.tracing.request import named_outputs
from workloads.tracing.scope import ModuleNames, Scope
from workloads.wrappers import copied

Role = Literal["producer", "carrier", "consumer"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CARRIERS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.PReLU,
)  # fmt: skip


class ChannelAdapter(Protocol):
    """A module without weights whose forward knows numbers of channels, and can be told new ones."""

    def keep_channels(self, inputs: Tensor | None, outputs: Tensor | None) -> None:
        """Work on fewer channels from now on.

        Args:
            inputs, outputs: bool (C_all,) and (K_all,), which channels stay; None is all.
        """


def is_adapter(module: nn.Module) -> bool:
    """The module is a `ChannelAdapter`."""
    return callable(getattr(module, "keep_channels", None))


@dataclass(frozen=True, kw_only=True)
class Member:
    """One module's part in a group.

    Attributes:
        module: its name.
        role: `producer` computes the channels (weight dim 0), `consumer` reads them (weight dim 1),
            `carrier` works on each by itself (batch norm, depthwise convolution: dim 0). A `ChannelAdapter`
            is a consumer and a carrier.
        channels: for every position along the module's channel dim the channel of the group that lies
            there; -1 where something else does, or a channel that has to stay.
    """

    module: str
    role: Role
    channels: tuple[int, ...]

    @property
    def offset(self) -> int:
        """Where the group's channels begin (behind the other operands of a concatenation)."""
        return next(index for index, channel in enumerate(self.channels) if channel >= 0)

    @property
    def repeat(self) -> int:
        """Positions per channel: the pixels of a flattened map, or the groups of a grouped convolution."""
        own = [channel for channel in self.channels if channel >= 0]
        return len(own) // len(set(own))

    def __str__(self) -> str:
        where = f"[{self.offset}:]" if self.offset else ""
        return f"{self.module}{where}" + (f" x{self.repeat}" if self.repeat > 1 else "")


@dataclass(frozen=True, kw_only=True)
class ChannelGroup:
    """Channels that several modules share: channel `c` is kept by all members or by none.

    Attributes:
        name: of the producer with the most channels, the first of them.
        size: number of channels that can be removed one by one.
        members: in the order of execution, producers first.
    """

    name: str
    size: int
    members: tuple[Member, ...]

    def having(self, role: Role) -> tuple[Member, ...]:
        """The members in a role."""
        return tuple(member for member in self.members if member.role == role)

    @property
    def producers(self) -> tuple[Member, ...]:
        return self.having("producer")

    @property
    def carriers(self) -> tuple[Member, ...]:
        return self.having("carrier")

    @property
    def consumers(self) -> tuple[Member, ...]:
        return self.having("consumer")

    def __str__(self) -> str:
        """`conv1: 16 channels of conv1, layer1.0.conv2 -> layer1.0.conv1, fc x25`."""
        ends = [", ".join(map(str, members)) for members in (self.producers, self.consumers)]
        return f"{self.name}: {self.size} channels of {ends[0]} -> {ends[1]}"


def channel_groups(model: nn.Module, *args: Any, **kwargs: Any) -> tuple[ChannelGroup, ...]:
    """The groups of channels that can be removed from a model, in the order of execution.

    Every channel is followed through one forward pass: residual additions join channels; a
    concatenation gives its reader an offset; flattening repeats a channel; a batch norm or depthwise
    convolution carries it on; a grouped convolution joins one channel of each of its groups; a
    module that runs twice reads both. Channels of the network's inputs and outputs stay, and so do those that
    meet an op which mixes channels or cuts them (layer norm, attention, chunk), or a weight that
    two modules share.

    Args:
        model: with plain or compressed convolutions and linear layers. Not changed.
        args, kwargs: of its forward, as for `trace`.

    Returns:
        Groups with at least two removable channels.

    Raises:
        TraceError: the forward fails on these inputs; names the module.
    """
    followed = _follow(copied(model).eval(), args, kwargs)
    return _collect(followed)


def sliceable_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Name -> module of those whose channels can be removed, each module once."""
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    found = {}
    for name, module in model.named_modules():
        plain = type(module) in (*_CONVOLUTIONS, nn.Linear, *_CARRIERS)
        own = [parameter for parameter in module._parameters.values() if parameter is not None]
        computed = isinstance(module, (*_CONVOLUTIONS, nn.Linear)) and "weight" not in module._parameters
        single = isinstance(module, nn.PReLU) and module.num_parameters == 1
        shared = any(owners[id(parameter)] > 1 for parameter in own)
        if (plain or isinstance(module, QuantLayer | SparseLayer)) and not (computed or single or shared):
            found[name] = module
    return found


def _follow(model: nn.Module, args: Sequence[Any], kwargs: dict[str, Any]) -> Followed:
    followed = Followed()
    follower = ChannelFollower(followed)
    handles = [
        handle for name, module in sliceable_modules(model).items() for handle in follower.meet(name, module)
    ]
    for name, module in model.named_modules():
        if is_adapter(module):
            handles += follower.meet_adapter(name, module)
    tree_args, tree_kwargs = torch.utils._pytree.tree_map_only(
        Tensor, lambda tensor: tensor.detach().clone().to(device_of(model)), (tuple(args), kwargs)
    )
    for leaf in torch.utils._pytree.tree_leaves((tree_args, tree_kwargs)):
        if isinstance(leaf, Tensor):
            follower.add_input(leaf)
    scope = Scope()
    try:
        with isolated(model), scope.follow(ModuleNames(model)), torch.inference_mode(), follower:
            output = model(*tree_args, **tree_kwargs)
    except HwModelError:
        raise
    except Exception as error:  # torch and the model raise anything here
        raise forward_error(error, scope, type(model).__name__) from error
    finally:
        for handle in handles:
            handle.remove()
    for _, tensor in named_outputs(output):
        follower.add_output(tensor)
    return followed


def _collect(followed: Followed) -> tuple[ChannelGroup, ...]:
    """Classes that share a producer form a group."""
    classes, uses = followed.classes, followed.uses
    reads = {name: classes.roots(use.reads) for name, use in uses.items()}
    writes = {name: classes.roots(use.writes) for name, use in uses.items()}
    producers = [name for name, use in uses.items() if not (use.is_carrier or use.is_adapter)]
    groups = []
    for names in _connected({name: set(writes[name]) - {NONE, FIXED} for name in producers}):
        widest = sorted(names, key=lambda name: -len(writes[name]))
        order = dict.fromkeys(root for name in widest for root in writes[name] if root not in (NONE, FIXED))
        index = {root: position for position, root in enumerate(order)}
        members = [_member(name, "producer", writes[name], index) for name in names]
        for name, use in uses.items():
            if use.is_carrier or use.is_adapter:
                members.append(_member(name, "carrier", writes[name], index))
            if not use.is_carrier:
                members.append(_member(name, "consumer", reads[name], index))
        present = tuple(member for member in members if max(member.channels, default=-1) >= 0)
        if len(index) > 1:
            groups.append(ChannelGroup(name=widest[0], size=len(index), members=present))
    return tuple(groups)


def _member(name: str, role: Role, roots: Iterable[int], index: dict[int, int]) -> Member:
    return Member(module=name, role=role, channels=tuple(index.get(root, -1) for root in roots))


def _connected(classes: dict[str, set[int]]) -> list[list[str]]:
    """Producers that share a class, directly or through others; in order."""
    found: list[tuple[list[str], set[int]]] = []
    for name, own in classes.items():
        if not own:
            continue
        touching = [entry for entry in found if entry[1] & own]
        merged = ([n for entry in touching for n in entry[0]] + [name], own.union(*(e[1] for e in touching)))
        position = found.index(touching[0]) if touching else len(found)
        found = [entry for entry in found if entry not in touching]
        found.insert(position, merged)
    return [names for names, _ in found]


def check_keep(groups: Sequence[ChannelGroup], keep: dict[str, tuple[int, ...]]) -> None:
    """Channels to keep must exist, rise, and leave one.

    Raises:
        ConfigError: a name is no group (the nearest is offered), or its channels break a rule.
    """
    sizes = {group.name: group.size for group in groups}
    check_names(keep, sizes, "channel groups", place="keep")
    for name, channels in keep.items():
        rising = list(channels) == sorted(set(channels))
        if not channels or not rising or channels[0] < 0 or channels[-1] >= sizes[name]:
            raise ConfigError(
                f"keep[{name!r}] must be rising channel numbers in 0..{sizes[name] - 1}, at least one, "
                f"but got {list(channels)!r}"
            )
