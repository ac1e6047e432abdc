"""Models of timm whose positions are projected: the same layers before a forward, after it, and quantized."""

from __future__ import annotations

import pytest
import torch

from workloads.compress import CompressionConfig, apply
from workloads.tracing import trace_model

timm = pytest.importorskip("timm")

BLOCKS, TOKENS, HEADS = 10, 7 * 7, 4


def mlp(rows, hidden, heads):
    """MACs of the MLP that maps two relative coordinates to a bias per head."""
    return rows * (2 * hidden + hidden * heads)


#: Name -> (pixels, MACs on constants alone).
MODELS = {
    # 10 blocks project the (3) relative positions of every pair of 7 x 7 patches to 4 heads.
    "convit_tiny": (112, BLOCKS * TOKENS * TOKENS * 3 * HEADS),
    # 64 Fourier features to 48 channels, at the stride of 8 of the second stage.
    "edgenext_xx_small": (64, 64 * 48 * (64 // 8) ** 2),
    # 2, 2, 6 and 2 blocks of 3, 6, 12 and 24 heads: 49 x 49 pairs of a window through 384 hidden units.
    "swinv2_cr_tiny_224": (
        224, sum(n * mlp(49 * 49, 384, heads) for n, heads in ((2, 3), (2, 6), (6, 12), (2, 24)))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_positions_are_folded_by_one_rule(name):
    pixels, folded = MODELS[name]
    options = {"img_size": pixels} if name == "convit_tiny" else {}
    model, x = timm.create_model(name, **options).eval(), torch.rand(1, 3, pixels, pixels)
    fresh = trace_model(model, (x,), route="dispatch")
    assert fresh.folded_macs == folded
    with torch.no_grad():
        model(x)
    after = trace_model(model, (x,))
    hooks = trace_model(model, (x,), route="hooks")
    config = CompressionConfig.from_bits(dict.fromkeys(fresh.modules, 4), a_bits=8)
    quantized = trace_model(apply(model, config), (x,), route="auto")
    names = [layer.name for layer in fresh.layers]
    for graph in (after, quantized):
        assert (graph.macs, graph.folded_macs) == (fresh.macs, folded)
        assert [layer.name for layer in graph.layers] == names
    assert hooks.folded_macs == folded
