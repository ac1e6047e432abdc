"""Ops that take functions: control flow, and attention with a score function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from workloads.tracing.ops.rewrites import attention
from workloads.tracing.ops.rules import CannotFollowError


def _cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Any = ()) -> Any:
    """The branch that the data choose."""
    return (true_fn if bool(pred) else false_fn)(*operands)


def _while_loop(
    cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried: tuple[Any, ...], additional: Any = ()
) -> Any:
    """As many rounds as the data choose."""
    while bool(cond_fn(*carried, *additional)):
        carried = tuple(body_fn(*carried, *additional))
    return carried


def _flex_attention(
    query: Tensor, key: Tensor, value: Tensor, score_mod: Any, block_mask: Any, scale: float, *_: Any, **__: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Dense attention: blocks that a mask leaves out are counted, and the score function is not."""
    out = attention(query, key, value, scale=scale, enable_gqa=True)
    rows = query.new_zeros(query.shape[:-1])
    return out, rows, rows


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cond": _cond,
    "while_loop": _while_loop,
    "flex_attention": _flex_attention,
}


def run_higher_order(op: torch._ops.HigherOrderOperator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call the op in plain Python.

    Raises:
        CannotFollowError: it is another op than these.
    """
    function = _FUNCTIONS.get(str(op))
    if function is None:
        raise CannotFollowError(f"the higher-order op {op}")
    return function(*args, **kwargs)
