"""How long the codes of a model's weights would be under a Huffman code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from hwmodel.network.choice import FLOAT_BITS
from workloads.compress.arrays import quantize_array
from workloads.compress.layers import QuantLayer
from workloads.options import is_integer
from workloads.storage.huffman import HuffmanCode, entropy_bits

if TYPE_CHECKING:
    import pandas as pd


@torch.no_grad()
def huffman_table(model: nn.Module, bits: int = 8) -> pd.DataFrame:
    """One row per layer with weights, then the whole model under the name `total`, shared weights once.

    A quantized weight has the codes of its own grid, a pruned one is a code as any other. A float weight is
    coded between the extremes of its output channels, as `save_compressed` does.

    Args:
        model: float, pruned, or of `apply`; not changed.
        bits: of the codes of float weights, 1..8.

    Returns:
        Columns: layer, weights, bits (of a code as it is), entropy_bits and huffman_bits (per weight),
        size_bytes (Huffman words of all weights, and a byte per code for the length of its word).

    Raises:
        ConfigError: bits out of range, a weight that is not finite, or a model without weights.
    """
    import pandas as pd

    if not is_integer(bits, 1, 8):
        raise ConfigError(f"bits must be an integer in 1..8, but got {bits!r}")
    rows = [row for name, module in _owners(model).items() if (row := _row(name, module, bits)) is not None]
    if not rows:
        raise ConfigError("the model has no layer with a weight of two or more dims")
    table = pd.DataFrame(rows)
    parameters = [id(model.get_submodule(name)._parameters["weight"]) for name in table["layer"]]
    stored = table[~pd.Series(parameters).duplicated()]
    weights = stored["weights"]
    means = {
        column: float((stored[column] * weights).sum() / weights.sum())
        for column in ("bits", "entropy_bits", "huffman_bits")
    }
    total = {"layer": "total", "weights": weights.sum(), **means, "size_bytes": stored["size_bytes"].sum()}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


def _owners(model: nn.Module) -> dict[str, nn.Module]:
    """The module of every stored weight; of those that share one, the first that is compressed, else the first."""
    owners: dict[int, str] = {}
    modules = dict(model.named_modules())
    for name, module in modules.items():
        weight = module._parameters.get("weight")
        if weight is not None:
            first = owners.setdefault(id(weight), name)
            if isinstance(module, QuantLayer) and not isinstance(modules[first], QuantLayer):
                owners[id(weight)] = name
    return {name: modules[name] for name in owners.values()}


def _row(name: str, module: nn.Module, bits: int) -> dict[str, object] | None:
    """None for a module without a weight of two or more dims."""
    weight = module._parameters.get("weight")
    if weight is None or weight.dim() < 2 or not weight.is_floating_point():
        return None
    try:
        codes, width = _own_codes(module) or _row_codes(module, weight, bits)
    except ConfigError as error:
        raise ConfigError(f"{name!r} {error}") from None
    counts = torch.bincount(codes.reshape(-1).long())
    average = HuffmanCode.of(counts.tolist()).average_bits(counts.numpy())
    return {
        "layer": name,
        "weights": weight.numel(),
        "bits": width,
        "entropy_bits": entropy_bits(counts.numpy()),
        "huffman_bits": average,
        "size_bytes": -(-round(average * weight.numel()) // 8) + len(counts),
    }


def _own_codes(module: nn.Module) -> tuple[Tensor, int] | None:
    """(codes from 0 of the weight on its grid, their bits); None where it is float."""
    if not isinstance(module, QuantLayer) or module.weight_quantizer is None:
        return None
    width = int(module.weight_quantizer.bits)
    if width == FLOAT_BITS:
        return None
    grid, codes, kept = module.weight_codes()
    if kept is not None:
        codes = torch.where(kept, codes, grid.qmax + 1)
    return codes.cpu() - grid.qmin, width


def _row_codes(module: nn.Module, weight: Tensor, bits: int) -> tuple[Tensor, int]:
    """(codes of the rows of a float weight, their bits); a pruned weight is a code of its own."""
    rows = weight.detach().cpu().reshape(len(weight), -1)
    codes = torch.from_numpy(quantize_array(rows.double().numpy(), bits)[0]).to(torch.int32)
    mask = getattr(module, "mask", None)
    pruned = rows == 0 if mask is None else ~mask.cpu().expand_as(weight).reshape(rows.shape)
    return torch.where(pruned, 2**bits, codes), bits
