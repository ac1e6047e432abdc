"""Which module is running: a stack kept by forward hooks, or set from the stacks that export records."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

#: `fc.parametrizations.weight.original0` belongs to `fc`.
_PARAMETRIZED = re.compile(r"(?:^|\.)parametrizations(?:\.|$)")
_WITH_MACS = (nn.modules.conv._ConvNd, nn.Linear, nn.Bilinear, nn.RNNBase, nn.RNNCellBase)


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A module that ran to its end: name and shape of its first output."""

    module: str
    shape: tuple[int, ...]


def is_leaf(module: nn.Module) -> bool:
    """The module has no submodules."""
    return next(module.children(), None) is None


class ModuleNames:
    """Names of modules and parameters, one each: where two names share an object, the first wins."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        first: dict[int, str] = {}
        self._canonical: dict[str, str] = {}
        self._modules: dict[str, nn.Module] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            self._canonical[name] = first.setdefault(id(module), name)
            self._modules[name] = module
        self._shared = self._one_name_each()

    def __len__(self) -> int:
        """Modules, shared ones once per name."""
        return len(self._modules)

    def canonical(self, path: str) -> str:
        """The first name of the module that a path (`"block"`, or `"block@1"` when called again) means."""
        path = path.partition("@")[0]
        return self._canonical.get(path, path)

    def is_single_op(self, name: str) -> bool:
        """The module is one of torch.nn without children or MACs: its one op bears its name."""
        module = self._modules.get(name)
        return (
            bool(name)
            and module is not None
            and type(module).__module__.startswith("torch.nn.modules")
            and not isinstance(module, _WITH_MACS)
            and is_leaf(module)
        )

    def owner_of(self, tensor_name: str) -> tuple[str, str]:
        """(module, name in it) of a parameter or buffer; of a parametrized one, the name of the result.

        `fc.parametrizations.weight.original0` is at home in `fc` as `weight`.

        A weight that several modules share belongs to the first that multiplies by it (an embedding
        tied to the last layer: the last layer), else to the first.
        """
        path, _, name = self._shared.get(tensor_name, tensor_name).rpartition(".")
        owner, *parametrized = _PARAMETRIZED.split(path, maxsplit=1)
        return self.canonical(owner), parametrized[0].partition(".")[0] if parametrized else name

    def aliases(self, owners: Collection[str]) -> dict[str, str]:
        """Further name -> owner, for modules that are one with an owner or share its weight."""
        found: dict[str, str] = {}
        for name, module in self._modules.items():
            has_weight = module._parameters.get("weight") is not None
            owner = self.owner_of(f"{name}.weight")[0] if has_weight else self.canonical(name)
            if owner != name and owner in owners:
                found[name] = owner
        return found

    def _one_name_each(self) -> dict[str, str]:
        """Every name of a shared parameter or buffer -> the one it goes by."""
        names: dict[int, list[str]] = {}
        model = self.model
        for name, tensor in [
            *model.named_parameters(remove_duplicate=False),
            *model.named_buffers(remove_duplicate=False),
        ]:
            names.setdefault(id(tensor), []).append(name)
        shared: dict[str, str] = {}
        for aliases in names.values():
            multiplies = (n for n in aliases if isinstance(self._modules.get(n.rpartition(".")[0]), _WITH_MACS))
            shared |= dict.fromkeys(aliases, next(multiplies, aliases[0]))
        return shared


@dataclass(kw_only=True)
class Scope:
    """The module that runs now, and what ran before it.

    Attributes:
        path: name of the running module; "" at the top.
        failing: the innermost module entered last and not left; differs from `path` after an error.
        given: arguments of `failing`.
        visits: modules without children that ran to their end.
        left_thread: a module ran in another thread, where no dispatch mode follows.
    """

    path: str = ""
    failing: str = ""
    given: Any = ()
    visits: list[Visit] = field(default_factory=list)
    left_thread: bool = False

    @property
    def inputs(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tensors given to `failing`; worked out only when asked for, that is after an error."""
        return shapes_of(self.given)

    @contextmanager
    def follow(self, names: ModuleNames) -> Iterator[None]:
        """Keep `path` by hooks on every module; they are removed at the end."""
        stack: list[tuple[str, Any]] = []
        handles = []
        home = threading.get_ident()

        def settle() -> None:
            self.path, self.given = stack[-1] if stack else ("", ())
            self.failing = self.path

        for name, module in names.model.named_modules():
            leaf = is_leaf(module)

            def enter(_: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
                self.left_thread = self.left_thread or threading.get_ident() != home
                stack.append((name, (args, kwargs)))
                settle()

            def leave(_: nn.Module, args: Any, output: Any, name: str = name, leaf: bool = leaf) -> None:
                stack.pop()
                if output is None:  # raised, or returned nothing: the innermost module stays in `failing`
                    self.path = stack[-1][0] if stack else ""
                    return
                settle()
                if leaf:
                    self.visits.append(Visit(module=name, shape=_first_shape(output)))

            handles.append(module.register_forward_pre_hook(enter, prepend=True, with_kwargs=True))
            handles.append(module.register_forward_hook(leave, always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _first_shape(output: Any) -> tuple[int, ...]:
    return tuple(output.shape) if isinstance(output, torch.Tensor) else next(iter(shapes_of(output)), ())


def shapes_of(tree: Any) -> tuple[tuple[int, ...], ...]:
    """Shapes of the tensors in nested containers."""
    return tuple(tuple(leaf.shape) for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor))
