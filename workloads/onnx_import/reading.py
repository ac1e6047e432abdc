"""Read an ONNX file: refuse what is none before it is loaded, keep the weights apart from the graph."""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hwmodel.errors import ConfigError
from workloads.onnx_import.values import MAX_CONSTANT

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

#: A protobuf message ends here; larger networks keep their weights in external files.
MAX_BYTES = 2**31 - 1
#: So many functions, properties or op sets no model has.
MAX_REPEATS = 1_000_000

#: Fields of a ModelProto -> wire type (0 varint, 2 length and bytes). Source: onnx/onnx.proto, ModelProto.
_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_GRAPH = 7


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """A file that was read.

    Attributes:
        path: of the file; weights in external files lie in its folder.
        model: the network with local functions inlined; large initializers have a shape and no data.
        weights: the initializers with their data, by name.
    """

    path: Path
    model: ModelProto
    weights: Mapping[str, TensorProto]


def read_onnx(path: str | Path) -> OnnxFile:
    """The network in a file.

    Raises:
        ConfigError: onnx is not installed; the file is absent, not ONNX, truncated or larger than a
            protobuf message can be.
    """
    path = Path(path)
    if importlib.util.find_spec("onnx") is None:
        raise ConfigError(f"{path}: reading ONNX needs onnx, which is not installed: pip install -e '.[onnx]'")
    import onnx
    from google.protobuf.message import DecodeError

    try:
        _check_file(path)
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except DecodeError as error:
        raise ConfigError(f"{path}: is not ONNX, or is damaged: {error}. Export it again.") from error
    if not model.graph.node:
        raise ConfigError(f"{path}: the network in it has no node. Export it again.")
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    return OnnxFile(path=path, model=_inlined(_light(model), path), weights=weights)


def _check_file(path: Path) -> None:
    """Walk over the fields of the message without reading what they hold."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file" if not path.exists() else f"{path}: is a folder, not a file")
    size = path.stat().st_size
    if size == 0:
        raise ConfigError(f"{path}: is empty. Export the model again.")
    if size > MAX_BYTES:
        raise ConfigError(
            f"{path}: an ONNX file must be at most {MAX_BYTES:,} bytes (protobuf), but has {size:,}. "
            "Save the weights apart: onnx.save_model(model, path, save_as_external_data=True)."
        )
    with path.open("rb") as file:
        seen: Counter[int] = Counter()
        while file.tell() < size:
            field = _skip_field(file, path, size)
            seen[field] += 1
            if seen[field] > (1 if _FIELDS[field] == 0 else MAX_REPEATS):
                raise ConfigError(f"{path}: is not an ONNX file (it repeats a field of the model).")
    if _GRAPH not in seen:
        raise ConfigError(f"{path}: is not ONNX, or is truncated: it holds no graph. Export the model again.")


def _skip_field(file: IO[bytes], path: Path, size: int) -> int:
    """The number of the next field; its content is skipped."""
    start = file.tell()
    tag = _varint(file)
    number, wire = (tag >> 3, tag & 7) if tag is not None else (0, 0)
    if _FIELDS.get(number) != wire:
        raise ConfigError(f"{path}: is not an ONNX file (byte {start:,} starts no field of an ONNX model).")
    value = _varint(file)
    length = value if wire == 2 and value is not None else 0
    if value is None or file.tell() + length > size:
        missing = f": {file.tell() + length:,} bytes are announced, {size:,} are there" if length else ""
        raise ConfigError(f"{path}: is truncated{missing}. Copy or export it again.")
    file.seek(length, 1)
    return number


def _varint(file: IO[bytes]) -> int | None:
    """The next base-128 number; None where the file ends or the number does not."""
    value = 0
    for position in range(10):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << (7 * position)
        if byte[0] < 0x80:
            return value
    return None


def _light(model: ModelProto) -> ModelProto:
    """The model with the data of large initializers left out."""
    from onnx import GraphProto, ModelProto, TensorProto

    light = ModelProto()
    for field, value in model.ListFields():
        if field.name == "graph":
            continue
        if field.is_repeated:
            getattr(light, field.name).extend(value)
        else:
            setattr(light, field.name, value)
    graph = GraphProto()
    for field, value in model.graph.ListFields():
        if field.name == "initializer":
            for tensor in value:
                large = math.prod(tensor.dims) > MAX_CONSTANT
                kept = TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
                graph.initializer.append(kept if large else tensor)
        elif field.is_repeated:
            getattr(graph, field.name).extend(value)
        else:
            setattr(graph, field.name, value)
    light.graph.CopyFrom(graph)
    return light


def _inlined(model: ModelProto, path: Path) -> ModelProto:
    """The model with calls of its own functions replaced by their bodies."""
    if not model.functions:
        return model
    import onnx.inliner

    try:
        inlined: ModelProto = onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as error:  # what its C++ raises on functions that do not fit together
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{path}: its functions cannot be inlined: {reason}") from error
    return inlined
