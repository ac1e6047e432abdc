"""Tensors and notes as the bytes of a `.safetensors`: the same of both give the same bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

import safetensors.torch
from torch import Tensor

#: The header ends on a multiple of this [byte].
_ALIGNMENT = 8


def safetensors_bytes(tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None) -> bytes:
    """The content of a file.

    The library writes the notes in an order that changes from call to call; here they are sorted by name.

    Args:
        tensors: by name; contiguous, none of them a view of another.
        notes: text by name, in the header.

    Source: safetensors, README, section "Format": 8 bytes with the length of the header (little endian), the
        header in JSON, padded with spaces, the data.
    """
    data = safetensors.torch.save(dict(tensors), dict(notes) if notes else None)
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]
