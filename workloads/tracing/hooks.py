"""The last way to see a model: a plain call, and what its torch.nn modules do by the shapes they get.

Nothing is intercepted but modules, so this works where no dispatch mode does: in other threads, with
gradients inside the forward, with tensors of foreign types. Each torch.nn module, and each other
module without submodules, is run again on fake tensors of the shapes that it got, under the recorder, so
that one table of rules serves here too. **What a forward does outside such modules is not seen**: every
forward that may have done something is listed as uncounted, and the totals are a lower bound.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from hwmodel.network.graph import LayerGraph, Tensor
from workloads.tracing.builder import GraphBuilder
from workloads.tracing.constants import Constants
from workloads.tracing.inputs import map_tensors
from workloads.tracing.origins import Origin
from workloads.tracing.recorder import Recorder
from workloads.tracing.request import Request, named_outputs
from workloads.tracing.routes import new_recorder
from workloads.tracing.scope import Scope, is_leaf

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_log = logging.getLogger(__name__)


def via_hooks(request: Request, scope: Scope) -> LayerGraph:
    """Call the model as it is and read the shapes at its modules."""
    builder, recorder = new_recorder(request, scope)
    copies = [tensor.detach().clone() for tensor in request.inputs.tensors]
    for name, tensor in zip(request.inputs.names, copies, strict=True):
        recorder.add_input(tensor, name)
    args, kwargs = request.inputs.rebuild(copies)
    watch = _Watch(request, builder, recorder, scope)
    followed = scope.follow(request.names)
    with _buffers_restored(request.model), followed, watch.installed(), torch.no_grad(), watch.constants:
        output = request.model(*args, **kwargs)
    for name, tensor in named_outputs(output):
        recorder.add_output(tensor, name)
    return builder.build(request.graph_name, "hooks", everything=True)


@contextmanager
def _buffers_restored(model: nn.Module) -> Iterator[None]:
    saved = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, content in saved:
            buffer.copy_(content)


class _Inner(nn.Module):
    """Calls the forward of a module without the hooks that have run already."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module.forward(*args, **kwargs)


class _Watch:
    """Hooks that replay the modules whose work is their own, and list the other forwards as unseen."""

    def __init__(self, request: Request, builder: GraphBuilder, recorder: Recorder, scope: Scope) -> None:
        self._request = request
        self._builder = builder
        self._recorder = recorder
        self._scope = scope
        self._fakes = FakeTensorMode(allow_non_fake_inputs=True)
        self._weights = {id(tensor): tensor for tensor in [*request.model.parameters(), *request.model.buffers()]}
        self._stand_ins: dict[int, torch.Tensor] = {}
        self.constants = Constants(self._weights.values())
        self._running = threading.local()  # .module: the outermost one that is replayed at its end
        self._lock = threading.Lock()
        self._port = ""
        self._num_unseen = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Hooks on every module, removed at the end."""
        handles = []
        for name, module in self._request.model.named_modules():

            def leave(module: nn.Module, args: Any, kwargs: Any, output: Any, name: str = name) -> None:
                self._leave(name, module, (args, kwargs), output)

            handles.append(module.register_forward_pre_hook(self._enter))
            handles.append(module.register_forward_hook(leave, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, _: Any) -> None:
        if getattr(self._running, "module", None) is None and _is_whole(module):
            self._running.module = module

    def _leave(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        running = getattr(self._running, "module", None)
        if running is module:
            with self._lock:
                self._replay(name, module, inputs, output)
            self._running.module = None
        elif running is None and not isinstance(module, _CONTAINERS):
            self._builder.count_unseen(f"{_forward_name(module)} outside its modules", name)

    def _replay(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        """Run the module on fake tensors of the same shapes, and carry what its outputs hold to the real ones."""
        ran, path, self._scope.path = len(self._scope.visits), self._scope.path, name
        try:
            args, kwargs = map_tensors(inputs, lambda _, tensor: self._fake_input(tensor))
            state = {f"module.{key}": self._fake_weight(f"{name}.{key}", tensor) for key, tensor in _state(module)}
            with torch.inference_mode(), self._fakes, self._recorder:
                fake = functional_call(_Inner(module), state, args, kwargs)
        except Exception as error:  # a module of the user may do anything: it is then not seen
            _log.debug("%s cannot be replayed on fake tensors: %s", name, error)
            self._builder.count_unseen(_forward_name(module), name)
            return
        finally:
            del self._scope.visits[ran:]
            self._scope.path = path
        for (_, made), (_, given) in zip(named_outputs(fake), named_outputs(output), strict=False):
            origin = self._recorder.origin_of(made)
            if origin is not None:
                self._recorder.set_origin(given, origin)
            else:
                self.constants.add(given)

    def _fake(self, tensor: torch.Tensor) -> torch.Tensor:
        with self._fakes:
            return torch.empty(tensor.shape, dtype=tensor.dtype)

    def _fake_input(self, tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) in self._stand_ins:
            return self._stand_ins[id(tensor)]
        fake = self._fake(tensor)
        if tensor not in self.constants:
            self._recorder.set_origin(fake, self._origin(tensor) or self._unseen(tensor))
        return fake

    def _fake_weight(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in self._stand_ins:
            fake = self._stand_ins[id(tensor)] = self._fake(tensor)
            owner, part = self._request.names.owner_of(name.removeprefix("."))
            self._recorder.add_weight(fake, owner, part, is_parameter=isinstance(tensor, nn.Parameter))
        return self._stand_ins[id(tensor)]

    def _origin(self, tensor: torch.Tensor) -> Origin | None:
        """What a tensor, or the one that it is a view of, holds."""
        origin = self._recorder.origin_of(tensor)
        base = tensor._base
        return self._recorder.origin_of(base) if origin is None and base is not None else origin

    def _unseen(self, tensor: torch.Tensor) -> Origin:
        """A tensor that unseen code made: it comes from a port of its own."""
        self._port = self._port or self._builder.add_port("unseen", "input")
        self._num_unseen += 1
        edge = Tensor(name=f"{self._port}:{self._num_unseen}", shape=tuple(tensor.shape))
        origin = Origin(source=self._port, tensor=edge, time=0)
        self._recorder.set_origin(tensor, origin)
        return origin


def _is_whole(module: nn.Module) -> bool:
    """All that the module does is its own: torch.nn's (a transformer layer too), or without submodules."""
    if isinstance(module, _CONTAINERS):
        return False
    return type(module).__module__.startswith("torch.nn.") or is_leaf(module)


def _forward_name(module: nn.Module) -> str:
    return f"{type(module).__name__}.forward"


def _state(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]
