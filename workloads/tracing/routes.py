"""The ways to run a model under a recorder: a replayed export, fake tensors, real tensors."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.export.graph_signature import InputKind
from torch.func import functional_call
from torch.utils import _pytree as pytree

from hwmodel.network.graph import LayerGraph
from workloads.tracing.annotations import is_packed, quantizers, stand_ins, stored_bits
from workloads.tracing.builder import GraphBuilder
from workloads.tracing.escapes import HostEscapes
from workloads.tracing.ops.rules import CannotFollowError
from workloads.tracing.recorder import Recorder, Watch
from workloads.tracing.request import Request, named_outputs
from workloads.tracing.scope import ModuleNames, Scope

Route = Callable[[Request, Scope], LayerGraph]


# ---- export ------------------------------------------------------------------------------------------


class _Flat(nn.Module):
    """The model as export likes it: tensors in, a dict of tensors out, whatever objects it takes and returns."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.model = request.model
        self._rebuild = request.inputs.rebuild

    def forward(self, *tensors: torch.Tensor) -> dict[str, torch.Tensor]:
        args, kwargs = self._rebuild(tensors)
        return dict(named_outputs(self.model(*args, **kwargs)))


def _own_name(path: str) -> str:
    """The name in the model of a module or tensor of `_Flat`."""
    return path.removeprefix("model").removeprefix(".")


def via_export(request: Request, scope: Scope) -> LayerGraph:
    """Export on fake tensors, then replay the exported graph under the recorder."""
    flat = _Flat(request)
    flat.training = False
    quiet = contextlib.redirect_stderr(io.StringIO())  # torch prints the graph of a failed export
    with torch.no_grad(), stand_ins(request.model), quiet:
        program = torch.export.export(flat, request.inputs.tensors, strict=False)
    placeholders = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    fake_modes = [value.fake_mode for value in placeholders.values() if hasattr(value, "fake_mode")]
    builder, recorder = new_recorder(request, scope)
    names = iter(request.inputs.names)
    for spec in program.graph_signature.input_specs:
        value = placeholders.get(spec.arg.name)
        if spec.kind is InputKind.USER_INPUT:
            name = next(names)
            if isinstance(value, torch.Tensor):
                recorder.add_input(value, name)
        elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and isinstance(value, torch.Tensor):
            owner, name = request.names.owner_of(_own_name(str(spec.target)))
            recorder.add_weight(value, owner, name, is_parameter=spec.kind is InputKind.PARAMETER)
        elif spec.kind is not InputKind.CONSTANT_TENSOR:
            raise CannotFollowError(f"an input of kind {spec.kind}")
    replay = _Replay(program.graph_module, scope, request.names)
    with torch.inference_mode(), fake_modes[0] if fake_modes else FakeTensorMode(), recorder:
        outputs = replay.run(*placeholders.values())
    for name, tensor in pytree.tree_unflatten(outputs, program.call_spec.out_spec).items():
        recorder.add_output(tensor, name)
    return builder.build(request.graph_name, "export")


class _Replay(fx.Interpreter):
    """Runs an exported graph and tells the scope which module each node came from."""

    def __init__(self, module: fx.GraphModule, scope: Scope, names: ModuleNames) -> None:
        super().__init__(module, garbage_collect_values=False)
        self._scope = scope
        self._names = names

    def run_node(self, n: fx.Node) -> Any:
        if isinstance(n.target, torch._ops.HigherOrderOperator):
            raise CannotFollowError(f"the higher-order op {n.target}")
        stack = list((n.meta.get("nn_module_stack") or {}).values())
        self._scope.path = self._names.canonical(_own_name(stack[-1][0])) if stack else ""
        return super().run_node(n)


# ---- dispatch ----------------------------------------------------------------------------------------


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
    """Call the model with stand-ins for inputs and buffers (and, on fake tensors, parameters and quantizers)."""
    builder, recorder = new_recorder(request, scope, follows_host=mode is None, watch=watch)
    with nullcontext(frozenset[nn.Module]()) if mode is None else stand_ins(request.model) as unread:
        state: dict[str, torch.Tensor] = {}
        for name, tensor, is_parameter in _held(request.model, unread):
            state[name] = tensor if is_parameter and mode is None else stand_in(tensor)
            _add_weight(recorder, request.names, name, (tensor, state[name]), is_parameter=is_parameter)
        replaced = [stand_in(tensor) for tensor in request.inputs.tensors]
        for name, tensor in zip(request.inputs.names, replaced, strict=True):
            recorder.add_input(tensor, name)
        args, kwargs = request.inputs.rebuild(replaced)
        # Fake tensors refuse to become numpy arrays; real ones do not.
        context = HostEscapes(recorder) if mode is None else mode
        with scope.follow(request.names), torch.inference_mode(), context, recorder:
            output = functional_call(request.model, state, args, kwargs)
    if scope.left_thread:
        raise CannotFollowError("modules ran in another thread, where no dispatch mode follows")
    for name, tensor in named_outputs(output):
        recorder.add_output(tensor, name)
    return builder.build(request.graph_name, "dispatch")


def _held(model: nn.Module, unread: frozenset[nn.Module]) -> Iterator[tuple[str, torch.Tensor, bool]]:
    """(name, tensor, it is a parameter) of the parameters, then the buffers, each under its first name.

    Those of the modules `unread` are left out, unless others hold them too.
    """
    modules = [(name, module) for name, module in model.named_modules() if module not in unread]
    for is_parameter in (True, False):
        seen: set[int] = set()
        for path, module in modules:
            tensors = module._parameters if is_parameter else module._buffers
            for key, tensor in tensors.items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield (f"{path}.{key}" if path else key), tensor, is_parameter


def new_recorder(
    request: Request, scope: Scope, *, follows_host: bool = False, watch: Watch | None = None
) -> tuple[GraphBuilder, Recorder]:
    """An empty graph, and the recorder that fills it."""
    builder = GraphBuilder(request.names)
    return builder, Recorder(
        builder,
        scope,
        has_inputs=bool(request.inputs.tensors),
        quantizers=quantizers(request.model),
        watch=watch,
        follows_host=follows_host,
    )


def _add_weight(
    recorder: Recorder, names: ModuleNames, name: str, tensors: tuple[torch.Tensor, ...], *, is_parameter: bool
) -> None:
    """A weight and its stand-in: a module may keep the tensor itself in an attribute, which is not replaced."""
    owner, part = names.owner_of(name)
    stored = stored_bits(tensors[0])
    for tensor in tensors:
        recorder.add_stored_weight(tensor, owner, part, stored, is_parameter=is_parameter)
