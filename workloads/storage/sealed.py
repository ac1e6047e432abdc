"""Reading `.safetensors`, which carry a hash of their content among the metadata (`safefile`).

The format checks only that tensors lie where its header says; a flipped bit in a weight, or a name that lost a
letter, is read as if nothing had happened. The hash covers names, types, shapes, values and metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.storage.safefile import CONTENT, content_hash, read_header


def read_file(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """(metadata without the hash, tensors) of a file; one that brings no hash (others' files) is taken as it is.

    Raises:
        ConfigError: the file is absent, no `.safetensors`, damaged or edited.
    """
    metadata, tensors = read_unchecked(path)
    check_content(path, metadata, tensors)
    return {name: text for name, text in metadata.items() if name != CONTENT}, tensors


def read_bytes(data: bytes) -> tuple[dict[str, str], dict[str, Tensor]]:
    """(metadata without the hash, tensors) of `safetensors_bytes`.

    Raises:
        ConfigError: they were damaged on their way.
    """
    metadata, tensors = read_header(data), safetensors.torch.load(data)
    check_content("weights in memory", metadata, tensors)
    return {name: text for name, text in metadata.items() if name != CONTENT}, tensors


def check_content(path: Path | str, metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    """What was read is what was saved; nothing to check where the metadata bring no hash.

    Raises:
        ConfigError: the file was damaged or edited.
    """
    content = metadata.get(CONTENT)
    if content is not None and content != content_hash(
        tensors, {k: v for k, v in metadata.items() if k != CONTENT}
    ):
        raise ConfigError(
            f"{path}: its content must have the hash {content[:16]!r} that it was saved with, but does not: it was "
            "damaged or edited. Restore it from a copy, or delete it and run again what wrote it."
        )


def read_notes(path: Path) -> dict[str, str]:
    """Metadata of a file, the hash of its content among them; without reading the tensors.

    Raises:
        ConfigError: the file is absent, no `.safetensors`, or its header is damaged.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, safetensors.SafetensorError) as error:
        raise ConfigError(f"{path}: cannot be read as safetensors: {error}") from None


def read_unchecked(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """(metadata with the hash, tensors) of a file, whatever its content.

    Raises:
        ConfigError: the file is absent or no `.safetensors`.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
            return dict(file.metadata() or {}), tensors
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise ConfigError(f"{path}: cannot be read as safetensors: {error}") from None
