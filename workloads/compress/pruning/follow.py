"""Follows every channel through a forward pass: what it is added to, where it is read.

The ops that only move data (views, concatenation, padding, slices) are done on the labels as they are
done on the data, so that flattening, offsets and option-A shortcuts come out right unasked. An op that
is not known to keep channels apart fixes the channels that it reads: too few channels are offered for
removal, never a wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from workloads.compress.pruning.classes import FIXED, NONE, Followed, Use, distinct, tidy, varying_dims
from workloads.compress.pruning.cuttable import OwnModule
from workloads.tracing.ops.rules import CONSTANT, FREE, Vector, bind_arguments, op_name, rule_of
from workloads.tracing.scope import Scope

_ELEMENTWISE = ("add", "mul", "elementwise", "activation", "cast")
_PER_CHANNEL = ("pool", "resize")
_MOVES = frozenset(
    f"aten::{name}"
    for name in ("cat", "concat", "concatenate", "stack", "constant_pad_nd", "pad", "repeat", "tile", "flip",
                 "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d",
                 "replication_pad2d", "replication_pad3d")
)  # fmt: skip
_SAME = frozenset(f"aten::{name}" for name in ("to", "type_as", "contiguous", "clone"))
_REDUCTIONS = frozenset(f"aten::{name}" for name in ("mean", "sum", "amax", "amin"))


class ChannelFollower(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Dispatch mode that labels activations; the modules with weights are met in hooks, see `meet`.

    Args:
        followed: receives classes and uses.
        scope: knows which module runs.
        refused: name -> why nothing of this module can be cut, of those with weights that are not met.
    """

    def __init__(self, followed: Followed, scope: Scope, refused: Mapping[str, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._scope = scope
        self._refused = refused
        self._own: list[OwnModule] = []
        self.followed = followed
        self.classes = followed.classes
        self._labels: MutableMapping[Tensor, Tensor] = WeakTensorKeyDictionary()
        self._inside: list[nn.Module] = []
        self._adapting: list[nn.Module] = []

    # ---- ends ----------------------------------------------------------------------------------

    def add_input(self, tensor: Tensor) -> None:
        """The channels of the network's inputs stay."""
        self._labels[tensor] = self._staying(tensor, "the input of the network is among them")

    def add_output(self, tensor: Tensor) -> None:
        """So do those of its outputs."""
        if tensor in self._labels:
            self.classes.fix(self._labels[tensor], "they leave the network")

    # ---- modules -------------------------------------------------------------------------------

    def meet(self, name: str, module: nn.Module) -> list[Any]:
        """Hooks for a module with weights along the channels; what it computes inside is not looked at."""

        def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
            self._inside.append(module)

        def leave(_: nn.Module, args: Any, kwargs: Any, output: Tensor) -> None:
            self._inside.pop()
            x = args[0] if args else kwargs["input"]
            self._labels[output] = self._pass_module(name, module, x, output)

        return [
            module.register_forward_pre_hook(enter, with_kwargs=True),
            module.register_forward_hook(leave, with_kwargs=True),
        ]

    def meet_own(self, own: OwnModule) -> list[Any]:
        """Hooks for a module with a forward of its own: met at the op that takes its weight, else followed."""
        module = own.module
        handles = [
            module.register_forward_pre_hook(lambda *_: self._own.append(own)),
            module.register_forward_hook(lambda *_: self._leave_own(), always_call=True),
        ]
        quantizer = module._modules.get("input_quantizer")
        if quantizer is not None:  # channel by channel, whatever its grid

            def leave(_: nn.Module, args: Any, output: Tensor) -> None:
                self._inside.pop()
                self._labels[output] = self._of(args[0])

            handles.append(quantizer.register_forward_pre_hook(lambda *_: self._inside.append(module)))
            handles.append(quantizer.register_forward_hook(leave))
        return handles

    def _leave_own(self) -> None:
        self._own.pop()

    def meet_adapter(self, name: str, module: nn.Module) -> list[Any]:
        """Hooks for a module without weights that is told which channels stay: its ops are followed."""

        def enter(_: nn.Module, args: Any) -> None:
            self._adapting.append(module)

        def leave(_: nn.Module, args: Any, output: Tensor) -> None:
            self._adapting.pop()
            reads, writes = (self._channels(tensor, 1) for tensor in (args[0], output))
            empty = writes == NONE  # channels that it adds: whoever shares them decides
            writes = writes.clone()
            writes[empty] = self.classes.fresh(int(empty.sum()))
            known = self.followed.uses.setdefault(name, Use(reads=reads, writes=writes, is_adapter=True))
            self._read_again(name, known.reads, reads)
            self._read_again(name, known.writes, writes)
            self._labels[output] = _spread(writes, 1, output)

        return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]

    def _pass_module(self, name: str, module: nn.Module, x: Tensor, output: Tensor) -> Tensor:
        axis = channel_axis(module, x)
        reads = self._channels(x, axis)
        use = self.followed.uses.get(name)
        if use is None:
            use = self._first_use(name, module, reads)
            self.followed.uses[name] = use
        else:
            self._read_again(name, use.reads, reads)
        return _spread(use.writes, axis, output)

    def _channels(self, tensor: Tensor, axis: int) -> Tensor:
        """One label per index of a dim."""
        return self.classes.merge_along(self._of(tensor), _all_but(axis, tensor)).reshape(-1)

    def _first_use(self, name: str, module: nn.Module, reads: Tensor) -> Use:
        groups = int(getattr(module, "groups", 1))
        if not isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
            return Use(reads=reads, writes=reads, is_carrier=True)
        outputs = int(module.weight.shape[0])
        if groups > 1 and groups == len(reads):
            return Use(reads=reads, writes=reads.repeat_interleave(outputs // groups), is_carrier=True)
        writes = self.classes.fresh(outputs)
        if groups > 1:  # every group loses the same of its channels, so that the groups stay equal
            for labels in (reads, writes):
                per_group = labels.reshape(groups, -1)
                self.classes.join(per_group, per_group[:1])
                none = (per_group == NONE).any(0)
                self.classes.fix(per_group[:, none], f"{name} reads something else beside them in its groups")
        return Use(reads=reads, writes=writes, is_carrier=False)

    def _read_again(self, name: str, first: Tensor, second: Tensor) -> None:
        """A module that runs twice: its input channel goes only where both things that it reads go."""
        self.classes.join(first, second)
        why = f"{name} runs again and reads something else in their place"
        self.classes.fix(first[second == NONE], why)
        self.classes.fix(second[first == NONE], why)

    # ---- ops -----------------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        active = [] if self._inside else [t for t in _tensors((args, kwargs)) if t in self._labels]
        if not active:
            return func(*args, **kwargs)
        name = op_name(func)
        if self._own and self._own[-1].is_called(name, arguments := bind_arguments(func, args, kwargs)):
            output = func(*args, **kwargs)
            self._labels[output] = self._pass_own(self._own[-1], arguments, output)
            return output
        rule = rule_of(name)
        if rule is None:
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        output = func(*args, **kwargs)
        if rule is not CONSTANT:
            sources = [self._labels[tensor] for tensor in active]
            self._pass_op(func, rule, bind_arguments(func, args, kwargs), sources, output)
        return output

    def _pass_op(
        self, func: Any, rule: Any, arguments: Mapping[str, Any], sources: list[Tensor], output: Any
    ) -> None:
        """Label the outputs of an op; `sources` are the labels of its labelled arguments."""
        name, kind = op_name(func), rule.kind if isinstance(rule, Vector) else ""
        outputs = _tensors(output)
        labels: list[Tensor] | None = None
        if func._schema.is_mutable and arguments["self"] not in self._labels:
            labels = None  # writes into a constant, whose other views would not hear of it
        elif rule is FREE:
            labels = self._moved(func, arguments, sources)
        elif name in _MOVES:
            labels = self._moved(func, arguments)
        elif name in _REDUCTIONS:
            labels = self._reduced(arguments, outputs[0], sources[0])
        elif kind in _ELEMENTWISE and name not in ("aten::prelu", "aten::_prelu_kernel", "aten::glu"):
            labels = self._elementwise(name, arguments, outputs[0])
        elif kind in _PER_CHANNEL and outputs[0].dim() == sources[0].dim() > 2:
            labels = self._per_channel(outputs[0], sources[0])
        if labels is None:
            why = self._refused.get(self._scope.path) or self._where(name, "mixes or cuts them")
            for old in sources:
                self.classes.fix(old, why)
            labels = [self._staying(tensor, why) for tensor in outputs]
        for tensor, new in zip(outputs, labels, strict=False):
            self._labels[tensor] = new

    def _pass_own(self, own: OwnModule, arguments: Mapping[str, Any], output: Tensor) -> Tensor:
        x: Tensor = arguments["input"] if "input" in arguments else arguments["self"]
        labels = self._pass_module(own.name, own.module, x, output)
        use, kind = self.followed.uses[own.name], type(own.module).__name__
        for is_apart, cut, what in zip(
            own.apart, (use.writes, use.reads), ("filters", "input channels"), strict=True
        ):
            if not is_apart:
                self.classes.fix(cut, f"{own.name} ({kind}) makes its weight of all {what} together")
        return labels

    def _staying(self, tensor: Tensor, why: str) -> Tensor:
        """Labels of a tensor of which nothing can go."""
        return torch.full((), float(self.classes.fixed(why)), dtype=torch.float64).expand(tensor.shape)

    def _where(self, op: str, what: str) -> str:
        """`norm1 (layer_norm) mixes them`."""
        return f"{self._scope.path or 'the forward'} ({op.removeprefix('aten::')}) {what}"

    def _of(self, tensor: Tensor, constant: int = NONE) -> Tensor:
        labels = self._labels.get(tensor)
        return (
            torch.full((), float(constant), dtype=torch.float64).expand(tensor.shape) if labels is None else labels
        )

    def _moved(
        self, func: Any, arguments: Mapping[str, Any], sources: list[Tensor] | None = None
    ) -> list[Tensor] | None:
        """The same op on the labels. With `sources` it must neither cut nor split the channels."""
        if op_name(func) in _SAME and sources is not None:
            return sources[:1]
        if op_name(func) == "aten::as_strided":
            return None  # it speaks of memory
        values = pytree.tree_map_only(Tensor, lambda t: self._of(t, FIXED), dict(arguments))
        if "view" in op_name(func):  # labels may be expanded where the data are not
            values["self"] = values["self"].contiguous()
        if "value" in values:
            values["value"] = float(self._padding(values))
        labels = [tidy(new) for new in _tensors(func(**values))]
        if sources is None:
            return labels
        before = distinct(sources[0])
        keeps_all = all(distinct(new) == before for new in labels)
        splits = any(len(varying_dims(new)) > len(varying_dims(sources[0])) for new in labels)
        return labels if keeps_all and not splits else None

    def _padding(self, values: Mapping[str, Any]) -> int:
        """The label of what a padding adds: around the pixels nothing, beside the channels places that stay."""
        labels, amounts = values["self"], values["pad"]
        dims = [labels.dim() - 1 - index // 2 for index, amount in enumerate(amounts) if amount]
        beside = set(dims) & set(varying_dims(labels))
        return FIXED if beside and not self._adapting else NONE

    def _reduced(self, arguments: Mapping[str, Any], output: Tensor, labels: Tensor) -> list[Tensor] | None:
        """Over dims along which there is one channel only."""
        dims = arguments.get("dim")
        dims = list(range(labels.dim())) if dims in (None, []) else [dims] if isinstance(dims, int) else list(dims)
        dims = [dim % labels.dim() for dim in dims]
        if set(dims) & set(varying_dims(labels)):
            return None
        for dim in dims:
            labels = labels.narrow(dim, 0, 1)
        return [labels.reshape(output.shape)]

    def _elementwise(self, name: str, arguments: Mapping[str, Any], output: Tensor) -> list[Tensor] | None:
        """Element by element: what meets goes together.

        A constant that differs from channel to channel fixes them. One channel that meets all of the
        others (a map of attention) stays.
        """
        tensors = _tensors(arguments)
        labelled = [tensor for tensor in tensors if tensor in self._labels]
        if not all(_broadcasts(tensor, output) for tensor in tensors):
            return None
        spread = [self._labels[tensor].expand(output.shape) for tensor in labelled]
        varying = {dim for labels in spread for dim in varying_dims(labels)}
        merged = torch.full((), float(NONE), dtype=torch.float64).expand(output.shape)
        for tensor, labels in zip(labelled, spread, strict=True):
            if any(_size(tensor, dim, output) < output.shape[dim] for dim in varying):
                self.classes.fix(labels, self._where(name, "lays one of them over all of the others"))
            else:
                merged = self.classes.join(merged, labels)
        if any(_size(t, dim, output) > 1 for t in tensors if t not in self._labels for dim in varying):
            self.classes.fix(merged, self._where(name, "joins each with a number of its own"))
        return [merged]

    def _per_channel(self, output: Tensor, labels: Tensor) -> list[Tensor]:
        """Every plane (N, C, ...) by itself."""
        plane = self.classes.merge_along(labels, list(range(2, labels.dim())))
        return [plane.expand(output.shape)]


def channel_axis(module: nn.Module, x: Tensor) -> int:
    """The dim of a module's input that holds the channels."""
    if isinstance(module, nn.Linear):
        return x.dim() - 1
    if isinstance(module, nn.modules.conv._ConvNd):
        return x.dim() - 1 - len(module.kernel_size)
    return 1


def _broadcasts(tensor: Tensor, output: Tensor) -> bool:
    missing = output.dim() - tensor.dim()
    return missing >= 0 and all(t in (1, o) for t, o in zip(tensor.shape, output.shape[missing:], strict=True))


def _size(tensor: Tensor, dim: int, output: Tensor) -> int:
    """Bound of a tensor along a dim of the output that it is broadcast to."""
    missing = output.dim() - tensor.dim()
    return 1 if dim < missing else int(tensor.shape[dim - missing])


def _spread(labels: Tensor, axis: int, like: Tensor) -> Tensor:
    """A label per index of a dim, for every element of a tensor."""
    shape = [1] * like.dim()
    shape[axis] = -1
    return labels.reshape(shape).expand(like.shape)


def _all_but(axis: int, tensor: Tensor) -> list[int]:
    return [dim for dim in range(tensor.dim()) if dim != axis]


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]
