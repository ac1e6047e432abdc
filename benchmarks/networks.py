"""Layer shapes of the networks that the benchmarks price, without tracing."""

from __future__ import annotations

from hwmodel import Layer
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Dims

Row = tuple[str, dict[str, int], int]


def _stages(channels: tuple[int, ...], blocks: int, size: int, first: int) -> list[Row]:
    rows: list[Row] = []
    c = first
    for stage, k in enumerate(channels):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            size //= stride
            name = f"layer{stage + 1}.{block}"
            rows.append((f"{name}.conv1", {"K": k, "C": c, "OY": size, "OX": size, "FY": 3, "FX": 3}, stride))
            rows.append((f"{name}.conv2", {"K": k, "C": k, "OY": size, "OX": size, "FY": 3, "FX": 3}, 1))
            if stride == 2:
                rows.append((f"{name}.downsample.0", {"K": k, "C": c, "OY": size, "OX": size}, 2))
            c = k
    return rows


def _graph(name: str, rows: list[Row]) -> LayerGraph:
    layers = [
        Layer(
            name=n,
            module=n,
            dims=Dims(**dims),
            stride=(stride, stride),
            kind="linear" if n == "fc" else "conv",
            has_bias=n == "fc",
        )
        for n, dims, stride in rows
    ]
    return LayerGraph(name, layers, [])


def resnet18() -> LayerGraph:
    """ResNet-18 at 224x224 (He et al., CVPR 2016, table 1): 20 convolutions and the classifier."""
    stem: Row = ("conv1", {"K": 64, "C": 3, "OY": 112, "OX": 112, "FY": 7, "FX": 7}, 2)
    fc: Row = ("fc", {"K": 1000, "C": 512}, 1)
    return _graph("resnet18", [stem, *_stages((64, 128, 256, 512), 2, 56, 64), fc])


def resnet20() -> LayerGraph:
    """ResNet-20 for CIFAR (He et al., CVPR 2016, section 4.2), projection shortcuts: 22 layers."""
    stem: Row = ("conv1", {"K": 16, "C": 3, "OY": 32, "OX": 32, "FY": 3, "FX": 3}, 1)
    fc: Row = ("fc", {"K": 10, "C": 64}, 1)
    return _graph("resnet20", [stem, *_stages((16, 32, 64), 3, 32, 16), fc])
