"""An option is given once, or it is one of those that may be repeated: of two values none is dropped in silence."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand


class OnceCommand(TyperCommand):
    """A command that refuses an option given twice."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for param in dict.fromkeys(order):
            repeatable = getattr(param, "multiple", False) or getattr(param, "count", False) or param.nargs != 1
            if (
                param.param_type_name == "option"
                and not repeatable
                and not _is_flag(param)
                and order.count(param) > 1
            ):
                raise typer.BadParameter(
                    f"is given {order.count(param)} times, but takes one value", param_hint=param.opts[0]
                )
        return super().parse_args(ctx, args)


def _is_flag(param: Any) -> bool:
    """It has no value, and no opposite that could contradict it."""
    return bool(getattr(param, "is_flag", False)) and not param.secondary_opts
