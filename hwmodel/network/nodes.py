"""What a layer graph is made of beside its layers: vector operations, ports, tensors, and what was not counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from hwmodel.errors import GraphError
from hwmodel.network.layer import MAX_MACS, Layer

#: Kinds of operations without MACs that models are traced to.
OP_KINDS = (
    "activation", "add", "cast", "concat", "copy", "distance", "elementwise", "embedding", "fft", "gather", "loss",
    "mul", "norm", "pad", "pool", "reduce", "resize", "scan", "softmax", "sort",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class VectorOp:
    """An operation without MACs: add, pool, norm, softmax, activation, ... It costs traffic and vector cycles.

    Attributes:
        name: unique in its graph.
        kind: `add`, `mul`, `activation`, `norm`, `pool`, `softmax`, `concat`, `resize`, ...
        elements_in: elements read, all inputs together (parameters left out).
        elements_out: elements written.
        ops_per_element: arithmetic operations per element of the output.
        module: the torch module that it ran in; "" at the top.
        fused: it can be applied to the outputs of the layer before it as they leave the array
            (activation, batch norm, add, pool): what streams into it then costs no traffic.
        parameters: elements of the parameters that it reads (scales and shifts of a norm, slopes, a table that is
            added), as floats.
        pieces: of a concatenation whose inputs may lie in its output, the nodes that make them, in order.
    """

    name: str
    kind: str
    elements_in: int
    elements_out: int
    ops_per_element: float = 1.0
    module: str = ""
    fused: bool = False
    parameters: int = 0
    pieces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("elements_in", "elements_out", "ops_per_element", "parameters"):
            value = getattr(self, name)
            if not 0 <= value <= MAX_MACS:  # NaN is not
                raise GraphError(f"op {self.name!r}: `0 <= {name} <= 2^53` must hold, but got {value!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `parameters` and `pieces` only where there are any."""
        values = {**asdict(self), "pieces": list(self.pieces)}
        return {key: value for key, value in values.items() if value or key not in ("parameters", "pieces")}


@dataclass(frozen=True, kw_only=True)
class Port:
    """An input or output of the network."""

    name: str
    kind: Literal["input", "output"]


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """What flows along an edge. One tensor read by two nodes has one name on both edges."""

    name: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        count = 1
        for bound in self.shape:
            count *= bound
        return count


@dataclass(frozen=True, kw_only=True)
class Uncounted:
    """An op that no rule covers: the totals are a lower bound."""

    op: str
    module: str
    calls: int


@dataclass(frozen=True, kw_only=True)
class Folded:
    """Work on constants alone, whatever the input: it is done once, ahead of time, and is no layer of the graph.

    Attributes:
        op: that does it.
        module: that it ran in.
        calls: of the op there.
        macs: of all calls, not among those of the graph; 0 for an op without MACs.
    """

    op: str
    module: str
    calls: int
    macs: int = 0


Node = Layer | VectorOp | Port
