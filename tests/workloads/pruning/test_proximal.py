from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.sparse.penalties import (
    PENALTIES,
    group_hoyer_square,
    group_lasso,
    hoyer,
    hoyer_square,
    l0,
    l1,
    trimmed_l1,
)
from workloads.sparse.proximal import (
    block_soft_threshold,
    hard_threshold,
    keep_largest,
    project_sparse,
    soft_threshold,
    trimmed_soft_threshold,
)
from workloads.training import penalty

vectors = st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=1, max_size=8).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)
steps = st.floats(0, 3)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cost(value: Callable[[Tensor], Tensor], x: Tensor, t: float, z: Tensor) -> float:
    return float(((z - x) ** 2).sum() / 2 + t * value(z))


def minimum(value: Callable[[Tensor], Tensor], x: Tensor, t: float, supports: bool) -> float:
    """By scipy, from many starts and, where the minimum has zeros, on every support."""
    n, best = x.numel(), math.inf
    for active in itertools.product((0.0, 1.0), repeat=n) if supports else [(1.0,) * n]:
        mask = torch.tensor(active, dtype=torch.float64)

        def objective(z: np.ndarray, mask: Tensor = mask) -> float:
            return cost(value, x, t, torch.as_tensor(z).reshape(x.shape) * mask.reshape(x.shape))

        for start in (x.flatten().numpy(), 0.5 * x.flatten().numpy(), np.full(n, 1e-3)):
            best = min(best, minimize(objective, start, method="Powell", options={"xtol": 1e-9, "ftol": 1e-13}).fun)
    return best


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("l1", {}, (4,)), ("l0", {}, (4,)), ("trimmed_l1", {"largest": 2}, (4,)),
        ("group_lasso", {"dim": 0}, (2, 2)), ("group_lasso", {"dim": 1}, (2, 2)),
    ],
)  # fmt: skip
def test_a_prox_minimises_its_definition(
    name: str, options: dict[str, int], shape: tuple[int, ...], seed: int
) -> None:
    chosen, x = penalty(name, **options), normal(*shape, seed=seed)
    assert chosen.prox is not None
    t = (0.1, 0.7)[seed]
    found = cost(chosen.value, x, t, chosen.prox(x, t))
    assert found == pytest.approx(minimum(chosen.value, x, t, supports=name in ("l0", "trimmed_l1")), abs=1e-6)


@settings(max_examples=80, deadline=None)
@given(x=vectors, t=steps, seed=st.integers(0, 99))
def test_convex_proxes_are_nonexpansive(x: Tensor, t: float, seed: int) -> None:
    y = x + normal(x.numel(), seed=seed)
    for prox in (
        soft_threshold,
        block_soft_threshold,
        lambda v, s: block_soft_threshold(v[:, None], s, dim=1)[:, 0],
    ):
        assert (prox(x, t) - prox(y, t)).norm() <= (x - y).norm() + 1e-12
        assert torch.equal(prox(x, 0.0), x)


@settings(max_examples=80, deadline=None)
@given(x=vectors, t=steps)
def test_soft_threshold_satisfies_its_optimality_condition(x: Tensor, t: float) -> None:
    """x - z is in t * d|z|: t * sign(z) where z is not zero, else within t."""
    z = soft_threshold(x, t)
    assert torch.allclose((x - z)[z != 0], t * z[z != 0].sign(), atol=1e-12)
    assert ((x - z)[z == 0].abs() <= t).all()


@settings(max_examples=80, deadline=None)
@given(x=vectors, t=steps, count=st.integers(0, 9))
def test_counts_are_exact(x: Tensor, t: float, count: int) -> None:
    assert int(keep_largest(x, count).sum()) == min(count, x.numel())
    kept = project_sparse(x, count)
    assert int(kept.ne(0).sum()) == min(count, int(x.ne(0).sum()))
    assert (kept[kept != 0] == x[kept != 0]).all()
    trimmed = trimmed_soft_threshold(x, t, count)
    largest = keep_largest(x, count)
    assert torch.equal(trimmed[largest], x[largest])
    assert torch.equal(trimmed[~largest], soft_threshold(x, t)[~largest])
    hard = hard_threshold(x, t)
    assert (
        torch.equal(hard, torch.where(x.abs() > math.sqrt(2 * t), x, 0.0))
        or torch.isclose(x.square(), torch.tensor(2 * t, dtype=torch.float64)).any()
    )


