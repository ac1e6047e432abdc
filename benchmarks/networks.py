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


def _language_model(
    name: str, blocks: int, width: int, heads: int, vocabulary: int, linear: list[Row]
) -> LayerGraph:
    """A decoder over 128 tokens: the linear layers of a block, its products of activations, and the head."""
    tokens = 128
    per_head = {"qk": (tokens, width // heads), "pv": (width // heads, tokens)}
    layers = [
        Layer(name=f"{block}.{n}", module=f"{block}.{n}", dims=Dims(B=tokens, **dims), kind="linear")
        for block in range(blocks)
        for n, dims, _ in linear
    ]
    layers += [
        Layer(name=f"{block}.{n}", module=f"{block}.{n}", dims=Dims(B=tokens, G=heads, K=k, C=c), kind="matmul")
        for block in range(blocks)
        for n, (k, c) in per_head.items()
    ]
    head = Layer(name="head", module="head", dims=Dims(B=tokens, K=vocabulary, C=width), kind="linear")
    return LayerGraph(name, [*layers, head], [])


def gpt2() -> LayerGraph:
    """GPT-2 of 12 blocks (Radford et al., 2019, table 2, 117M): queries, keys and values in one layer."""
    rows: list[Row] = [
        ("attn.qkv", {"K": 2304, "C": 768}, 1), ("attn.proj", {"K": 768, "C": 768}, 1),
        ("mlp.fc", {"K": 3072, "C": 768}, 1), ("mlp.proj", {"K": 768, "C": 3072}, 1),
    ]  # fmt: skip
    return _language_model("gpt2", 12, 768, 12, 50257, rows)


def llama_7b() -> LayerGraph:
    """LLaMA of 7B parameters (Touvron et al., 2023, table 2), its gated layers 11,008 wide."""
    square = {"K": 4096, "C": 4096}
    rows: list[Row] = [(f"attn.{n}", square, 1) for n in ("q", "k", "v", "o")]
    rows += [(f"mlp.{n}", {"K": 11008, "C": 4096}, 1) for n in ("gate", "up")] + [
        ("mlp.down", {"K": 4096, "C": 11008}, 1)
    ]
    return _language_model("llama-7b", 32, 4096, 32, 32000, rows)
