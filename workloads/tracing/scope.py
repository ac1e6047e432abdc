"""Which module is running: a stack kept by forward hooks, or set from the stacks that export records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

_WITH_MACS = (nn.modules.conv._ConvNd, nn.Linear, nn.Bilinear, nn.RNNBase, nn.RNNCellBase)


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A module that ran to its end: name and shape of its first output."""

    module: str
    shape: tuple[int, ...]


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
            and not any(module.children())
        )

    def place_of(self, tensor_name: str) -> tuple[str, str]:
        """Module that owns a parameter or buffer, and its name there; of a parametrized one, that of the result.

        `fc.parametrizations.weight.original0` is at home in `fc` as `weight`.
        """
        path, _, name = f".{tensor_name}".rpartition(".")
        owner, _, parametrized = path.partition(".parametrizations.")
        return self.canonical(owner[1:]), parametrized.partition(".")[0] or name


@dataclass(kw_only=True)
class Scope:
    """The module that runs now, and what ran before it.

    Attributes:
        path: name of the running module; "" at the top.
        failing: the innermost module entered last and not left; differs from `path` after an error.
        given: arguments of `failing`.
        visits: modules without children that ran to their end.
    """

    path: str = ""
    failing: str = ""
    given: Any = ()
    visits: list[Visit] = field(default_factory=list)

    @property
    def inputs(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tensors given to `failing`; worked out only when asked for, that is after an error."""
        return shapes_of(self.given)

    @contextmanager
    def follow(self, names: ModuleNames) -> Iterator[None]:
        """Keep `path` by hooks on every module; they are removed at the end."""
        stack: list[tuple[str, Any]] = []
        handles = []

        def settle() -> None:
            self.path, self.given = stack[-1] if stack else ("", ())
            self.failing = self.path

        for name, module in names.model.named_modules():
            is_leaf = not any(module.children())

            def enter(_: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
                stack.append((name, (args, kwargs)))
                settle()

            def leave(_: nn.Module, args: Any, output: Any, name: str = name, is_leaf: bool = is_leaf) -> None:
                stack.pop()
                if output is None:  # raised, or returned nothing: the innermost module stays in `failing`
                    self.path = stack[-1][0] if stack else ""
                    return
                settle()
                if is_leaf:
                    self.visits.append(Visit(module=name, shape=_first_shape(output)))

            handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
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