def test_a_projection_is_the_nearest() -> None:
    x = normal(6)
    best = min(
        float((x - torch.where(torch.tensor([i in s for i in range(6)]), x, 0.0)).norm())
        for s in itertools.combinations(range(6), 3)
    )
    assert float((x - project_sparse(x, 3)).norm()) == pytest.approx(best)


def test_groups_go_as_a_whole() -> None:
    weight = normal(6, 4, 3, 3)
    weight[2] *= 1e-3
    norm = float(weight[0].norm())
    out = block_soft_threshold(weight, 0.1, dim=0)
    assert (out[2] == 0).all()
    assert torch.allclose(out[0], weight[0] * (1 - 0.1 * 6 / norm)), "sqrt(36) elements per filter"
    assert (block_soft_threshold(weight, 1e3, dim=1) == 0).all()


# ---- penalties ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 4, 9])
def test_hoyer_counts_equal_entries(n: int) -> None:
    """Of n equal magnitudes and any zeros: sqrt(n) and n, whatever the scale."""
    x = torch.cat([torch.full((n,), -0.3), torch.zeros(5)]).double()
    assert float(hoyer(x)) == pytest.approx(math.sqrt(n))
    assert float(hoyer_square(x)) == pytest.approx(n)
    rows = x[:, None].expand(-1, 7)
    assert float(group_hoyer_square(rows)) == pytest.approx(n)


@settings(max_examples=60, deadline=None)
@given(x=vectors, scale=st.floats(0.1, 10))
def test_hoyer_is_between_one_and_the_number_of_nonzeros(x: Tensor, scale: float) -> None:
    x = torch.where(x.abs() < 1e-3, 0.0, x)
    value, count = float(hoyer_square(x)), int(x.ne(0).sum())
    assert (value == 0) if count == 0 else (1 - 1e-9 <= value <= count + 1e-9)
    assert float(hoyer_square(scale * x)) == pytest.approx(value)
    assert float(hoyer(x)) ** 2 == pytest.approx(value)


def test_values_by_hand() -> None:
    x = torch.tensor([[3.0, -4.0], [0.0, 1.0]])
    assert float(l1(x)) == 8
    assert float(l0(x)) == 3
    assert float(trimmed_l1(x, 2)) == 1
    assert float(group_lasso(x, 0)) == pytest.approx(math.sqrt(2) * (5 + 1))
    assert float(group_lasso(x, 1)) == pytest.approx(math.sqrt(2) * (3 + math.sqrt(17)))
    assert float(hoyer(x)) == pytest.approx(8 / math.sqrt(26))


@pytest.mark.parametrize("name", [name for name in PENALTIES if name != "l0"])
def test_gradients_are_the_differences(name: str) -> None:
    chosen, x = penalty(name, largest=2), normal(3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(chosen.value, (x,))


@pytest.mark.parametrize("name", PENALTIES)
def test_zero_has_a_finite_gradient(name: str) -> None:
    chosen, x = penalty(name), torch.zeros(3, 2, requires_grad=True)
    value = chosen.value(x)
    assert float(value.detach()) == 0
    if chosen.has_gradient:
        value.backward()
        assert torch.equal(x.grad, torch.zeros(3, 2))


def test_hoyer_square_pulls_small_weights_down_and_leaves_large_ones() -> None:
    """DeepHoyer section 3.1: the gradient changes sign at |w| = |w|_2^2 / |w|_1."""
    x = normal(20).requires_grad_()
    hoyer_square(x).backward()
    w = x.detach()
    bar = float(w.square().sum() / w.abs().sum())
    assert torch.equal(x.grad * w > 0, w.abs() < bar)


def test_bad_values_are_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'hoyer'"):
        penalty("hoyr")
    with pytest.raises(ConfigError, match="`t >= 0` must hold"):
        soft_threshold(torch.ones(2), -1.0)
    with pytest.raises(ConfigError, match="must be >= 0, but got -1"):
        project_sparse(torch.ones(2), -1)
