"""One call of every module of torch.nn, by name: (module, arguments)."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

Case = Callable[[], tuple[nn.Module, tuple]]

B, C, K, T, D = 2, 4, 6, 5, 16

#: What has no rule, and why: the dynamic program of CTC depends on the targets and has no products.
WITHOUT_RULE = {"CTCLoss": ["aten::_ctc_loss"]}


def _image(name: str) -> torch.Tensor:
    """A batch with as many axes as the name says."""
    axes = 3 if "3d" in name else 1 if "1d" in name else 2
    return torch.rand(B, C, *[8] * axes)


def _plain(name: str, *options: object) -> tuple[nn.Module, tuple]:
    return getattr(nn, name)(*options), (_image(name),)


def _unpool(name: str) -> tuple[nn.Module, tuple]:
    pool = getattr(nn, name.replace("Unpool", "Pool"))(2, return_indices=True)
    return getattr(nn, name)(2), pool(_image(name))


def _rows(name: str, *options: object, count: int = 1) -> tuple[nn.Module, tuple]:
    return getattr(nn, name)(*options), tuple(torch.rand(B, C) for _ in range(count))


def _sequence(name: str, *options: object, count: int = 1) -> tuple[nn.Module, tuple]:
    return getattr(nn, name)(*options), tuple(torch.rand(T, B, D) for _ in range(count))


def _of(make: Callable[[], nn.Module], *args: Callable[[], torch.Tensor]) -> Case:
    return lambda: (make(), tuple(arg() for arg in args))


def _labels() -> torch.Tensor:
    return torch.tensor([1, 2])


def _group(
    names: str, case: Callable[..., tuple[nn.Module, tuple]], *options: object, **more: object
) -> dict[str, Case]:
    return {name: partial(case, name, *options, **more) for name in names.split()}


def _axes(prefix: str, axes: str = "1 2 3") -> str:
    return " ".join(f"{prefix}{axis}d" for axis in axes.split())


_ENCODER = partial(nn.TransformerEncoderLayer, D, 2, 32)
_DECODER = partial(nn.TransformerDecoderLayer, D, 2, 32)

CASES: dict[str, Case] = {
    **_group(f"{_axes('Conv')} {_axes('ConvTranspose')}", _plain, C, K, 3),
    **_group(f"{_axes('BatchNorm')} {_axes('InstanceNorm')} SyncBatchNorm", _plain, C),
    **_group("LayerNorm RMSNorm", _plain, 8),
    **_group("GroupNorm", _plain, 2, C),
    **_group("LocalResponseNorm CrossMapLRN2d", _plain, 2),
    **_group(
        f"{_axes('MaxPool')} {_axes('AvgPool')} {_axes('AdaptiveAvgPool')} {_axes('AdaptiveMaxPool')}", _plain, 2
    ),
    **_group(_axes("LPPool"), _plain, 2, 2),
    **_group(_axes("FractionalMaxPool", "2 3"), _plain, 2, 4),
    **_group(_axes("MaxUnpool"), _unpool),
    **_group(
        f"{_axes('ReflectionPad')} {_axes('ReplicationPad')} {_axes('ZeroPad')} {_axes('CircularPad')}", _plain, 1
    ),
    **_group(_axes("ConstantPad"), _plain, 1, 0.5),
    **_group(_axes("Dropout"), _plain, 0.5),
    **_group(
        "AlphaDropout CELU Dropout ELU FeatureAlphaDropout Flatten GELU Hardshrink Hardsigmoid Hardswish Hardtanh "
        "Identity LeakyReLU LogSigmoid Mish RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax2d Softplus Softshrink "
        "Softsign Tanh Tanhshrink",
        _plain,
    ),
    **_group("GLU LogSoftmax Softmax Softmin", _plain, 1),
    **_group("Threshold", _plain, 0.1, 20),
    **_group("PReLU", _plain, C),
    **_group(
        "PixelShuffle PixelUnshuffle ChannelShuffle Unfold UpsamplingNearest2d UpsamplingBilinear2d", _plain, 2
    ),
    **_group("Upsample", _plain, None, 2),
    **_group("Unflatten", _plain, 1, (2, 2)),
    "Fold": _of(lambda: nn.Fold((4, 4), 2), lambda: torch.rand(B, 4 * C, 9)),
    **_group("Linear", _rows, C, K),
    "Bilinear": _of(lambda: nn.Bilinear(C, C, K), lambda: torch.rand(B, C), lambda: torch.rand(B, C)),
    **_group("LSTMCell GRUCell RNNCell", _rows, C, K),
    **_group("LSTM GRU RNN", _sequence, D, K),
    "Embedding": _of(lambda: nn.Embedding(10, C), lambda: torch.arange(T)),
    "EmbeddingBag": _of(lambda: nn.EmbeddingBag(10, C), lambda: torch.arange(6).view(B, 3)),
    **_group("MultiheadAttention", _sequence, D, 2, count=3),
    **_group("Transformer", _sequence, D, 2, 1, 1, 32, count=2),
    **_group("TransformerEncoderLayer", _sequence, D, 2, 32),
    **_group("TransformerDecoderLayer", _sequence, D, 2, 32, count=2),
    "TransformerEncoder": lambda: (nn.TransformerEncoder(_ENCODER(), 2), (torch.rand(T, B, D),)),
    "TransformerDecoder": lambda: (
        nn.TransformerDecoder(_DECODER(), 2),
        (torch.rand(T, B, D), torch.rand(T, B, D)),
    ),
    **_group("CosineSimilarity PairwiseDistance", _rows, count=2),
    **_group(
        "BCELoss BCEWithLogitsLoss HuberLoss KLDivLoss L1Loss MSELoss MultiLabelSoftMarginLoss PoissonNLLLoss "
        "SmoothL1Loss SoftMarginLoss",
        _rows,
        count=2,
    ),
    **_group("GaussianNLLLoss TripletMarginLoss TripletMarginWithDistanceLoss", _rows, count=3),
    "HingeEmbeddingLoss": _of(nn.HingeEmbeddingLoss, lambda: torch.rand(B, C), lambda: torch.ones(B, C)),
    **{
        name: _of(getattr(nn, name), lambda: torch.rand(B, C), _labels)
        for name in ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss")
    },
    "NLLLoss2d": _of(nn.NLLLoss2d, lambda: torch.rand(B, C, 8, 8), lambda: torch.zeros(B, 8, 8).long()),
    "MultiLabelMarginLoss": _of(
        nn.MultiLabelMarginLoss, lambda: torch.rand(B, C), lambda: torch.zeros(B, C, dtype=torch.long)
    ),
    "CosineEmbeddingLoss": _of(
        nn.CosineEmbeddingLoss, lambda: torch.rand(B, C), lambda: torch.rand(B, C), lambda: torch.ones(B)
    ),
    "MarginRankingLoss": _of(
        nn.MarginRankingLoss, lambda: torch.rand(B), lambda: torch.rand(B), lambda: torch.ones(B)
    ),
    "CTCLoss": _of(
        nn.CTCLoss,
        lambda: torch.rand(T, B, C).log_softmax(2),
        lambda: torch.ones(B, 2, dtype=torch.long),
        lambda: torch.tensor([T, T]),
        lambda: torch.tensor([2, 2]),
    ),
    "AdaptiveLogSoftmaxWithLoss": _of(
        lambda: nn.AdaptiveLogSoftmaxWithLoss(C, 20, [5, 10]),
        lambda: torch.rand(B, C),
        lambda: torch.tensor([1, 15]),
    ),
}
if hasattr(nn, "LinearCrossEntropyLoss"):
    CASES["LinearCrossEntropyLoss"] = _of(
        lambda: nn.LinearCrossEntropyLoss(C, K), lambda: torch.rand(B, C), _labels
    )
