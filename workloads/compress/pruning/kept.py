"""Channels that cannot be cut, and which module keeps them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from workloads.compress.layers import COMPRESSIBLE
from workloads.compress.pruning.classes import Followed

if TYPE_CHECKING:
    from workloads.compress.pruning.groups import ChannelGroup


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Output channels of a convolution or linear layer that stay.

    Attributes:
        module: its name.
        channels: how many of them.
        reason: the module and op that keep them.
    """

    module: str
    channels: int
    reason: str

    def __str__(self) -> str:
        """`conv1: 16 channels stay: norm1 (layer_norm) mixes or cuts them`."""
        return f"{self.module}: {self.channels} channel{'s' * (self.channels > 1)} stay: {self.reason}"


def kept_channels(
    model: nn.Module, followed: Followed, refused: Mapping[str, str], groups: Iterable[ChannelGroup]
) -> tuple[Kept, ...]:
    """Every channel of a producer that is in no group, by reason; in the order of the modules.

    Args:
        model: that was followed.
        followed: through it.
        refused: name -> why nothing of that module can be cut.
        groups: that were found.
    """
    cut = {member.module: member.channels for group in groups for member in group.producers}
    found = []
    for name, module in model.named_modules():
        if not isinstance(module, COMPRESSIBLE):
            continue
        use = followed.uses.get(name)
        if use is None:
            reason = refused.get(name, "it was not called")
            found.append(Kept(module=name, channels=_outputs(module), reason=reason))
        elif not use.is_carrier:
            reasons = Counter(filter(None, followed.classes.reasons(use.writes)))
            found += [Kept(module=name, channels=count, reason=why) for why, count in reasons.items()]
            if not reasons and name not in cut:
                found.append(Kept(module=name, channels=len(use.writes), reason="there is no other in their group"))
    return tuple(found)


def _outputs(module: nn.Module) -> int:
    """Channels that a convolution or linear layer computes."""
    return int(getattr(module, "out_channels", 0) or getattr(module, "out_features", 0))
