"""What all quantizers share: a bit-width that lives in a buffer, and how its extremes behave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, check_one_of
from hwmodel.network.choice import FLOAT_BITS
from workloads.compress.config import MAX_QUANTIZED_BITS, ROUNDINGS

HALF = (torch.bfloat16, torch.float16)


def wide(x: Tensor) -> Tensor:
    """At least 32 bits: 16 have no room for codes and their fractions."""
    return x.float() if x.dtype in HALF else x


class Quantizer(nn.Module):
    """Simulates integers in floating point: the output lies on a grid, the gradient passes through it.

    The bit-width is a buffer, so that changing it neither rebuilds the module nor recompiles it. 0 bits
    give zeros, 32 pass the input through. Grids are kept and computed in at least 32 bits, whatever the model
    is cast to; the output is of the type of the input.

    Args:
        bits: 0..16, or 32.
        rounding: `nearest` (ties to even), `floor`, or `stochastic`, which draws from torch's own generator
            (`torch.manual_seed`) in training; in eval mode inputs are rounded to the nearest, and weights as
            `WeightQuantizer` says.
    """

    bits: Tensor
    #: Candidates that train as one differ here in what their widths do: the bits are read from the buffer.
    mixed: bool = False
    #: `quantize` takes 16 bits as they are, and computes in 32.
    widens: bool = False

    def __init__(self, bits: int, rounding: str = "nearest") -> None:
        super().__init__()
        check_one_of("rounding", rounding, ROUNDINGS)
        self.rounding = rounding
        self._width = check_width(bits)
        self.register_buffer("bits", torch.tensor(bits))

    def quantize(self, x: Tensor) -> Tensor:
        """`x`, of at least 32 bits unless it `widens`, on the grid of 0..16 bits."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        if self._reads_bits():
            return torch.where(self.bits == FLOAT_BITS, x, self._on_grid(x))
        return x if self._width == FLOAT_BITS else self._on_grid(x)

    def _reads_bits(self) -> bool:
        """The width is known to the buffer alone."""
        return self.mixed or (torch.compiler.is_compiling() and not torch.compiler.is_exporting())

    def _on_grid(self, x: Tensor) -> Tensor:
        out = self.quantize(x if self.widens else wide(x))
        return out if out.dtype == x.dtype else out.to(x.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(lambda tensor: _kept_wide(fn(tensor), tensor), recurse)  # type: ignore[no-untyped-call]
        return self

    @property
    def simulated_bits(self) -> int:
        """For the tracer: what runs in here is rounding that the hardware does on the way [bit]. At least 1."""
        return max(1, self._width)

    def stand_in(self, x: Tensor) -> Tensor:
        """For the tracer: a tensor of the shape and type of the result, without the arithmetic."""
        return x if self._width == FLOAT_BITS else x.clone()

    @property
    def mode(self) -> str | Tensor:
        """The rounding of the next call."""
        return self._own_mode()

    def _own_mode(self) -> str:
        return "nearest" if self.rounding == "stochastic" and not self.training else self.rounding

    def _set_width(self, bits: int) -> None:
        self._width = check_width(bits)
        self.bits.fill_(bits)

    def _check_quantized(self) -> None:
        if self._width == FLOAT_BITS:
            raise ConfigError("a quantizer at 32 bits passes floats through: it has no grid")

    def _grid_rounding(self) -> str:
        return "nearest" if self.rounding == "stochastic" else self.rounding

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._width = int(self.bits)

    def extra_repr(self) -> str:
        rounding = "" if self.rounding == "nearest" else f", rounding={self.rounding}"
        return f"bits={self._width}{rounding}"


def _kept_wide(new: Tensor, old: Tensor) -> Tensor:
    """What a conversion makes of a tensor; in 32 bits where it would narrow it."""
    return old.to(device=new.device, dtype=torch.float32) if new.dtype in HALF else new


def check_width(bits: int) -> int:
    """The bits themselves.

    Raises:
        ConfigError: not 0..16 nor 32.
    """
    if (
        isinstance(bits, int)
        and not isinstance(bits, bool)
        and (0 <= bits <= MAX_QUANTIZED_BITS or bits == FLOAT_BITS)
    ):
        return bits
    raise ConfigError(
        f"bits must be an integer in 0..{MAX_QUANTIZED_BITS} (0 removes), or {FLOAT_BITS} for float, "
        f"but got {bits!r}"
    )
