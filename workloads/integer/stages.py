"""Operations joined into stages: a batch norm and a clamp become part of the operation before them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from hwmodel.errors import ConfigError
from workloads.integer.folding import norms_behind
from workloads.integer.reading import Op

#: Operations that can clamp what they requantize.
_CLAMPS = ("layer", "add", "avg_pool", "mean")


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """One requantization, or one movement of data.

    Attributes:
        op: what is computed.
        inputs: names of the stages that it reads.
        norm: the batch norm behind it.
        low, high: the clamp behind it, in values; None is no limit.
        last: the operation whose values leave the stage.
    """

    op: Op
    inputs: tuple[str, ...]
    norm: nn.Module | None
    low: float | None
    high: float | None
    last: Op

    @property
    def name(self) -> str:
        return self.op.name


def join(ops: list[Op]) -> list[Stage]:
    """Stages in order.

    Raises:
        ConfigError: a batch norm that does not alone follow a layer.
    """
    readers: dict[str, list[Op]] = {}
    for op in ops:
        for source in op.inputs:
            readers.setdefault(source, []).append(op)
    by_name, norms = {op.name: op for op in ops}, norms_behind(ops)
    home: dict[str, str] = {}
    stages = []
    for op in ops:
        if op.name in home:
            continue
        last, norm, low, high = op, None, None, None
        if op.name in norms:
            last = by_name[norms[op.name]]
            norm = last.module
        behind = readers.get(last.name, [])
        if op.kind in _CLAMPS and len(behind) == 1 and behind[0].kind == "clamp":
            last = behind[0]
            low, high = last.options["low"], last.options["high"]
        if op.kind == "norm":
            raise ConfigError(
                f"{op.name!r}: a batch norm must follow a convolution or linear layer that nothing else reads, "
                "to become part of its requantization."
            )
        for name in (op.name, last.name, *([norms[op.name]] if norm is not None else [])):
            home[name] = op.name
        inputs = tuple(home[source] for source in op.inputs)
        stages.append(Stage(op=op, inputs=inputs, norm=norm, low=low, high=high, last=last))
    return stages
