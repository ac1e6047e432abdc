"""Tensors and notes as the bytes of a `.safetensors`, with a hash of both: the same give the same bytes."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping

import safetensors.torch
import torch
from torch import Tensor

#: The header ends on a multiple of this [byte].
_ALIGNMENT = 8
#: Name of the hash among the notes.
CONTENT = "content"


def safetensors_bytes(tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None) -> bytes:
    """The content of a file.

    The library writes the notes in an order that changes from call to call; here they are sorted by name.

    Args:
        tensors: by name; contiguous, none of them a view of another.
        notes: text by name, in the header.

    Source: safetensors, README, section "Format": 8 bytes with the length of the header (little endian), the
        header in JSON, padded with spaces, the data.
    """
    notes = {**(notes or {}), CONTENT: content_hash(tensors, notes or {})}
    data = safetensors.torch.save(dict(tensors), notes)
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(notes.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def read_header(data: bytes) -> dict[str, str]:
    """The notes of `safetensors_bytes`, the hash of the content among them."""
    (length,) = struct.unpack_from("<Q", data)
    notes: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return notes


def content_hash(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> str:
    """64 hex digits of names, types, shapes, values and notes."""
    digest = hashlib.sha256(json.dumps(dict(notes), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
