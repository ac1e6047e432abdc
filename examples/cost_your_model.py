"""Any PyTorch model on any chip: trace it, price it at several bit-widths, see where the energy goes.

python examples/cost_your_model.py
"""

import torch
from torch import nn

from hwmodel import evaluate, load_accelerator
from workloads import trace
from workloads.compress import CompressionConfig


class Tiny(nn.Module):
    """A depthwise-separable block and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.pointwise = nn.Conv2d(16, 32, 1)
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.pointwise(self.depthwise(x)))
        return self.head(x.mean((2, 3)))


graph = trace(Tiny(), torch.zeros(1, 3, 32, 32))
print(graph)
for name in ("eyeriss", "bitfusion", "edge_npu"):
    accelerator = load_accelerator(name)
    for bits in (8, 4, 2):
        config = CompressionConfig.from_bits(dict.fromkeys(graph.modules, bits), a_bits=bits)
        cost = evaluate(graph, accelerator, config)
        print(f"{name:10s} {bits} bit  {cost.energy_pj / 1e6:7.2f} uJ  {cost.latency_s * 1e6:7.1f} us")
print(cost.to_dataframe()[["layer", "macs", "cycles", "energy_pj", "utilization", "bound"]].to_string(index=False))
