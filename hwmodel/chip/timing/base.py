"""What is asked of every timing: one place per question.

A chip whose file has no `timing:` takes a cycle per step of its mapping and MAC rate, and its ports work beside
that: `Timing` itself. The kinds of `timing:` answer where they differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwmodel.network.layer import Layer


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How the cycles of a chip come about.

    Attributes:
        by_blocks: outputs are made block by block: the block is the mapping, chosen by rules of its own, and the
            tensors have an outermost memory apart from that of the weights.
        by_commands: loads, passes and stores of a tile take what their commands say, whatever the ports of the
            memories: energy asks for another mapping than cycles.
        by_streams: operands arrive on ports of their own, each word once per pass.
    """

    by_blocks: ClassVar[bool] = False
    by_commands: ClassVar[bool] = False
    by_streams: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """In a few words; empty where the file has no `timing:`."""
        return ""

    @property
    def fetches_ahead(self) -> bool:
        """Weights of a layer may come while the one before it runs."""
        return False

    def steps(self, layer: Layer) -> int | None:
        """Steps of the array in closed form; None: the iterations of the mapping."""
        return None

    def least_cycles(self, layer: Layer, w_bits: int, i_bits: int) -> int:
        """Cycles that a layer takes at least at the widths of its operands [bit], whatever its mapping."""
        return 0

    def outputs_at_once(self, brick: int, *, multiplied: bool) -> tuple[int, int, int, int] | None:
        """Images, channels, rows, columns of outputs of a vector operation that are made whole; None: single ones.

        Args:
            brick: channels that lie together in memory.
            multiplied: the operation goes through the multipliers.
        """
        return None
