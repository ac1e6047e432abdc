"""Small quantized networks for the tests of integer arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workloads.compress import CompressionConfig, apply, calibrate


class Chain(nn.Module):
    """conv - relu - max pool - conv - relu6 - linear, without biases or norms; on (N, 2, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2, bias=False)
        self.fc = nn.Linear(8 * 4, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.conv1(x)))
        x = nn.functional.relu6(self.conv2(x))
        return self.fc(x.view(x.size(0), -1))


class Everything(nn.Module):
    """Norms, a residual add, concatenation, average pools, a table, slices and padding; on (N, 2, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.left = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.left_norm = nn.BatchNorm2d(4)
        self.right = nn.Conv2d(8, 6, 1)
        self.act = nn.SiLU()
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.norm(self.stem(x)))
        x = nn.functional.relu(x + self.left_norm(self.left(x)))
        halves = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))[:, :4]
        x = torch.cat([nn.functional.avg_pool2d(x, 2), halves], dim=1)
        x = self.act(self.right(x))
        return self.fc(self.drop(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)))


def seeded(build: type[nn.Module], seed: int = 0) -> nn.Module:
    """A model with seeded weights and, in its norms, statistics and scales that are not the initial ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = build()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight.data, -1.5, 1.5), (module.bias.data, -0.5, 0.5), (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.2, 2.0),
            ):  # fmt: skip
                tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))
    return model.eval()


def batch(count: int = 16, seed: int = 1) -> Tensor:
    return torch.randn(count, 2, 8, 8, generator=torch.Generator().manual_seed(seed))


def quantized(model: nn.Module, x: Tensor, bits: int = 8, quantizer: str = "affine", **more: str) -> nn.Module:
    layers = [name for name, m in model.named_modules() if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Linear))]
    config = CompressionConfig.from_bits(dict.fromkeys(layers, bits), a_bits=bits, quantizer=quantizer, **more)
    qmodel = apply(model, config)
    calibrate(qmodel, x)
    return qmodel.eval()
