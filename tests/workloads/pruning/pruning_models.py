"""Small networks, one for every way in which channels hang together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.inner = nn.Conv2d(8, 6, 3, padding=1)
        self.outer = nn.Conv2d(6, 8, 1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = x + self.outer(torch.sigmoid(self.inner(x)))
        return self.fc(x.mean((2, 3)))


class Dense(nn.Module):
    """Concatenation, in two orders, then a flattened map: offsets and repeats."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 5, 3, padding=1)
        self.bn = nn.BatchNorm2d(9)
        self.third = nn.Conv2d(9, 6, 3, padding=1)
        self.fc = nn.Linear((6 + 4) * 2 * 2, 4)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.first(x))
        b = torch.cat([a, self.second(a)], 1)
        c = self.third(torch.relu(self.bn(b)))
        return self.fc(nn.functional.max_pool2d(torch.cat([c, a], 1), 4).flatten(1))


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 1)
        self.grouped = nn.Conv2d(8, 12, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(12, 24, 3, groups=12)
        self.act = nn.PReLU(24)
        self.last = nn.Conv2d(24, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.depthwise(torch.tanh(self.grouped(self.first(x))))))


class Shared(nn.Module):
    """One module on two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 6, 1)
        self.right = nn.Conv2d(3, 6, 1)
        self.both = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Conv2d(12, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.cat([self.both(self.left(x)), self.both(self.right(x)).relu()], 1))


class Gated(nn.Module):
    """Squeeze and excitation: the gate multiplies the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.squeeze = nn.Linear(8, 4)
        self.excite = nn.Linear(4, 8)
        self.last = nn.Conv2d(8, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3))))))
        return self.last(x * gate[:, :, None, None])


class Mlp(nn.Module):
    """Linear layers on tokens, with a residual stream under a layer norm, which must stay whole."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 16)
        self.down = nn.Linear(16, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.flatten(2).transpose(1, 2))
        x = x + self.down(nn.functional.gelu(self.up(self.norm(x))))
        return self.head(x.mean(1))


class Attended(nn.Module):
    """One map multiplies all channels; everything that can be in place is."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.map = nn.Sequential(nn.Conv2d(8, 6, 1), nn.ReLU(inplace=True), nn.Conv2d(6, 1, 1), nn.Sigmoid())
        self.second = nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = torch.relu_(x * self.map(x))
        x += self.second(x)
        x[:, :, ::2].mul_(0.5)
        return self.last(nn.functional.interpolate(nn.functional.dropout2d(x, training=False), scale_factor=2))


TOYS: dict[str, Callable[[], nn.Module]] = {
    "residual": Residual, "dense": Dense, "grouped": Grouped, "shared": Shared, "gated": Gated, "mlp": Mlp,
    "attended": Attended,
}  # fmt: skip


def randomized(model: nn.Module, seed: int = 0) -> nn.Module:
    """In eval mode, with norms that shift and scale: a pruned channel behind one is not zero by itself."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.weight, 0.5), (module.bias, -1.0), (module.running_mean, -1.0),
                                (module.running_var, 0.5)):  # fmt: skip
                tensor.data.uniform_(low, low + 1.5, generator=generator)
    return model.eval()


def toy(name: str) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return randomized(TOYS[name]())


def picture(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(1))
