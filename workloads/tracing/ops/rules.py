"""What the tracer does with an op: one table, from the name of an op to its rule.

An op has exactly one of four fates:

- a **counted** layer: a function from `OpCall` to `Contraction`, whose dims come from tensor shapes;
- a **vector** op: `Vector(kind, ops, fused)`, no MACs but traffic and vector cycles;
- explicitly **free**: `FREE`, a view or a change of layout that passes its input through, or
  `CONSTANT`, whose result does not depend on the inputs of the network;
- a **rewrite**: `Rewrite(function)`, the same mathematics in ops that have a rule.

An op without a rule is decomposed when torch knows how (composite ops); otherwise it is
*uncounted*: the totals are a lower bound, and an error in strict mode.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from hwmodel.errors import TraceError
from hwmodel.network.layer import NO_PADS, RELEVANT, Kind, Pads


class CannotFollowError(Exception):
    """A route meets something that it does not follow; another one may."""


@dataclass(frozen=True, kw_only=True)
class OpCall:
    """One call of an op, as a rule sees it.

    Attributes:
        op: its name without overload and in-place underscore, `"aten::conv2d"`.
        arguments: the values by the names of the op's schema, defaults filled in.
        output: what the call returned (a tensor, or a tuple or list of tensors).
        weights: ids of the argument tensors that do not depend on the inputs of the network.
    """

    op: str
    arguments: Mapping[str, Any]
    output: Any
    weights: frozenset[int]

    def __getitem__(self, name: str) -> Any:
        """The argument of that name."""
        return self.arguments[name]

    @property
    def out(self) -> torch.Tensor:
        """The first tensor of the output."""
        output: torch.Tensor = self.output[0] if isinstance(self.output, (tuple, list)) else self.output
        return output

    def is_weight(self, tensor: torch.Tensor) -> bool:
        """The tensor is a parameter, or is computed from parameters only."""
        return id(tensor) in self.weights


@dataclass(frozen=True, kw_only=True)
class Contraction:
    """A layer with MACs, before it has a name.

    Attributes:
        kind: `conv`, `linear`, or `matmul` where W is an activation.
        dims: bounds by the names B G K C OY OX FY FX; missing ones are 1.
        weight: the tensor that plays W; its owner names the layer.
        stride, dilation: (y, x).
        padding: ((top, bottom), (left, right)) that the filter reaches.
        has_bias: a bias is added to every output.
        packed_as: name of the weight in the module that runs, where that keeps it in a form that is no tensor.
    """

    kind: Kind
    dims: Mapping[str, int]
    weight: torch.Tensor
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: Pads = NO_PADS
    has_bias: bool = False
    packed_as: str = ""

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return math.prod(self.dims.values())

    @property
    def weight_elements(self) -> int:
        """Elements of W, however few a packed tensor takes for them."""
        return math.prod(self.dims.get(name, 1) for name in RELEVANT["W"])

    def in_reals(self) -> Contraction:
        """A complex product in real MACs, four for one: (re, im) rows times [[re, im], [-im, re]] stored once."""
        if not self.weight.is_complex():
            return self
        twice = {name: 2 * self.dims.get(name, 1) for name in ("B", "C")}
        return replace(self, dims={**self.dims, **twice})


@dataclass(frozen=True, kw_only=True)
class Vector:
    """An op without MACs.

    Attributes:
        kind: the `kind` of the `VectorOp`.
        ops: arithmetic operations per element of the output, every elementary function (exp, erf,
            sqrt, a division, a comparison) counted as one; a function where it depends on the call.
        fused: it is applied to the stream of outputs of the layer before it.
        reads_table: it gathers elements from a parameter (embedding): as many as it writes, or as a function says.
        parameters: elements of parameters that it reads, where they are not those of its arguments.
    """

    kind: str
    ops: float | Callable[[OpCall], float] = 1.0
    fused: bool = False
    reads_table: bool | Callable[[OpCall], int] = False
    parameters: Callable[[OpCall], int] | None = None

    def ops_per_element(self, call: OpCall) -> float:
        return float(self.ops(call) if callable(self.ops) else self.ops)

    def elements_gathered(self, call: OpCall) -> int:
        """Elements read from a parameter."""
        if callable(self.reads_table):
            return self.reads_table(call)
        return call.out.numel() if self.reads_table else 0


@dataclass(frozen=True)
class Free:
    """The type of `FREE` and `CONSTANT`.

    Attributes:
        passes_through: the result is the first input.
        bits: arguments of a call -> bits of its result, where the op rounds to a grid (simulated quantization).
    """

    passes_through: bool
    bits: Callable[[Mapping[str, Any]], int] | None = None


#: The op moves and computes nothing: its result is its first input, seen differently.
FREE = Free(passes_through=True)
#: The op moves and computes nothing: its result does not depend on what its inputs hold.
CONSTANT = Free(passes_through=False)


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """The op is replaced by a function of the same arguments, whose ops are recorded instead."""

    function: Callable[..., Any]


Counted = Callable[[OpCall], Contraction | Vector]
Rule = Counted | Vector | Free | Rewrite

_NAME = re.compile(r"\w+::\w+")
_RULES: dict[str, Rule] = {}


def register_op(name: str, rule: Rule) -> None:
    """Teach the tracer an op, or change what it does with one.

    Args:
        name: `"namespace::op"` without overload, for example `"mylib::deform_attn"`. The in-place
            form (`aten::relu_`) follows the rule of the plain one.
        rule: a function from `OpCall` to `Contraction` for an op with MACs, `Vector(...)`, `FREE`,
            `CONSTANT` or `Rewrite(function=...)`.

    Raises:
        TraceError: the name is not of that form, or the rule is none of these.

    Example:
        >>> register_op("mylib::scaled_relu", Vector(kind="activation", ops=2, fused=True))
    """
    if not _NAME.fullmatch(name):
        raise TraceError(f"register_op: the name must be 'namespace::op' without overload, but got {name!r}")
    if not (isinstance(rule, (Vector, Free, Rewrite)) or callable(rule)):
        raise TraceError(
            f"register_op: the rule of {name!r} must be a function of an OpCall, Vector, FREE, CONSTANT or "
            f"Rewrite, but got {rule!r}"
        )
    _RULES[name] = rule


def rule_of(name: str) -> Rule | None:
    """The rule of an op, None where it has none."""
    return _RULES.get(name)


#: The same op under another name without gradients.
_SAME = {"aten::_embedding_bag_forward_only": "aten::_embedding_bag"}


@functools.cache
def op_name(func: torch._ops.OpOverload) -> str:
    """`"aten::relu"` for `aten.relu_.default`: the schema's name without the in-place underscore."""
    name = func._schema.name
    name = name[:-1] if name.endswith("_") and not name.endswith("__") else name
    return _SAME.get(name, name)


def bind_arguments(func: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by the names of the op's schema, defaults filled in."""
    bound = dict(_defaults(func))
    bound.update(zip(bound, args, strict=False))
    bound.update(kwargs)
    return bound


def arguments_of(func: torch._ops.OpOverload) -> Collection[str]:
    """The names of the arguments of an op's schema."""
    return _defaults(func).keys()


@functools.cache
def _defaults(func: torch._ops.OpOverload) -> dict[str, Any]:
    """The arguments of an op's schema with their defaults, None where there is none."""
    return {a.name: a.default_value if a.has_default_value() else None for a in func._schema.arguments}
