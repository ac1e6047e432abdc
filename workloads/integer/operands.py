"""The integers behind one layer of a quantized model, and the partial sums they give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, check_names
from workloads.compress.calibration import check_calibrated, modes_kept
from workloads.compress.grid import Grid, along
from workloads.compress.layers import QuantLayer
from workloads.compress.transform import check_plain, quantized_layers
from workloads.integer.exact import dot

if TYPE_CHECKING:
    import pandas as pd

_HALF_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerIntegers:
    """value = scale * integer, for both operands of a layer.

    Attributes:
        name: of the module.
        x_int: int32, the input: its codes minus their zero point, so that 0 is 0.
        w_int: int32, the weight likewise, after the mask.
        scale_x: float64, 0-dim.
        scale_w: float64, 0-dim or (K,).
        psum_int: int64, x_int conv w_int.
        psum: float64, scale_x * scale_w * psum_int.
        computed: float64, what the layer itself computes in its own floating point, without bias.
    """

    name: str
    x_int: Tensor
    w_int: Tensor
    scale_x: Tensor
    scale_w: Tensor
    psum_int: Tensor
    psum: Tensor
    computed: Tensor

    @property
    def error(self) -> PsumError:
        """`psum` beside `computed`."""
        difference = (self.psum - self.computed).abs()
        return PsumError(
            layer=self.name, psums=difference.numel(), max_error=float(difference.max()),
            mean_error=float(difference.mean()), max_psum=float(self.psum.abs().max()),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PsumError:
    """Recovered partial sums beside those that the model computes in its own floating point, without bias.

    Attributes:
        layer: name of the module.
        psums: compared.
        max_error, mean_error: of |recovered - float|.
        max_psum: largest |recovered|, for scale.
    """

    layer: str
    psums: int
    max_error: float
    mean_error: float
    max_psum: float

    @property
    def relative(self) -> float:
        """max_error / max_psum; 0 where every psum is 0."""
        return self.max_error / self.max_psum if self.max_psum else 0.0


def centred(grid: Grid, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Codes minus their zero point, and the scale: value = scale * integer.

    A grid whose 0 lies halfway between two codes (1-bit signed, DoReFa, PACT) is held in half steps:
    integers 2 * code + 2 * offset / scale, scale / 2.

    Args:
        grid: of the codes.
        codes: int32.

    Returns:
        int32 of the shape of `codes`, and float64 0-dim or along the grid's axis.

    Raises:
        ConfigError: 0 is neither on a code nor halfway between two.
    """
    scale = grid.scale.detach().double()
    if grid.zero_point is not None:
        return codes - along(grid.zero_point, grid.axis, codes.dim()), scale
    assert grid.offset is not None
    halves = 2 * grid.offset.detach().double() / scale
    whole = halves.round()
    if bool((halves - whole).abs().max() > _HALF_TOLERANCE):
        raise ConfigError(
            f"value = scale * integer must hold, but 0 lies {float(halves.flatten()[0]) / 2:.3f} steps from code 0."
            " Use quantizer 'affine', 'symmetric' or 'lsq'."
        )
    return 2 * codes + along(whole.to(torch.int32), grid.axis, codes.dim()), scale / 2


def weight_integers(layer: QuantLayer) -> tuple[Tensor, Tensor]:
    """w_int (int32, masked) and scale_w (float64) of a layer; see `LayerIntegers`.

    Raises:
        ConfigError: the weight is float, or its grid has no zero.
    """
    grid = layer.weight_grid()
    w_int, scale = centred(grid, grid.codes(layer.called_weight()))
    if layer.mask is not None:
        w_int = w_int * layer.mask
    return w_int.to(torch.int32), scale


def find_layer(qmodel: nn.Module, name: str) -> QuantLayer:
    """The compressed layer of that name.

    Raises:
        ConfigError: none has it; the nearest is offered.
    """
    layers = dict(quantized_layers(qmodel))
    check_names([name], layers, "quantized layers")
    return layers[name]


