"""The ways to run a model under a recorder: a replayed export, fake tensors, real tensors."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.export.graph_signature import InputKind
from torch.func import functional_call
from torch.utils import _pytree as pytree

from hwmodel.graph import LayerGraph
from workloads.tracing.builder import GraphBuilder
from workloads.tracing.carried import is_packed, quantizers, stored_bits
from workloads.tracing.recorder import Recorder, Watch
from workloads.tracing.request import Request, named_outputs
from workloads.tracing.scope import ModuleNames, Scope

Route = Callable[[Request, Scope], LayerGraph]


class _ReplayError(Exception):
    """The exported program holds something that the replay does not follow."""


def via_export(request: Request, scope: Scope) -> LayerGraph:
    """Export on fake tensors, then replay the exported graph under the recorder."""
    with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):  # torch prints the graph of a failed export
        program = torch.export.export(request.model, request.args, request.kwargs, strict=False)
    placeholders = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    fake_modes = [value.fake_mode for value in placeholders.values() if hasattr(value, "fake_mode")]
    builder, recorder = _recorder(request, scope)
    user_inputs = iter(request.input_names)
    for spec in program.graph_signature.input_specs:
        value = placeholders.get(spec.arg.name)
        if spec.kind is InputKind.USER_INPUT:
            name = next(user_inputs)
            if isinstance(value, torch.Tensor):
                recorder.add_input(value, name)
        elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and isinstance(value, torch.Tensor):
            place = request.names.place_of(str(spec.target))
            recorder.add_weight(value, *place, is_parameter=spec.kind is InputKind.PARAMETER)
        elif spec.kind is not InputKind.CONSTANT_TENSOR:
            raise _ReplayError(f"an input of kind {spec.kind}")
    replay = _Replay(program.graph_module, scope, request.names)
    with torch.inference_mode(), fake_modes[0] if fake_modes else FakeTensorMode(), recorder:
        flat = replay.run(*placeholders.values())
    _add_outputs(recorder, pytree.tree_unflatten(flat, program.call_spec.out_spec))
    return builder.build(request.graph_name, "export")


class _Replay(fx.Interpreter):
    """Runs an exported graph and tells the scope which module each node came from."""

    def __init__(self, module: fx.GraphModule, scope: Scope, names: ModuleNames) -> None:
        super().__init__(module, garbage_collect_values=False)
        self._scope = scope
        self._names = names

    def run_node(self, n: fx.Node) -> Any:
        if isinstance(n.target, torch._ops.HigherOrderOperator):
            raise _ReplayError(f"the higher-order op {n.target}")
        stack = list((n.meta.get("nn_module_stack") or {}).values())
        self._scope.path = self._names.canonical(stack[-1][0]) if stack else ""
        return super().run_node(n)


def via_fake_tensors(request: Request, scope: Scope) -> LayerGraph:
    """Call the model on fake tensors: shapes only, no arithmetic, no memory."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    return _call(request, scope, lambda tensor: _fake(tensor, mode), mode)


def _fake(tensor: torch.Tensor, mode: FakeTensorMode) -> torch.Tensor:
    """A fake tensor of the same shape, strides and device.

    Plain tensors skip torch's bookkeeping of views and storages, which takes eight times as long. A packed one
    (integers and scales) becomes the plain tensor that it stands for, so that a layer runs as it did before.
    """
    ordinary = type(tensor) in (torch.Tensor, nn.Parameter, nn.Buffer) and tensor.layout is torch.strided
    if not ordinary and not is_packed(tensor):
        return mode.from_tensor(tensor.detach())
    meta = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    return FakeTensor(mode, meta, tensor.device)


def via_real_tensors(request: Request, scope: Scope, watch: Watch | None = None) -> LayerGraph:
    """Call the model on copies of its inputs and buffers: works where the data decide what runs.

    `watch` sees the operands of every layer.
    """
    return _call(request, scope, lambda tensor: tensor.detach().clone(), None, watch)


def _call(
    request: Request,
    scope: Scope,
    stand_in: Callable[[torch.Tensor], torch.Tensor],
    mode: FakeTensorMode | None,
    watch: Watch | None = None,
) -> LayerGraph:
    """Call the model with stand-ins for inputs and buffers (and, on fake tensors, parameters)."""
    builder, recorder = _recorder(request, scope, watch)
    state: dict[str, torch.Tensor] = {}
    for name, parameter in request.model.named_parameters():
        state[name] = parameter if mode is None else stand_in(parameter)
        _add_weight(recorder, request.names, name, (parameter, state[name]), is_parameter=True)
    for name, buffer in request.model.named_buffers():
        state[name] = stand_in(buffer)
        _add_weight(recorder, request.names, name, (buffer, state[name]), is_parameter=False)
    flat, spec = pytree.tree_flatten((request.args, request.kwargs))
    stand_ins = {id(leaf): stand_in(leaf) for leaf in flat if isinstance(leaf, torch.Tensor)}
    replaced = [stand_ins.get(id(leaf), leaf) for leaf in flat]
    for name, leaf in zip(request.input_names, replaced, strict=True):
        if isinstance(leaf, torch.Tensor):
            recorder.add_input(leaf, name)
    args, kwargs = pytree.tree_unflatten(replaced, spec)
    with scope.follow(request.names), torch.inference_mode():
        if mode is None:
            with recorder:
                output = functional_call(request.model, state, args, kwargs)
        else:
            with mode, recorder:
                output = functional_call(request.model, state, args, kwargs)
    _add_outputs(recorder, output)
    return builder.build(request.graph_name, "dispatch")


def _recorder(request: Request, scope: Scope, watch: Watch | None = None) -> tuple[GraphBuilder, Recorder]:
    builder = GraphBuilder(request.names)
    rounding = quantizers(request.model)
    return builder, Recorder(builder, scope, has_inputs=request.has_tensors, quantizers=rounding, watch=watch)


def _add_weight(
    recorder: Recorder, names: ModuleNames, name: str, tensors: tuple[torch.Tensor, ...], *, is_parameter: bool
) -> None:
    """A weight and its stand-in: a module may keep the tensor itself in an attribute, which is not replaced."""
    stored = stored_bits(tensors[0])
    for tensor in tensors:
        recorder.add_stored_weight(tensor, *names.place_of(name), stored, is_parameter=is_parameter)


def _add_outputs(recorder: Recorder, output: Any) -> None:
    for name, tensor in named_outputs(output):
        recorder.add_output(tensor, name)
