"""Linear layers and convolutions as two thinner ones, by singular value decomposition.

A convolution is factorized by one of two schemes:

`channel`  FY x FX with r filters, then 1 x 1: the (K, C FY FX) matrix of the weight has rank r. Zhang et
    al., Accelerating Very Deep Convolutional Networks, TPAMI 2016, arXiv:1505.06798, section 3.1; here the
    weights decide, not the responses.
`spatial`  FY x 1 with r filters, then 1 x FX: the (C FY, K FX) matrix has rank r. Jaderberg et al., BMVC
    2014, arXiv:1405.3866, section 2.1, scheme 2; the best one in closed form: Tai et al., ICLR 2016,
    arXiv:1511.06067, theorem 1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, check_one_of
from hwmodel.network.patterns import matching
from workloads.compress.replacing import must_be_called, replace_modules
from workloads.options import is_integer
from workloads.rewrite.factors import (
    Candidate,
    Factors,
    factorize,
    rank_for_energy,
    ranks_for_budget,
    relative_error,
)
from workloads.rewrite.report import RewriteReport, make_report
from workloads.rewrite.select import (
    CONVOLUTIONS,
    convolution_like,
    describe,
    in_place_of,
    seeded,
    select_layers,
)
from workloads.wrappers import copied

Scheme = Literal["channel", "spatial"]


class LowRank(nn.Sequential):
    """`first` (to r channels, no bias), then `second`."""

    def __init__(self, layers: OrderedDict[str, nn.Module]) -> None:
        super().__init__(layers)
        must_be_called(self)


def to_low_rank(
    model: nn.Module,
    example: Any,
    *,
    rank: int | Mapping[str, int] | None = None,
    energy: float | None = None,
    parameters: int | None = None,
    scheme: Scheme = "channel",
    layers: str | Iterable[str] | None = None,
    skip: str | Iterable[str] = (),
) -> tuple[nn.Module, RewriteReport]:
    """A copy of the model whose linear layers and convolutions are products of two.

    Give exactly one of `rank`, `energy` and `parameters`. At full rank the outputs are the same.

    Args:
        model: not changed.
        example: its input, or a tuple of them; its shape decides the MACs.
        rank: r for every layer, or by name or shell pattern (then only these change); at most the full rank,
            and as asked even where that is larger than before.
        energy: smallest rank that keeps this share of the sum of squared singular values, in (0, 1]; a
            layer that would not become smaller stays.
        parameters: weights that all chosen layers may have together, biases left out; spent where they keep
            most of a layer's energy. A layer for which all are left stays dense.
        scheme: of convolutions, `channel` or `spatial` (2-D). A 1 x 1 kernel is the same in both.
        layers: names or shell patterns; None is every linear layer and ungrouped convolution.
        skip: names or shell patterns of those that stay.

    Returns:
        The copy, with `NAME.first` and `NAME.second` in place of NAME, and the report.

    Raises:
        ConfigError: not exactly one criterion, a value out of range, a name that matches nothing, or a
            layer that cannot be factorized.
    """
    _check(rank, energy, parameters)
    check_one_of("scheme", scheme, ("channel", "spatial"))
    if isinstance(rank, Mapping) and layers is None:
        layers = list(rank)
    result = copied(model)
    selection = select_layers(result, (nn.Linear, *CONVOLUTIONS), lambda m: _refusal(m, scheme), layers, skip)
    plans = {name: _Plan(name, module, scheme) for name, module in selection.layers.items()}
    ranks = _ranks(plans, rank, energy, parameters)
    skipped = {**selection.skipped, **{name: "would not be smaller" for name, r in ranks.items() if r is None}}
    replacements: dict[nn.Module, nn.Module] = {}
    notes: dict[str, tuple[str, str, float | None]] = {}
    for name, plan in plans.items():
        chosen = ranks[name]
        if chosen is not None:
            new, error = plan.build(chosen)
            notes[name] = (describe(plan.module), describe(new), error)
            replacements[plan.module] = new
    result = replace_modules(result, replacements)
    return result, make_report(model, result, example, notes, skipped)


def _check(rank: int | Mapping[str, int] | None, energy: float | None, parameters: int | None) -> None:
    given = {"rank": rank, "energy": energy, "parameters": parameters}
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ConfigError(f"give exactly one of {', '.join(given)}, but got {' and '.join(names) or 'none'}")
    for value in [] if rank is None else list(rank.values()) if isinstance(rank, Mapping) else [rank]:
        if not is_integer(value, 1):
            raise ConfigError(f"rank must be an integer >= 1, but got {value!r}")
    if energy is not None and not 0 < energy <= 1:
        raise ConfigError(f"`0 < energy <= 1` must hold, but got energy={energy!r}")
    if parameters is not None and (isinstance(parameters, bool) or not isinstance(parameters, int)):
        raise ConfigError(f"parameters must be an integer, but got {parameters!r}")


def _refusal(module: Any, scheme: str) -> str | None:
    if isinstance(module, nn.Linear):
        return None
    if module.groups > 1:
        return f"has groups={module.groups}: its blocks share no factors"
    if scheme == "spatial" and not isinstance(module, nn.Conv2d):
        return f"is a {type(module).__name__}, and scheme='spatial' is for Conv2d"
    return None


class _Plan:
    """One layer: its matrix, its singular values, and the two layers of a rank."""

    def __init__(self, name: str, module: Any, scheme: str) -> None:
        self.module = module
        spatial = isinstance(module, nn.Conv2d) and scheme == "spatial" and module.kernel_size != (1, 1)
        self.split = _Spatial if spatial else _Channel
        self.matrix = self.split.matrix(module.weight.detach())
        try:
            self.factors: Factors = factorize(self.matrix)
        except ConfigError as fault:
            raise ConfigError(f"{name!r}: {fault}") from None

    @property
    def candidate(self) -> Candidate:
        return Candidate(s=self.factors.s, per_rank=sum(self.matrix.shape), dense=self.matrix.numel())

    def build(self, rank: int) -> tuple[LowRank, float]:
        """The two layers of min(rank, full rank), and their relative weight error."""
        rank = min(rank, len(self.factors.s))
        left, right = self.factors.halves(rank)
        stack: Any = in_place_of(self.module, seeded(0, lambda: self.split.layers(self.module, rank)))
        with torch.no_grad():
            for layer, values in zip(stack, self.split.weights(self.module, left, right), strict=True):
                layer.weight.copy_(values.reshape(layer.weight.shape))
            if self.module.bias is not None:
                stack.second.bias.copy_(self.module.bias)
        return stack, relative_error(self.matrix, left @ right)


def _ranks(
    plans: Mapping[str, _Plan],
    rank: int | Mapping[str, int] | None,
    energy: float | None,
    parameters: int | None,
) -> dict[str, int | None]:
    """name -> rank; None stays dense."""
    if parameters is not None:
        return ranks_for_budget({name: plan.candidate for name, plan in plans.items()}, parameters)
    if isinstance(rank, Mapping):
        found: dict[str, int | None] = {}
        for pattern, value in rank.items():
            found.update(dict.fromkeys(matching(pattern, list(plans), "chosen layers"), value))
        missing = [name for name in plans if name not in found]
        if missing:
            raise ConfigError(f"rank gives none for {missing[0]!r}. Add it, or leave the layer out.")
        return found
    if rank is not None:
        return dict.fromkeys(plans, rank)
    smaller: dict[str, int | None] = {}
    for name, plan in plans.items():
        item = plan.candidate
        wanted = rank_for_energy(item.s, energy or 1.0)
        smaller[name] = wanted if wanted * item.per_rank < item.dense else None
    return smaller


class _Channel:
    """(K, C FY FX) = second (K, r) @ first (r, C FY FX)."""

    @staticmethod
    def matrix(weight: Tensor) -> Tensor:
        return weight.flatten(1)

    @staticmethod
    def layers(module: Any, rank: int) -> LowRank:
        has_bias = module.bias is not None
        if isinstance(module, nn.Linear):
            first: nn.Module = nn.Linear(module.in_features, rank, bias=False)
            second: nn.Module = nn.Linear(rank, module.out_features, bias=has_bias)
        else:
            first = convolution_like(module, out_channels=rank, bias=False)
            second = type(module)(rank, module.out_channels, 1, bias=has_bias)
        return LowRank(OrderedDict(first=first, second=second))

    @staticmethod
    def weights(module: Any, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        return right, left


class _Spatial:
    """(C FY, K FX) = first (C FY, r) @ second (r, K FX)."""

    @staticmethod
    def matrix(weight: Tensor) -> Tensor:
        return weight.permute(1, 2, 0, 3).flatten(2).flatten(0, 1)

    @staticmethod
    def layers(module: Any, rank: int) -> LowRank:
        (rows, columns), (down, across) = module.kernel_size, module.stride
        margins, gaps = module.padding, module.dilation
        named = isinstance(margins, str)  # `same` and `valid` hold for each half
        first = convolution_like(
            module, out_channels=rank, bias=False, kernel_size=(rows, 1), stride=(down, 1), dilation=(gaps[0], 1),
            padding=margins if named else (margins[0], 0),
        )  # fmt: skip
        second = convolution_like(
            module, in_channels=rank, kernel_size=(1, columns), stride=(1, across), dilation=(1, gaps[1]),
            padding=margins if named else (0, margins[1]),
        )  # fmt: skip
        return LowRank(OrderedDict(first=first, second=second))

    @staticmethod
    def weights(module: Any, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        horizontal = right.reshape(len(right), module.out_channels, -1).transpose(0, 1)
        return left.T, horizontal
