"""From what an observer saw to the scale of a grid: by its range, or where the squared error is smallest."""

from __future__ import annotations

import torch
from torch import Tensor

from workloads.compress.observer import RangeObserver

NUM_CANDIDATES = 96
#: Elements that a search for a step works on at once: many steps of a small tensor, one of a large one.
SEARCH_BLOCK = 1 << 16


def symmetric_steps(observer: RangeObserver, rule: str, qn: float, qp: float, offset: float) -> Tensor:
    """The step of step * (code + offset), code = qn..qp, for every row.

    Args:
        observer: has seen values.
        rule: an observer's.
        qn, qp, offset: of `integer_range`.

    Returns:
        (R,) float32, > 0; 1 where every value is 0 or out of reach.
    """
    if rule == "mse":
        return mse_steps(observer.sample, qn, qp, offset)
    reach = _reach(*observer.extremes(rule), qn, qp, offset)
    return torch.where(reach > 0, reach, 1.0)


def affine_steps(
    observer: RangeObserver, rule: str, levels: int, *, integral: bool = True
) -> tuple[Tensor, Tensor]:
    """The step and the zero point of step * (code - zero), code = 0..levels, for every row.

    The range is widened to contain 0. With an integral zero point 0 is exactly on the grid: padding and
    ReLU stay exact. Without, the lower end is: code 0 means the lowest value.

    Returns:
        Step (R,) > 0 and zero point (R,), both float64.
    """
    low, high = observer.extremes(rule)
    if rule != "mse":
        return affine_grid(low.double(), high.double(), levels, integral=integral)
    sample = observer.sample.double()
    best = [torch.full_like(low, torch.inf, dtype=torch.float64) for _ in range(3)]
    for factor in _factors(low.device):
        step, zero = affine_grid(low.double() * factor, high.double() * factor, levels, integral=integral)
        codes = (sample / step[:, None]).add_(zero[:, None]).clamp_(0, levels).round_()
        error = (codes.sub_(zero[:, None]).mul_(step[:, None]).sub_(sample)).square_().nansum(1)
        better = error <= best[0]
        best = [torch.where(better, new, old) for new, old in zip((error, step, zero), best, strict=True)]
    return best[1], best[2]


def affine_grid(low: Tensor, high: Tensor, levels: int | Tensor, *, integral: bool = True) -> tuple[Tensor, Tensor]:
    """Step and zero point of levels + 1 values from low to high, widened to contain 0.

    Args:
        low, high: of any one shape.
        levels: 2^b - 1, or 0: then the only code is 0 and means 0.
        integral: round the zero point.
    """
    low, high = low.clamp_max(0.0), high.clamp_min(0.0)
    step = (high - low) / (levels if isinstance(levels, Tensor) else torch.tensor(levels)).clamp_min(1)
    step = torch.where(step > 0, step, 1.0)
    zero = torch.round(-low / step) if integral else -low / step
    return step, zero.clamp_max(levels)


def mse_step(values: Tensor, qn: float, qp: float, offset: float, num_candidates: int = NUM_CANDIDATES) -> Tensor:
    """The step with the smallest squared error, searched on a geometric grid.

    The largest candidate just reaches the extreme value, the smallest clips at 1 % of it. The paper's
    start 2<|v|>/sqrt(qp) suits training only; this one also serves quantization without training.

    Args:
        values: any shape; all zeros give step 1.
        qn, qp, offset: of `integer_range`.
        num_candidates: tried; neighbours differ by 5 % at 96.

    Returns:
        0-dim, > 0.
    """
    return mse_steps(values.detach().reshape(1, -1).float(), qn, qp, offset, num_candidates)[0]


def mse_steps(rows: Tensor, qn: float, qp: float, offset: float, num_candidates: int = NUM_CANDIDATES) -> Tensor:
    """`mse_step` of every row.

    Args:
        rows: (R, n) float32; NaN is left out.

    Returns:
        (R,) > 0.
    """
    absent = rows.isnan()
    gaps = absent if bool(absent.any()) else None
    flat = rows if gaps is None else rows.masked_fill(absent, 0.0)
    reach = _reach(flat.amin(1), flat.amax(1), qn, qp, offset)
    steps = torch.where(reach > 0, reach * _factors(rows.device, num_candidates)[:, None], 1.0)
    at_once = max(1, SEARCH_BLOCK // max(1, flat.numel()))
    errors = torch.cat([_squared_errors(flat, part, qn, qp, offset, gaps) for part in torch.split(steps, at_once)])
    errors = torch.where(errors.isnan(), torch.inf, errors)
    smallest, order = errors.amin(0), torch.arange(len(steps), device=rows.device)[:, None]
    first = torch.where(errors == smallest, order, len(steps) - 1).amin(0)
    return torch.where(smallest < torch.inf, steps.gather(0, first[None])[0], 1.0)


def _squared_errors(
    flat: Tensor, steps: Tensor, qn: float, qp: float, offset: float, absent: Tensor | None
) -> Tensor:
    """Of every row (R, n) on every step (F, R): (F, R). What is absent does not count."""
    size = steps[:, :, None]
    codes = flat / size
    if offset:
        codes.sub_(offset)
    codes.clamp_(qn, qp).round_()
    if offset:
        codes.add_(offset)
    codes.mul_(size).sub_(flat).square_()
    if absent is not None:
        codes.masked_fill_(absent, 0.0)
    return codes.sum(-1)


def _factors(device: torch.device, num_candidates: int = NUM_CANDIDATES) -> Tensor:
    return torch.logspace(-2, 0, num_candidates, device=device)


def _reach(low: Tensor, high: Tensor, qn: float, qp: float, offset: float) -> Tensor:
    """The step at which the grid just covers low..high."""
    reach = high / max(qp + offset, 0.5)
    return torch.maximum(reach, low / (qn + offset)) if qn + offset else reach
