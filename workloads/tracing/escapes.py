"""Tensors that leave for the host in the middle of a forward (numpy, lists), and what comes back from there.

What Python computes out there is not seen. It becomes one uncounted node between what left and what
came back, so that the work before it is kept, the work after it is counted, and the totals are
labelled a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from workloads.tracing.recorder import Recorder

_LEAVES = {torch.Tensor.numpy, torch.Tensor.__array__, torch.Tensor.tolist, torch.Tensor.__dlpack__}


class HostEscapes(TorchFunctionMode):
    """Tells the recorder of every tensor whose numbers go to the host."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _LEAVES and isinstance(args[0], torch.Tensor):
            self._recorder.leave(args[0])
        return func(*args, **(kwargs or {}))
