"""What lies between the MACs of traced models: pools, norms, padding and concatenations, priced."""

from __future__ import annotations

import torch
from torch import nn

from hwmodel import evaluate, load_accelerator
from workloads import trace

BYTE = 8


class Pooled(nn.Module):
    """3 x 32 x 32 -> 16 x 32 x 32 -> batch norm -> ReLU -> max pool 2 -> 1x1."""

    def __init__(self, *, skips: bool = False) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.pool, self.point = nn.MaxPool2d(2), nn.Conv2d(16, 8, 1)
        self.skips = skips

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        before = torch.relu(self.norm(self.conv(x)))
        after = self.point(self.pool(before))
        return (after, before) if self.skips else after


def test_a_traced_pool_is_fused_behind_its_convolution():
    whole, pooled = 16 * 32 * 32, 16 * 16 * 16
    npu = load_accelerator("edge_npu")
    graph = trace(Pooled(), torch.zeros(1, 3, 32, 32))
    cost = evaluate(graph, npu)
    assert cost.layers[0].traffic_bits["dram", "O"] == pooled * BYTE == 4_096 * BYTE
    assert cost.layers[0].traffic_bits["dram", "vector"] == 0
    assert cost.activation_bits == 7_168 * BYTE
    apart = evaluate(graph, npu, fuse=False).layers[0]
    assert apart.traffic_bits["dram", "O"] == whole * BYTE
    assert apart.traffic_bits["dram", "vector"] == 20_480 * BYTE
    kept = evaluate(trace(Pooled(skips=True), torch.zeros(1, 3, 32, 32)), npu).layers[0]
    assert kept.traffic_bits["dram", "O"] == whole * BYTE
    assert kept.traffic_bits["dram", "vector"] == 20_480 * BYTE
