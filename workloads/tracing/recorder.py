"""Records the ops of a forward pass as the nodes and edges of a layer graph.

Under inference mode a dispatch mode sees composite ops (linear, matmul, attention) whole, so that a
replayed export and a plain call give the same sequence, and one table of rules serves both.

Edges follow the identity of tensors, through views. A tensor that depends on no input of the
network is a *constant*, whether it is a parameter, a buffer, an attribute or made in the forward, and
ops on constants alone are *folded*: they can be done once, ahead of time, and the graph says what they
were. Two things count as inputs: a random draw, which differs from run to run, and the state that a
recurrent op starts from, which is an input that was left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from hwmodel.network.choice import FLOAT_BITS
from hwmodel.network.graph import Tensor
from hwmodel.network.layer import Bits
from workloads.tracing.annotations import StoredBits, narrow_bits, stored_bits
from workloads.tracing.builder import GraphBuilder
from workloads.tracing.composites import Composites
from workloads.tracing.ops.higher_order import run_higher_order
from workloads.tracing.ops.rules import (
    FREE,
    Contraction,
    Free,
    OpCall,
    Rewrite,
    Vector,
    arguments_of,
    bind_arguments,
    op_name,
    rule_of,
)
from workloads.tracing.ops.vector_ops import SELECTIONS
from workloads.tracing.origins import Origin, WeightOrigin, derived, most_weights
from workloads.tracing.scope import Scope
from workloads.tracing.tensors import distinct_elements, storage_of, tensors_in, written_by

#: Numbers that say nothing about where they come from.
_EVERYBODYS = {-1.0, 0.0, 1.0}
#: (name, W, I) of a layer.
Watch = Callable[[str, torch.Tensor, torch.Tensor], None]


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Dispatch mode that fills a `GraphBuilder`.

    Args:
        builder: receives the nodes and edges.
        scope: tells which module runs.
        has_inputs: the network reads a tensor. One that does not computes from weights alone, and
            then everything is recorded.
        quantizers: path of every module that simulates rounding -> bits of its results.
        watch: called with the name, W and I of every layer as it runs.
        follows_host: numbers may leave for numpy and come back (see `escapes`).
    """

    supports_higher_order_operators = True

    def __init__(
        self,
        builder: GraphBuilder,
        scope: Scope,
        *,
        has_inputs: bool,
        quantizers: Mapping[str, int] | None = None,
        watch: Watch | None = None,
        follows_host: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.builder = builder
        self.scope = scope
        self.has_inputs = has_inputs
        self.quantizers = quantizers or {}
        self.watch = watch
        self.follows_host = follows_host
        self._time = 0
        self._origins: MutableMapping[torch.Tensor, Origin] = WeakTensorKeyDictionary()
        self._writers: dict[int, Origin] = {}
        self._weights: MutableMapping[torch.Tensor, WeightOrigin] = WeakTensorKeyDictionary()
        self._host: list[Origin] = []
        self._composites = Composites()
        self._numbers: set[float] = set()  # that Python read from the data
        self._made: MutableMapping[torch.Tensor, bool] = WeakTensorKeyDictionary()  # by ops, not on the host

    # ---- ends ----------------------------------------------------------------------------------

    def add_weight(self, tensor: torch.Tensor, owner: str, name: str, *, is_parameter: bool) -> None:
        """A parameter or buffer, the module that owns it and its name there."""
        self.add_stored_weight(tensor, owner, name, stored_bits(tensor), is_parameter=is_parameter)

    def add_stored_weight(
        self, tensor: torch.Tensor, owner: str, name: str, stored: StoredBits | None, *, is_parameter: bool
    ) -> None:
        """The same for a stand-in, with the widths of the tensor that it stands for."""
        self._weights[tensor] = WeightOrigin(
            module=owner,
            name=name,
            elements=tensor.numel(),
            stored=most_weights(tensor),
            is_parameter=is_parameter,
            bits=stored.w if stored else None,
            input_bits=stored.i if stored else None,
        )

    def add_input(self, tensor: torch.Tensor, name: str) -> None:
        """An input tensor of the network; one that is given twice comes from the last place, as in export."""
        port = self.builder.add_port(name, "input")
        self._new_origin(tensor, port, Tensor(name=port, shape=tuple(tensor.shape)))

    def add_output(self, tensor: torch.Tensor, name: str) -> None:
        """An output tensor of the network."""
        port = self.builder.add_port(name, "output")
        origin = self.origin_of(tensor)
        if origin is not None:
            self.builder.connect(origin.source, port, origin.tensor)

    def leave(self, tensor: torch.Tensor) -> None:
        """The numbers of a tensor go to the host: what computed them is needed."""
        origin = self.origin_of(tensor)
        if origin is not None:
            self.builder.keep(origin.source)
            self._host.append(origin)

    def origin_of(self, tensor: torch.Tensor) -> Origin | None:
        """Where an activation comes from, or the last write into its storage if that came later.

        None for a weight or a tensor that no recorded op made.
        """
        own = self._origins.get(tensor)
        written = self._writers.get(storage_of(tensor)) if self._writers else None
        if written is not None and (own is None or written.time > own.time):
            return written
        return own

    def set_origin(self, tensor: torch.Tensor, origin: Origin) -> None:
        """The tensor comes from where another one does."""
        self._origins[tensor] = origin

    # ---- ops -----------------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if isinstance(func, torch._ops.HigherOrderOperator):
            with self:
                return run_higher_order(func, args, kwargs)
        tensors = tensors_in((args, kwargs))
        if self._host:
            self._return_from_host(tensors)
        active = [tensor for tensor in tensors if self.origin_of(tensor) is not None]
        if active and "hx" in arguments_of(func):
            state = tensors_in(bind_arguments(func, args, kwargs)["hx"])
            self._let_in(tensor for tensor in state if self.origin_of(tensor) is None)
            active = [tensor for tensor in tensors if self.origin_of(tensor) is not None]
        op = op_name(func)
        rule = rule_of(op)
        bits = self._rounded_to(func, rule, args, kwargs)
        if bits is not None and active:
            rule = FREE
        if tensors and isinstance(rule, Rewrite):
            with self:
                return rule.function(*args, **kwargs)
        if tensors and rule is None:
            with self._composites.decomposing(op), self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        output = func(*args, **kwargs)
        call = OpCall(
            op=op,
            arguments=bind_arguments(func, args, kwargs),
            output=output,
            weights=frozenset(map(id, tensors)) - frozenset(map(id, active)),
        )
        if active or (tensors and not self.has_inputs):
            self._forget_reused_storage(tensors, output)
            self._record(call, rule, active, written_by(func, call.arguments), bits)
        else:
            self._fold(call, FREE if bits is not None else rule, tensors, bits)
        drawn = torch.Tag.nondeterministic_seeded in func.tags
        passes = isinstance(rule, Free) and rule.passes_through
        if (drawn and not passes) or (not active and self._holds_read_number(call.arguments)):
            self._let_in(tensor for tensor in tensors_in(output) if self.origin_of(tensor) is None)
        self._remember_made(output)
        return output

    def _holds_read_number(self, arguments: Mapping[str, Any]) -> bool:
        """A number that Python read from the data goes back into a tensor, unchanged."""
        return bool(self._numbers) and any(
            isinstance(value, (int, float)) and value in self._numbers for value in arguments.values()
        )

    def _let_in(self, tensors: Iterable[torch.Tensor]) -> None:
        """Tensors that no port gives, and that are no constants."""
        for tensor in tensors:
            self._new_origin(tensor, "", Tensor(name="", shape=tuple(tensor.shape)))

    def _rounded_to(self, func: Any, rule: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | None:
        """Bits of the grid that a quantizer rounds the result to; None outside quantizers."""
        inside = self.quantizers.get(self.scope.path)
        if inside is None and isinstance(rule, Free) and rule.bits is not None:
            return rule.bits(bind_arguments(func, args, kwargs))
        return inside

    def _count_free(self, op: str) -> None:
        """A call of a free op; what a quantizer does is no op of the network."""
        if self.scope.path not in self.quantizers:
            self.builder.count_free(op)

    def _fold(self, call: OpCall, rule: Any, tensors: list[torch.Tensor], bits: int | None) -> None:
        """An op on constants alone: its result is a weight, and what it would have cost is said."""
        if tensors and not isinstance(rule, Free):
            counted = rule(call) if callable(rule) else None
            macs = counted.in_reals().macs if isinstance(counted, Contraction) else 0
            self.builder.add_folded(call.op, self.scope.path, macs)
        else:
            self._count_free(call.op)
        self._record_weights(call.op, tensors, call.output, bits)

    def _record_weights(self, op: str, tensors: list[torch.Tensor], output: Any, bits: int | None = None) -> None:
        """The outputs belong to the weights that they were computed from."""
        sources = [(tensor, self._weights[tensor]) for tensor in tensors if tensor in self._weights]
        self._forget_reused_storage(tensors, output)
        for tensor in tensors_in(output) if sources else ():
            if tensor not in self._weights:
                owner = derived(op, sources, tensor)
                self._weights[tensor] = owner if bits is None else replace(owner, bits=bits)

    def _record(
        self,
        call: OpCall,
        rule: Any,
        active: list[torch.Tensor],
        written: list[torch.Tensor],
        bits: int | None = None,
    ) -> None:
        outputs = tensors_in(call.output)
        if isinstance(rule, Free) or not outputs:
            if outputs:
                self._count_free(call.op)
            else:  # a number for Python, which may decide by it what runs
                self._keep(active)
                if self.scope.path not in self.quantizers:  # which only simulate
                    self.builder.count_read(call.op)
                    self._numbers |= {call.output} - _EVERYBODYS if isinstance(call.output, (int, float)) else set()
            if isinstance(rule, Free) and rule.passes_through and active:
                for tensor in outputs:
                    self._alias(tensor, active[0], bits)
            return
        node = self._add_node(call, rule, active)
        if node is None:
            for tensor in outputs if active else ():
                self._alias(tensor, active[0])
            return
        read = [origin for origin in map(self.origin_of, active) if origin is not None]
        for origin in read:
            self.builder.connect(origin.source, node, origin.tensor)
        unruled = self._composites.contraction(call, node, (origin.source for origin in read))
        if unruled:
            self.builder.count_unseen(unruled, self.scope.path)
        selected = self._bits(active[0]) if call.op in SELECTIONS and active else None
        for index, tensor in enumerate(outputs):
            name = node if index == 0 else f"{node}:{index}"
            self._new_origin(tensor, node, Tensor(name=name, shape=tuple(tensor.shape)), selected)
        for tensor in written:
            origin = self._new_origin(tensor, node, Tensor(name=node, shape=tuple(tensor.shape)))
            self._writers[storage_of(tensor)] = origin

    def _add_node(self, call: OpCall, rule: Any, active: list[torch.Tensor]) -> str | None:
        """The name of the new node; None where the op has nothing to do (a product of empty tensors)."""
        scope = self.scope.path
        elements_in = sum({id(tensor): self.stored_elements(tensor) for tensor in active}.values())
        if isinstance(rule, Vector):
            if rule.kind == "concat" and elements_in == call.out.numel() and len(active) == 1:
                self._count_free(call.op)  # onto nothing
                return None
            learned, pieces = self._parameters_read(call, rule), self._pieces(call, rule)
            return self.builder.add_vector(call, rule, scope, elements_in, learned, pieces)
        if rule is None:
            return self.builder.add_uncounted(call, scope, elements_in)
        counted = self.contraction(call, rule)
        if isinstance(counted, Vector):
            return self.builder.add_vector(call, counted, scope, elements_in, self._parameters_read(call, counted))
        contraction = counted.in_reals()
        stream = next((tensor for tensor in active if tensor is not contraction.weight), contraction.weight)
        if any(bound == 0 for bound in contraction.dims.values()):
            self._count_free(call.op)
            return None
        owner = self._weights.get(contraction.weight)
        bits = self._layer_bits(contraction, stream)
        module, parameter = (None, "") if owner is None else (owner.module, owner.part(contraction.weight))
        if contraction.packed_as:
            module, parameter = scope, contraction.packed_as
        stored = None
        if owner is not None:
            stored = owner.stored_elements(contraction.weight, contraction.weight_elements)
        name = self.builder.add_layer(call, contraction, scope, module, parameter, bits, stored)
        if self.watch is not None:
            self.watch(name, contraction.weight, stream)
        return name

    def contraction(self, call: OpCall, rule: Callable[[OpCall], Contraction | Vector]) -> Contraction | Vector:
        """What a rule says of a call."""
        return rule(call)

    def _parameters_read(self, call: OpCall, rule: Vector) -> int:
        """Elements of learned tensors that an op without MACs reads whole; single numbers stand in the program."""
        if rule.parameters is not None or rule.reads_table:
            return 0 if rule.parameters is None else rule.parameters(call)
        learned = {
            id(tensor): distinct_elements(tensor)
            for tensor in tensors_in(call.arguments)
            if tensor in self._weights and self._weights[tensor].is_parameter and tensor.is_floating_point()
        }
        total = sum(elements for elements in learned.values() if elements > 1)
        return min(total, call.out.numel()) if rule.kind == "gather" else total

    def _pieces(self, call: OpCall, rule: Vector) -> tuple[str, ...]:
        """The nodes whose outputs may lie in a concatenation; none where one of them is cut out of something.

        Only the batch may stand before the axis: then a piece is one run of every sample.
        """
        if rule.kind != "concat" or "tensors" not in call.arguments or "dim" not in call.arguments:
            return ()
        axis = call["dim"] % max(call.out.dim(), 1)
        found = [(tensor, self.origin_of(tensor)) for tensor in tensors_in(call["tensors"]) if tensor.numel()]
        if math.prod(call.out.shape[1:axis]) != 1 or not all(_is_all_of(tensor, made) for tensor, made in found):
            return ()
        return tuple(made.source for _, made in found if made is not None)

    def stored_elements(self, tensor: torch.Tensor) -> int:
        """Elements of a tensor that lie in memory."""
        return tensor.numel()

    def _layer_bits(self, contraction: Contraction, stream: torch.Tensor) -> Bits | None:
        """Widths that the operands carry, float where one carries none; None where neither does."""
        weight, owner = contraction.weight, self._weights.get(contraction.weight)
        w, i = self._bits(weight), self._bits(stream) or narrow_bits(stream, stream.numel())
        if owner is not None:
            w, i = owner.bits, owner.input_bits if i is None else i
        w = narrow_bits(weight, contraction.weight_elements) or w
        if contraction.packed_as and i is None and w is not None:  # these kernels round their inputs to bytes
            i = 8
        return None if w is None and i is None else Bits(w=w or FLOAT_BITS, i=i or FLOAT_BITS)

    def _remember_made(self, output: Any) -> None:
        if self.follows_host:
            self._made.update(dict.fromkeys(tensors_in(output), True))

    def _return_from_host(self, tensors: list[torch.Tensor]) -> None:
        """A tensor from nowhere, after numbers have left, was computed from them on the host."""
        for tensor in tensors:
            if self.origin_of(tensor) is None and tensor not in self._weights and tensor not in self._made:
                call = OpCall(op="host::numpy", arguments={}, output=tensor, weights=frozenset())
                elements = sum(origin.tensor.elements for origin in self._host)
                node = self.builder.add_uncounted(call, self.scope.path, elements)
                for origin in self._host:
                    self.builder.connect(origin.source, node, origin.tensor)
                self._new_origin(tensor, node, Tensor(name=node, shape=tuple(tensor.shape)))

    # ---- origins -------------------------------------------------------------------------------

    def _bits(self, tensor: torch.Tensor) -> int | None:
        origin = self.origin_of(tensor)
        return None if origin is None else origin.bits

    def _new_origin(self, tensor: torch.Tensor, source: str, edge: Tensor, bits: int | None = None) -> Origin:
        self._time += 1
        origin = Origin(source=source, tensor=edge, time=self._time, bits=bits)
        self._origins[tensor] = origin
        return origin

    def _keep(self, tensors: Iterable[torch.Tensor]) -> None:
        for tensor in tensors:
            origin = self.origin_of(tensor)
            if origin is not None:
                self.builder.keep(origin.source)

    def _alias(self, tensor: torch.Tensor, original: torch.Tensor, bits: int | None = None) -> None:
        origin = self.origin_of(original)
        if origin is not None:
            self._origins[tensor] = origin if bits is None else replace(origin, bits=bits)

    def _forget_reused_storage(self, inputs: Iterable[torch.Tensor], output: Any) -> None:
        """A fresh tensor may lie where a freed one lay that was written to."""
        if not self._writers:
            return
        kept = {storage_of(tensor) for tensor in inputs}
        for tensor in tensors_in(output):
            if storage_of(tensor) not in kept:
                self._writers.pop(storage_of(tensor), None)


def _is_all_of(tensor: torch.Tensor, origin: Origin | None) -> bool:
    """The tensor is what a node made first, all of it, in whatever shape."""
    return (
        origin is not None
        and bool(origin.source)
        and origin.tensor.name == origin.source
        and origin.tensor.elements == tensor.numel()
    )
