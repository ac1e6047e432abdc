"""Learning rates over a run: warm-up, then constant, cosine or steps. Plain arithmetic, no torch.

`progress` is in finished epochs, fractions included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

SCHEDULES = ("cosine", "constant", "multistep")


def warmup(lr: float, progress: float, epochs: float) -> float:
    """Linear from 0 to `lr` over the first `epochs`; `lr` afterwards."""
    return lr * progress / epochs if progress < epochs else lr


def cosine(lr: float, progress: float, start: float, end: float, floor: float = 0.0) -> float:
    """Half a cosine from `lr` at `start` to the rate `floor` at `end`, flat outside.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017, equation 5, without restarts.
    """
    share = (progress - start) / max(end - start, 1e-9)
    return floor + (lr - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, share))))


def multistep(lr: float, progress: float, milestones: Sequence[float], gamma: float) -> float:
    """lr * gamma^(milestones passed): the epoch after a milestone is the first with the lower rate."""
    return float(lr * gamma ** sum(progress > milestone for milestone in milestones))
