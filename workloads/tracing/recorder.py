"""Records the ops of a forward pass as the nodes and edges of a layer graph.

Under inference mode a dispatch mode sees composite ops (linear, matmul, attention) whole, so that a
replayed export and a plain call give the same sequence, and one table of rules serves both.

Edges follow the identity of tensors, through views. A tensor that depends on no input of the
network is a *weight*, and ops on weights alone are free: they can be done once, ahead of time. The
one exception is a product of a parameter with a tensor made in the forward, such as the zeros that a
recurrent layer starts from: it is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from hwmodel.graph import Tensor
from workloads.tracing.builder import GraphBuilder
from workloads.tracing.higher_order import run_higher_order
from workloads.tracing.rules import (
    Contraction,
    Free,
    OpCall,
    Rewrite,
    Vector,
    bind_arguments,
    op_name,
    rule_of,
)
from workloads.tracing.scope import Scope


@dataclass(frozen=True, kw_only=True)
class Value:
    """What an activation tensor holds: the tensor of the node that computed it, and when."""

    source: str
    tensor: Tensor
    time: int


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Where a weight comes from: the largest parameter (or buffer) that it was computed from."""

    module: str
    name: str
    elements: int
    is_parameter: bool

    def part(self, weight: torch.Tensor) -> str:
        """The weight's name in its module; a slice of it also says where it starts."""
        whole = weight.numel() == self.elements
        return self.name if whole else f"{self.name}[{weight.storage_offset()}:]"


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Dispatch mode that fills a `GraphBuilder`.

    Args:
        builder: receives the nodes and edges.
        scope: tells which module runs.
        has_inputs: the network reads a tensor. One that does not computes from weights alone, and
            then everything is recorded.
        follows_host: numbers may leave for numpy and come back (see `escapes`).
    """

    supports_higher_order_operators = True

    def __init__(
        self, builder: GraphBuilder, scope: Scope, *, has_inputs: bool, follows_host: bool = False
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.builder = builder
        self.scope = scope
        self.has_inputs = has_inputs
        self.follows_host = follows_host
        self._time = 0
        self._values: MutableMapping[torch.Tensor, Value] = WeakTensorKeyDictionary()
        self._writers: dict[int, Value] = {}
        self._owners: MutableMapping[torch.Tensor, Owner] = WeakTensorKeyDictionary()
        self._host: list[Value] = []
        self._made: MutableMapping[torch.Tensor, bool] = WeakTensorKeyDictionary()  # by ops, not on the host

    # ---- ends ----------------------------------------------------------------------------------

    def add_weight(self, tensor: torch.Tensor, owner: str, name: str, *, is_parameter: bool) -> None:
        """A parameter or buffer, the module that owns it and its name there."""
        self._owners[tensor] = Owner(module=owner, name=name, elements=tensor.numel(), is_parameter=is_parameter)

    def add_input(self, tensor: torch.Tensor, name: str) -> None:
        """An input tensor of the network; one that is given twice comes from the last place, as in export."""
        port = self.builder.add_port(name, "input")
        self._set_value(tensor, port, Tensor(name=port, shape=tuple(tensor.shape)))

    def add_output(self, tensor: torch.Tensor, name: str) -> None:
        """An output tensor of the network."""
        port = self.builder.add_port(name, "output")
        value = self._value(tensor)
        if value is not None:
            self.builder.connect(value.source, port, value.tensor)

    def leave(self, tensor: torch.Tensor) -> None:
        """The numbers of a tensor go to the host: what computed them is needed."""
        value = self._value(tensor)
        if value is not None:
            self.builder.keep(value.source)
            self._host.append(value)

    def value_of(self, tensor: torch.Tensor) -> Value | None:
        """What an activation tensor holds; None for a weight or a tensor that no recorded op made."""
        return self._value(tensor)

    def set_value(self, tensor: torch.Tensor, value: Value) -> None:
        """The tensor holds what another one holds."""
        self._values[tensor] = value

    # ---- ops -----------------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if isinstance(func, torch._ops.HigherOrderOperator):
            with self:
                return run_higher_order(func, args, kwargs)
        tensors = _tensors((args, kwargs))
        if self._host:
            self._return_from_host(tensors)
        active = [tensor for tensor in tensors if self._value(tensor) is not None]
        rule = rule_of(op_name(func))
        if not active and not self._is_work(rule, tensors):
            output = func(*args, **kwargs)
            self._record_weights(op_name(func), tensors, output)
            self._remember_made(output)
            return output
        if isinstance(rule, Rewrite):
            with self:
                return rule.function(*args, **kwargs)
        if rule is None:
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        output = func(*args, **kwargs)
        call = OpCall(
            op=op_name(func),
            arguments=bind_arguments(func, args, kwargs),
            output=output,
            weights=frozenset(id(tensor) for tensor in tensors if self._value(tensor) is None),
        )
        self._forget_reused_storage(tensors, output)
        self._record(call, rule, active, _written(func, call.arguments))
        self._remember_made(output)
        return output

    def _is_work(self, rule: Any, tensors: list[torch.Tensor]) -> bool:
        """An op on weights alone is to be done for every input all the same."""
        if not tensors or not self.has_inputs:
            return bool(tensors)
        owners = [self._owners.get(tensor) for tensor in tensors]
        on_parameter = any(owner is not None and owner.is_parameter for owner in owners)
        has_macs = callable(rule) or rule is None or isinstance(rule, Rewrite)
        return has_macs and on_parameter and None in owners

    def _record_weights(self, op: str, tensors: list[torch.Tensor], output: Any) -> None:
        self.builder.count_free(op)
        owners = [self._owners[tensor] for tensor in tensors if tensor in self._owners]
        self._forget_reused_storage(tensors, output)
        if owners:
            for tensor in _tensors(output):
                if tensor not in self._owners:
                    self._owners[tensor] = max(owners, key=lambda owner: owner.elements)

    def _record(self, call: OpCall, rule: Any, active: list[torch.Tensor], written: list[torch.Tensor]) -> None:
        outputs = _tensors(call.output)
        if isinstance(rule, Free) or not outputs:
            self.builder.count_free(call.op)
            if not outputs:  # a number for Python, which may decide by it what runs
                self._keep(active)
            if isinstance(rule, Free) and rule.passes_through and active:
                for tensor in outputs:
                    self._alias(tensor, active[0])
            return
        node = self._add_node(call, rule, active)
        if node is None:
            for tensor in outputs if active else ():
                self._alias(tensor, active[0])
            return
        for tensor in active:
            value = self._value(tensor)
            if value is not None:
                self.builder.connect(value.source, node, value.tensor)
        for index, tensor in enumerate(outputs):
            name = node if index == 0 else f"{node}:{index}"
            self._set_value(tensor, node, Tensor(name=name, shape=tuple(tensor.shape)))
        for tensor in written:
            value = self._set_value(tensor, node, Tensor(name=node, shape=tuple(tensor.shape)))
            self._writers[_storage(tensor)] = value

    def _add_node(self, call: OpCall, rule: Any, active: list[torch.Tensor]) -> str | None:
        """The name of the new node; None where the op has nothing to do (a product of empty tensors)."""
        scope = self.scope.path
        elements_in = sum({id(tensor): tensor.numel() for tensor in active}.values())
        if isinstance(rule, Vector):
            return self.builder.add_vector(call, rule, scope, elements_in)
        if rule is None:
            return self.builder.add_uncounted(call, scope, elements_in)
        contraction: Contraction = rule(call).in_reals()
        if any(bound == 0 for bound in contraction.dims.values()):
            self.builder.count_free(call.op)
            return None
        if contraction.packed_as:
            return self.builder.add_layer(call, contraction, scope, scope, contraction.packed_as)
        owner = self._owners.get(contraction.weight)
        if owner is None:
            return self.builder.add_layer(call, contraction, scope, None, "")
        return self.builder.add_layer(call, contraction, scope, owner.module, owner.part(contraction.weight))

    def _remember_made(self, output: Any) -> None:
        if self.follows_host:
            self._made.update(dict.fromkeys(_tensors(output), True))

    def _return_from_host(self, tensors: list[torch.Tensor]) -> None:
        """A tensor from nowhere, after numbers have left, was computed from them on the host."""
        for tensor in tensors:
            if self._value(tensor) is None and tensor not in self._owners and tensor not in self._made:
                call = OpCall(op="host::numpy", arguments={}, output=tensor, weights=frozenset())
                elements = sum(value.tensor.elements for value in self._host)
                node = self.builder.add_uncounted(call, self.scope.path, elements)
                for value in self._host:
                    self.builder.connect(value.source, node, value.tensor)
                self._set_value(tensor, node, Tensor(name=node, shape=tuple(tensor.shape)))

    # ---- values --------------------------------------------------------------------------------

    def _value(self, tensor: torch.Tensor) -> Value | None:
        """The value of a tensor, or of the last write into its storage if that came later."""
        own = self._values.get(tensor)
        written = self._writers.get(_storage(tensor)) if self._writers else None
        if written is not None and (own is None or written.time > own.time):
            return written
        return own

    def _set_value(self, tensor: torch.Tensor, source: str, held: Tensor) -> Value:
        self._time += 1
        value = Value(source=source, tensor=held, time=self._time)
        self._values[tensor] = value
        return value

    def _keep(self, tensors: Iterable[torch.Tensor]) -> None:
        for tensor in tensors:
            value = self._value(tensor)
            if value is not None:
                self.builder.keep(value.source)

    def _alias(self, tensor: torch.Tensor, original: torch.Tensor) -> None:
        value = self._value(original)
        if value is not None:
            self._values[tensor] = value

    def _forget_reused_storage(self, inputs: Iterable[torch.Tensor], output: Any) -> None:
        """A fresh tensor may lie where a freed one lay that was written to."""
        if not self._writers:
            return
        kept = {_storage(tensor) for tensor in inputs}
        for tensor in _tensors(output):
            if _storage(tensor) not in kept:
                self._writers.pop(_storage(tensor), None)


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _written(func: Any, arguments: Mapping[str, Any]) -> list[torch.Tensor]:
    """The argument tensors that an in-place op writes to."""
    if not func._schema.is_mutable:
        return []
    names = [a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    return _tensors([arguments[name] for name in names])
