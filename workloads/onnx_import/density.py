"""The non-zero fraction of weights, measured from the initializers of a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwmodel.errors import ConfigError
from workloads.onnx_import.reading import MAX_BYTES, OnnxFile
from workloads.onnx_import.values import OnnxValue, numbers, torch_type

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import TensorProto

    Floats = NDArray[np.float32]

#: Of an element, when the bytes to read are estimated.
FLOAT_BYTES = 4

#: So few zeros among float weights came by chance, not by pruning.
STRAY = 1e-3


class Densities:
    """Measures weights of one file; external files are read up to 2 GiB in all, and then taken as dense."""

    def __init__(self, file: OnnxFile) -> None:
        self._file = file
        self._budget = MAX_BYTES

    def measure(self, value: OnnxValue) -> float:
        """Non-zero fraction of a weight in (0, 1]; 1 where its numbers are absent or all zero (not trained)."""
        tensor = self._file.weights.get(value.weight)
        array = None if tensor is None else self._read(tensor)
        if array is None or not array.size:
            return 1.0
        is_float = tensor is None or torch_type(tensor.data_type).is_floating_point
        values = array.astype(np.float32)
        nonzero = int(np.count_nonzero(_rounded(values, value.quantizer, is_float=is_float)))
        by_chance = is_float and value.quantizer is None and nonzero > (1 - STRAY) * array.size
        return 1.0 if nonzero == 0 or by_chance else nonzero / array.size

    def _read(self, tensor: TensorProto) -> NDArray[Any] | None:
        if tensor.data_location != tensor.EXTERNAL:
            return numbers(tensor)
        entries = {entry.key: entry.value for entry in tensor.external_data}
        folder = self._file.path.parent
        location = Path(entries.get("location", ""))
        if location.is_absolute() or ".." in location.parts:
            raise ConfigError(
                f"{self._file.path}: the weight {tensor.name!r} lies at {str(location)!r}, "
                "but must lie in the folder of the model."
            )
        size = math.prod(tensor.dims) * FLOAT_BYTES
        if size > self._budget or not (folder / location).is_file():
            return None
        self._budget -= size
        from onnx import TensorProto

        return numbers(TensorProto.FromString(tensor.SerializeToString()), str(folder))


def _rounded(values: Floats, quantizer: tuple[Floats, Floats] | None, *, is_float: bool) -> Floats:
    """What is zero where the weight is: integers less their zero point, floats rounded to the grid."""
    if quantizer is None:
        return values
    scale, zero = (np.asarray(item, dtype=np.float32) for item in quantizer)
    try:
        return np.round(values / scale) if is_float else values - zero
    except ValueError:  # scales per block
        return values