def layer_integers(qmodel: nn.Module, name: str, x: Tensor) -> LayerIntegers:
    """The integers of one layer when the model runs on `x`.

    Args:
        qmodel: of `apply`, calibrated.
        name: of a layer whose weight and input are quantized.
        x: (N, ...) inputs of the model.

    Raises:
        ConfigError: no such layer, it is float, its grid has no zero, it does not run, or no calibration was.
    """
    layer = find_layer(qmodel, name)
    inputs = capture_inputs(qmodel, {name: layer}, x)[name]
    return _integers(name, layer, inputs)


def psum_errors(qmodel: nn.Module, x: Tensor) -> tuple[PsumError, ...]:
    """Every quantized layer's recovered partial sums beside the model's own.

    Args:
        qmodel, x: of `layer_integers`.

    Raises:
        ConfigError: of `layer_integers`.
    """
    layers = dict(quantized_layers(qmodel))
    inputs = capture_inputs(qmodel, layers, x)
    return tuple(_integers(name, layer, inputs[name]).error for name, layer in layers.items())


def psum_error_table(errors: tuple[PsumError, ...]) -> pd.DataFrame:
    """One row per layer: layer, psums, max_error, mean_error, max_psum, relative."""
    import pandas as pd

    return pd.DataFrame([asdict(error) | {"relative": error.relative} for error in errors])


@torch.no_grad()
def _integers(name: str, layer: QuantLayer, x: Tensor) -> LayerIntegers:
    try:
        check_plain(layer)
        grid = layer.input_grid()
        x_int, scale_x = centred(grid, grid.codes(x))
        if scale_x.dim():
            raise ConfigError("the input has one scale per channel: no single scale can be taken out of the sum")
        w_int, scale_w = weight_integers(layer)
    except ConfigError as error:
        raise ConfigError(f"{name!r}: {error}") from None
    psum_int = dot(layer, x_int, w_int)
    psum = psum_int.double() * spread(scale_x * scale_w, layer, psum_int.dim())
    return LayerIntegers(
        name=name, x_int=x_int, w_int=w_int, scale_x=scale_x, scale_w=scale_w, psum_int=psum_int, psum=psum,
        computed=_computed(layer, x),
    )  # fmt: skip


def spread(per_channel: Tensor, layer: nn.Module, dims: int) -> Tensor:
    """(K,) along the output channels of a layer's output with `dims` dims; 0-dim stays."""
    return along(per_channel, -1 if isinstance(layer, nn.Linear) else 1, dims)


def _computed(layer: QuantLayer, x: Tensor) -> Tensor:
    """What the layer gives in eval mode, without its bias. float64."""
    with modes_kept(layer):
        out: Tensor = layer.eval()(x).double()
    bias = layer.effective_bias()
    return out if bias is None else out - spread(bias.double(), layer, out.dim())


@contextmanager
def _hooks(layers: dict[str, QuantLayer], seen: dict[str, list[Tensor]]) -> Iterator[None]:
    handles = [
        layer.register_forward_pre_hook(lambda _, args, name=name: seen[name].append(args[0].detach()))
        for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def capture_inputs(qmodel: nn.Module, layers: dict[str, QuantLayer], x: Tensor) -> dict[str, Tensor]:
    """What each layer reads, before its quantizer, when the model runs on `x` in eval mode.

    Returns:
        By name; of a layer that runs several times all it reads, along the batch.

    Raises:
        ConfigError: a layer does not run, or reads inputs of several shapes.
    """
    check_calibrated(qmodel)
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}
    with modes_kept(qmodel), _hooks(layers, seen):
        qmodel.eval()
        qmodel(x)
    for name, inputs in seen.items():
        if len({tensor.shape[1:] for tensor in inputs}) != 1:
            shapes = [tuple(tensor.shape) for tensor in inputs]
            raise ConfigError(f"{name!r} must run on inputs of one shape, but got {shapes}")
    return {name: torch.cat(inputs) for name, inputs in seen.items()}
