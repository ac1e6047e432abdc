"""Shapes of the inputs of an ONNX network: what the file says, and what the user adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from hwmodel.errors import TraceError, did_you_mean
from workloads.options import is_integer

if TYPE_CHECKING:
    from onnx import ModelProto, TypeProto, ValueInfoProto

Shapes = Mapping[str, Sequence[int] | int]
Bound = int | str | None

#: Inputs of an op that are parameters of the network, also where the file lists them as its inputs.
_PARAMETERS = {
    "Conv": (1, 2), "ConvTranspose": (1, 2), "BatchNormalization": (1, 2, 3, 4), "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2), "GroupNormalization": (1, 2), "LSTM": (1, 2, 3), "GRU": (1, 2, 3),
    "RNN": (1, 2, 3), "Gemm": (1, 2), "PRelu": (1,), "QLinearConv": (1, 2, 3, 4, 5, 6, 7, 8),
}  # fmt: skip


def declared_bounds(kind: TypeProto) -> list[Bound] | None:
    """Bound per dim of a tensor type: a number, the name of a symbol, or None; None where the rank is open."""
    if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else (dim.dim_param or None)
        for dim in kind.tensor_type.shape.dim
    ]


def split_inputs(model: ModelProto) -> tuple[list[ValueInfoProto], list[ValueInfoProto]]:
    """(inputs of the network, weights without an initializer that are listed among them)."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    listed = [value for value in model.graph.input if value.name not in initializers]
    as_parameter: dict[str, bool] = {}
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            slot = index in _PARAMETERS.get(node.op_type, ())
            as_parameter[name] = as_parameter.get(name, True) and slot
    data = [value for value in listed if not as_parameter.get(value.name, False)]
    if not data:
        return listed, []
    return data, [value for value in listed if value not in data]


def input_shapes(
    inputs: Sequence[ValueInfoProto], given: Shapes, others: Iterable[str]
) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """The shape of every input, and the bounds of the symbols in them.

    A symbol takes what `given` says; the first dim is 1 where nothing says another.

    Args:
        inputs: of the network.
        given: input name -> shape, symbol -> bound, or "" -> the shape of the one input.
        others: names of further tensors that `given` may speak of.

    Raises:
        TraceError: a name is unknown, a shape does not fit, or a dim stays unknown.
    """
    given = _named(given, [value.name for value in inputs])
    declared = {value.name: declared_bounds(value.type) for value in inputs}
    symbols = {name: bound for name, bound in given.items() if isinstance(bound, int) and name not in declared}
    known_symbols = {dim for dims in declared.values() for dim in dims or () if isinstance(dim, str)}
    known = [*declared, *sorted(known_symbols)]
    for name, value in given.items():
        if not (name in declared or name in known_symbols or (not isinstance(value, int) and name in set(others))):
            raise TraceError(
                f"shapes: {name!r} is no input of the network.{did_you_mean(name, known)} It has {_listed(known)}."
            )
        if any(not is_integer(bound, 1) for bound in _tuple(value)):
            raise TraceError(f"shapes: every dim must be an integer >= 1, but {name!r} has {value!r}")
    resolved = {}
    for name, dims in declared.items():
        own = _tuple(given[name]) if name in given else None
        resolved[name] = _resolve(name, dims, own, symbols)
    return resolved, symbols


def _named(given: Shapes, names: list[str]) -> Shapes:
    """The shape without a name goes to the only input."""
    if "" not in given:
        return given
    if len(names) != 1:
        raise TraceError(
            f"shapes: the network has {len(names)} inputs, {_listed(names)}: "
            f"say whose shape it is, as --input '{';'.join(f'{name}=...' for name in names)}'"
        )
    return {**{key: value for key, value in given.items() if key}, names[0]: given[""]}


def _resolve(
    name: str, dims: list[Bound] | None, own: tuple[int, ...] | None, symbols: dict[str, int]
) -> tuple[int, ...]:
    if dims is None:
        if own is None:
            raise TraceError(f"input {name!r}: the file does not say its shape. {_fix(name, '1,3,224,224')}")
        return own
    if own is not None:
        if len(own) != len(dims):
            raise TraceError(f"input {name!r} must have {len(dims)} dims, {_show(dims)}, but got {own}")
        for index, (bound, dim) in enumerate(zip(own, dims, strict=True)):
            fixed = symbols.setdefault(dim, bound) if isinstance(dim, str) else dim
            if fixed is not None and bound != fixed:
                reason = (
                    f"{dim!r} is {fixed}" if isinstance(dim, str) else "export it with a dynamic axis for another"
                )
                raise TraceError(
                    f"input {name!r} must have the shape {_show(dims)}, but got {own}: "
                    f"dim {index} is fixed: {reason}."
                )
        return own
    if dims and isinstance(dims[0], str):
        symbols.setdefault(dims[0], 1)
    shape = [symbols.get(dim) if isinstance(dim, str) else dim for dim in dims]
    if shape and shape[0] is None:
        shape[0] = 1
    missing = [index for index, bound in enumerate(shape) if bound is None]
    if missing:
        example = ",".join("N" if bound is None else str(bound) for bound in shape)
        named = next((dim for dim in dims if isinstance(dim, str) and dim not in symbols), None)
        raise TraceError(
            f"input {name!r} has the shape {_show(dims)}: dim {missing[0]} is not known. {_fix(name, example)}"
            + (f" Or the symbol: --input {named}=N." if named else "")
        )
    return tuple(bound for bound in shape if bound is not None)


def _fix(name: str, example: str) -> str:
    return f"Give it: --input {name}={example} (shapes={{{name!r}: ({example})}} in Python)."


def _tuple(value: Sequence[int] | int) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def _show(dims: Sequence[Bound]) -> str:
    return f"({', '.join('?' if dim is None else str(dim) for dim in dims)})"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
