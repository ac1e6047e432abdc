"""Weights that others wrote: a state dict in a `.pt`, arrays in an `.npz`.

A `.pt` is a pickle, and a pickle can run anything. It is read with `weights_only=True`, which builds tensors and
plain containers; a file that needs more is refused, and the message names what.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from workloads.npz import read_npz

PICKLED = frozenset({".pt", ".pth", ".bin", ".ckpt", ".tar", ".pkl", ".pickle", ".joblib"})
#: Where training scripts put the state dict beside optimizer and epoch.
_NESTED = ("state_dict", "model_state_dict", "model", "net", "weights")
#: Of wrappers that were saved with the model.
_PREFIXES = ("module.", "_orig_mod.")
_SHOWN = 4
_WAY_OUT = "Where you trust it: torch.save(model.state_dict(), 'weights.pt')."


def is_foreign(path: Path) -> bool:
    """Files that are read here, by suffix."""
    return path.suffix.lower() in (*PICKLED, ".npz")


def read_foreign(path: Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU.

    Raises:
        ConfigError: the file is absent or damaged, needs code to be read, or holds no state dict.
    """
    if path.suffix.lower() != ".npz":
        return _state(path, _unpickled(path))
    arrays = read_npz(path)
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise ConfigError(f"{path.name}: {name!r} must hold numbers, but is {array.dtype}")
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def fitted(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The tensors under the model's own names.

    What `DataParallel` and `torch.compile` put before every name is taken off; a last layer called `linear` is the
    model's `fc`; counters of batch norms may be missing, and stay.
    """
    own, named = model.state_dict(), dict(tensors)
    for prefix in _PREFIXES:
        if named and all(name.startswith(prefix) for name in named) and not set(named) <= set(own):
            named = {name.removeprefix(prefix): value for name, value in named.items()}
    if not any(name.startswith("linear.") for name in own):
        named = {f"fc.{n.removeprefix('linear.')}" if n.startswith("linear.") else n: v for n, v in named.items()}
    counters = {n: v.cpu() for n, v in own.items() if n.endswith("num_batches_tracked") and n not in named}
    return named | counters


def _unpickled(path: Path) -> Any:
    """The content of a pickle that needs no code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # a damaged pickle fails in any way
        raise ConfigError(_reason(path, error)) from None


def _reason(path: Path, error: Exception) -> str:
    if "TorchScript" in str(error):
        return f"{path.name} is a TorchScript program, not weights: running it is refused. {_WAY_OUT}"
    classes = _classes(path)
    if classes:
        more = f" and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else ""
        return (
            f"{path.name} holds {', '.join(classes[:_SHOWN])}{more} beside tensors: reading them would run "
            f"code, so it is refused. {_WAY_OUT}"
        )
    if isinstance(error, pickle.UnpicklingError):
        return f"{path.name} is no state dict that torch.save wrote: reading it could run code, so it is refused."
    return f"{path.name}: cannot be read as a PyTorch file: {str(error).splitlines()[0] if str(error) else error!r}"


def _classes(path: Path) -> list[str]:
    """What a file would import."""
    if not zipfile.is_zipfile(path):
        return []
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # damaged: the first error says it
        return []


def _state(path: Path, content: Any) -> dict[str, Tensor]:
    """The state dict in what a training script saved."""
    if isinstance(content, Mapping):
        for key in ("", *_NESTED):
            found = content if not key else content.get(key)
            if isinstance(found, Mapping) and found and all(isinstance(v, Tensor) for v in found.values()):
                return {str(name): value for name, value in found.items()}
    held = type(content).__name__
    if isinstance(content, Mapping):
        held += f" of {', '.join(map(repr, list(content)[:5]))}" if content else ", empty"
    raise ConfigError(
        f"{path.name}: must hold a state dict (tensors by name), alone or under {', '.join(_NESTED)}, but holds "
        f"{held}. {_WAY_OUT}"
    )
