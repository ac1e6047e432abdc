"""Where to compute."""

from __future__ import annotations

import torch

from hwmodel.errors import ConfigError


def select_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for; without a wish CUDA where there is one, else the CPU.

    Raises:
        ConfigError: no such device on this machine.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"device must be 'cpu', 'cuda' or 'cuda:N', but got {device!r}") from None
    if wanted.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (wanted.index or 0) >= count:
            raise ConfigError(
                f"device {str(wanted)!r} is absent: this machine has {count} CUDA devices. Use 'cpu'."
            )
    elif wanted.type not in ("cpu", "mps"):
        raise ConfigError(f"device must be 'cpu', 'cuda' or 'cuda:N', but got {str(wanted)!r}")
    elif wanted.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device 'mps' is absent on this machine. Use 'cpu'.")
    return wanted


def cuda_devices() -> list[str]:
    """`cuda:0 NAME` of every CUDA device; none without CUDA."""
    if not torch.cuda.is_available():
        return []
    return [f"cuda:{index} {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())]


def num_gpus() -> int:
    """CUDA devices that this process may use; none of them is touched."""
    return torch.cuda.device_count()


def use_threads(count: int) -> None:
    """Compute with so many threads on the CPU."""
    torch.set_num_threads(count)


def num_threads() -> int:
    """Threads that torch computes with on the CPU."""
    return torch.get_num_threads()


def device_text(device: torch.device) -> str:
    """The device for a record: `cpu, 8 threads` or `cuda:0, NAME`."""
    if device.type == "cuda":
        return f"cuda:{device.index or 0}, {torch.cuda.get_device_name(device)}"
    return f"cpu, {num_threads()} threads" if device.type == "cpu" else str(device)
