"""Every contraction of torch is counted or named: sums of products of two tensors never cost 0 unsaid."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.workloads.tracing.trace_models import Call
from workloads.tracing import trace_model
from workloads.tracing.ops.rules import Free, Vector, rule_of

M, N, C, K = 3, 4, 8, 5


def rand(*shape):
    return torch.rand(shape)


SQUARE = torch.eye(C) + 0.1
IMAGE = rand(2, C, 6, 6)
#: Name -> (function, arguments, MACs).
COUNTED = {
    "matmul": (torch.matmul, (rand(M, C), rand(C, N)), M * N * C),
    "mm": (torch.mm, (rand(M, C), rand(C, N)), M * N * C),
    "bmm": (torch.bmm, (rand(2, M, C), rand(2, C, N)), 2 * M * N * C),
    "mv": (torch.mv, (rand(M, C), rand(C)), M * C),
    "dot": (torch.dot, (rand(C), rand(C)), C),
    "vdot": (torch.vdot, (rand(C), rand(C)), C),
    "inner": (torch.inner, (rand(M, C), rand(N, C)), M * N * C),
    "linalg.vecdot": (torch.linalg.vecdot, (rand(M, C), rand(M, C)), M * C),
    "linalg.vecdot, broadcast": (lambda a, b: torch.linalg.vecdot(a, b, dim=0), (rand(C, 1), rand(C, N)), N * C),
    "linalg.multi_dot": (lambda a, b, c: torch.linalg.multi_dot([a, b, c]), (rand(1, C), rand(C, N), rand(N, 1)),
                         C * N + N),
    "chain_matmul": (lambda a, b: torch.linalg.multi_dot([a, b]), (rand(M, C), rand(C, N)), M * C * N),
    "linalg.matrix_power": (lambda a: torch.linalg.matrix_power(a, 3), (SQUARE,), 2 * C**3),
    "tensordot": (lambda a, b: torch.tensordot(a, b, dims=([1], [1])), (rand(M, C), rand(N, C)), M * N * C),
    "einsum": (lambda a, b: torch.einsum("bi,bi->b", a, b), (rand(M, C), rand(M, C)), M * C),
    "einsum of three": (lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c), (rand(M, C), rand(C, N), rand(N, K)),
                        M * C * N + M * N * K),
    "addmm": (torch.addmm, (rand(M, N), rand(M, C), rand(C, N)), M * N * C),
    "addmv": (torch.addmv, (rand(M), rand(M, C), rand(C)), M * C),
    "addbmm": (torch.addbmm, (rand(M, N), rand(2, M, C), rand(2, C, N)), 2 * M * N * C),
    "baddbmm": (torch.baddbmm, (rand(2, M, N), rand(2, M, C), rand(2, C, N)), 2 * M * N * C),
    "cov": (torch.cov, (rand(M, C),), M * M * C),
    "corrcoef": (torch.corrcoef, (rand(M, C),), M * M * C),
    "linear": (functional.linear, (rand(M, C), rand(K, C)), M * K * C),
    "bilinear": (functional.bilinear, (rand(M, C), rand(M, N), rand(K, C, N)), M * (K * C * N + K * N)),
    "conv1d": (functional.conv1d, (rand(2, C, 6), rand(K, C, 3)), 2 * K * 4 * C * 3),
    "conv2d": (functional.conv2d, (IMAGE, rand(K, C, 3, 3)), 2 * K * 16 * C * 9),
    "conv2d, same": (lambda x, w: functional.conv2d(x, w, padding="same"), (IMAGE, rand(K, C, 3, 3)),
                     2 * K * 36 * C * 9),
    "conv3d": (functional.conv3d, (rand(1, C, 4, 4, 4), rand(K, C, 3, 3, 3)), K * 8 * C * 27),
    "conv_transpose2d": (functional.conv_transpose2d, (IMAGE, rand(C, K, 3, 3)), 2 * C * 36 * K * 9),
    "conv_tbc": (torch.conv_tbc, (rand(6, 2, C), rand(3, C, K), rand(K)), 4 * 2 * K * C * 3),
    "cosine_similarity": (functional.cosine_similarity, (rand(M, C), rand(M, C)), M * C),
    "cosine_embedding_loss": (functional.cosine_embedding_loss, (rand(M, C), rand(M, C), torch.ones(M)), M * C),
    "cdist": (torch.cdist, (rand(M, C), rand(N, C)), M * N * C),
    "cdist, above 25 rows": (torch.cdist, (rand(30, C), rand(N, C)), 30 * N * C),
    "trapezoid": (torch.trapezoid, (rand(M, C), rand(M, C)), M * (C - 1)),
    "embedding_bag": (lambda i, w, s: functional.embedding_bag(i, w, mode="sum", per_sample_weights=s),
                      (torch.ones(M, N, dtype=torch.long), rand(10, C), rand(M, N)), M * N * C),
    "attention": (functional.scaled_dot_product_attention, (rand(1, M, C), rand(1, N, C), rand(1, N, C)),
                  2 * M * N * C),
    "affine_grid": (lambda t: functional.affine_grid(t, [1, 1, M, N], align_corners=False), (rand(1, 2, 3),),
                    M * N * 2 * 3),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTED)
def test_contractions_are_counted(name):
    function, args, macs = COUNTED[name]
    graph = trace_model(Call(function), args, route="dispatch")
    assert (graph.macs, graph.uncounted) == (macs, ())
    if name not in ("cov", "corrcoef"):  # these ask for values
        assert trace_model(Call(function), args, route="export").macs == macs


#: Name -> (function, arguments): algorithms whose work depends on the numbers, or has no agreed count.
NAMED = {
    "linalg.inv": (torch.linalg.inv, (SQUARE,)),
    "linalg.solve": (torch.linalg.solve, (SQUARE, rand(C, N))),
    "linalg.solve_triangular": (lambda a, b: torch.linalg.solve_triangular(a, b, upper=True), (SQUARE, rand(C, N))),
    "linalg.lstsq": (lambda a, b: torch.linalg.lstsq(a, b).solution, (SQUARE, rand(C, N))),
    "linalg.cholesky": (torch.linalg.cholesky, (SQUARE,)),
    "linalg.svd": (torch.linalg.svdvals, (SQUARE,)),
    "linalg.qr": (lambda a: torch.linalg.qr(a)[0], (SQUARE,)),
    "linalg.eigh": (lambda a: torch.linalg.eigh(a)[0], (SQUARE,)),
    "linalg.eig": (lambda a: torch.linalg.eig(a)[0].real, (SQUARE,)),
    "linalg.det": (torch.linalg.det, (SQUARE,)),
    "linalg.slogdet": (lambda a: torch.linalg.slogdet(a)[1], (SQUARE,)),
    "linalg.lu": (lambda a: torch.linalg.lu(a)[1], (SQUARE,)),
    "linalg.ldl_factor": (lambda a: torch.linalg.ldl_factor(a)[0], (SQUARE,)),
    "linalg.matrix_exp": (torch.linalg.matrix_exp, (SQUARE,)),
    "linalg.pinv": (torch.linalg.pinv, (SQUARE,)),
    "linalg.tensorinv": (lambda a: torch.linalg.tensorinv(a, ind=1), (SQUARE,)),
    "linalg.tensorsolve": (torch.linalg.tensorsolve, (SQUARE, rand(C))),
    "linalg.cond": (torch.linalg.cond, (SQUARE,)),
    "linalg.matrix_rank": (torch.linalg.matrix_rank, (SQUARE,)),
    "linalg.householder_product": (torch.linalg.householder_product, (SQUARE, rand(C))),
    "linalg.cross": (torch.linalg.cross, (rand(M, 3), rand(M, 3))),
    "ormqr": (torch.ormqr, (SQUARE, rand(C), rand(C, N))),
    "pdist": (functional.pdist, (rand(M, C),)),
    "sparse.mm": (lambda a, b: torch.sparse.mm(a.to_sparse(), b), (rand(M, C), rand(C, N))),
    "sparse.sampled_addmm": (lambda a, b: torch.sparse.sampled_addmm(torch.eye(M).to_sparse_csr(), a, b),
                             (rand(M, C), rand(C, M))),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_what_has_no_count_is_named(name):
    function, args = NAMED[name]
    graph = trace_model(Call(function), args, route="dispatch")
    assert graph.is_lower_bound


#: Of torch.linalg: no products of two tensors are summed, or another name of one that is above.
NO_CONTRACTION = {"diagonal", "norm", "vector_norm", "matrix_norm", "vander"}
OTHER_NAMES = {
    "matmul", "cholesky_ex", "eigvals", "eigvalsh", "inv_ex", "ldl_factor_ex", "ldl_solve", "lu_factor",
    "lu_factor_ex", "lu_solve", "solve_ex", "svdvals",
}  # fmt: skip


def test_every_function_of_torch_linalg_is_accounted_for():
    """A function that a later torch adds fails here until somebody says what it is."""
    functions = {name for name in dir(torch.linalg) if not name.startswith("_")}
    functions = {name for name in functions if callable(getattr(torch.linalg, name)) and name != "LinAlgError"}
    known = {name.removeprefix("linalg.").split(",")[0] for name in {**COUNTED, **NAMED}}
    assert functions - known - NO_CONTRACTION - OTHER_NAMES == set()


#: Rules without MACs for ops that read two tensors or more: element by element, normalization by parameters,
#: movement by an index, interpolation at given places, distances and losses of pairs.
TWO_TENSORS = {
    "_add_relu", "_cdist_forward", "_fused_rms_norm", "_index_put_impl", "_masked_softmax",
    "_native_batch_norm_legit_no_training", "_pack_padded_sequence", "_prelu_kernel", "_unsafe_index_put",
    "add", "addcdiv", "addcmul", "addr", "allclose", "as_strided_scatter", "atan2", "batch_norm",
    "bernoulli", "binary_cross_entropy", "binary_cross_entropy_with_logits", "bincount", "bitwise_and",
    "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "bucketize", "clamp",
    "clamp_max", "clamp_min", "complex", "copy", "copysign", "diagonal_scatter", "dist", "div", "embedding",
    "eq", "fill", "floor_divide", "fmax", "fmin", "fmod", "fractional_max_pool2d", "fractional_max_pool3d",
    "gather", "gcd", "ge", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "group_norm", "gt",
    "heaviside", "histogram", "huber_loss", "hypot", "index_add", "index_copy", "index_fill", "index_put",
    "index_reduce", "index_select", "instance_norm", "isin", "l1_loss", "layer_norm", "lcm", "ldexp", "le",
    "lerp", "logaddexp", "logaddexp2", "logical_and", "logical_or", "logical_xor", "lt", "masked_fill",
    "masked_scatter", "masked_select", "max", "max_unpool2d", "max_unpool3d", "maximum", "min", "minimum",
    "mse_loss", "mul", "multi_margin_loss", "multilabel_margin_loss_forward", "native_batch_norm",
    "native_group_norm", "native_layer_norm", "ne", "nextafter", "nll_loss2d_forward", "nll_loss_forward",
    "polar", "pow", "prelu", "put", "quantize_per_channel", "quantize_per_tensor", "remainder",
    "repeat_interleave", "rms_norm", "rrelu_with_noise", "rsub", "scatter", "scatter_add", "scatter_reduce",
    "searchsorted", "select_scatter", "slice_scatter", "smooth_l1_loss", "soft_margin_loss",
    "special_xlog1py", "sub", "take", "take_along_dim", "true_divide", "where", "xlogy",
}  # fmt: skip
#: What contractions are called.
CONTRACTS = re.compile(
    r"(?<!to_)mm(_|$)|matmul|(^|_)dot|conv\d|convolution|(^|_)linear(_|$)|attention|einsum|lstm|gru|rnn|(?<!re)solve|(^|_)inv(_|$)|"
    r"cholesky|svd|eig|(^|_)lu(_|$)|(^|_)qr(_|$)|(^|_)det(_|$)|(^|_)bilinear$|kron|inner|matrix_(exp|power)|cov|corrcoef|"
    r"tensordot|householder|cross$"
)


def _ops():
    names = {name.partition(".")[0] for name in torch._C._dispatch_get_all_op_names()}
    return sorted(name for name in names if name.startswith(("aten::", "quantized::")) and "backward" not in name)


def _most_tensors(name):
    """Tensor arguments of the overload that has most of them."""
    packet = getattr(getattr(torch.ops, name.partition("::")[0]), name.partition("::")[2])
    overloads = [getattr(packet, key)._schema for key in packet.overloads() if "out" not in key.lower().split("_")]
    kinds = ("Tensor", "Optional[Tensor]")
    return max((sum(str(a.type) in kinds for a in s.arguments if not a.kwarg_only) for s in overloads), default=0)


def test_no_op_of_the_registry_that_may_contract_has_a_rule_without_macs():
    """An op without a rule is named, or taken apart (below); one with a rule without MACs must be known as such."""
    for name in _ops():
        rule, short = rule_of(name), name.partition("::")[2]
        if not isinstance(rule, (Vector, Free)):
            continue
        assert not CONTRACTS.search(short), f"{name} contracts by its name, and its rule has no MACs"
        if isinstance(rule, Vector) and name.startswith("aten::") and _most_tensors(name) > 1:
            assert short in TWO_TENSORS, f"{name} reads two tensors: does it sum products of them?"


def test_a_composite_op_that_sums_products_is_named():
    """An op that a later torch, or somebody, defines by a product and a sum."""
    library = torch.library.Library("hwmodel_composite", "DEF")
    library.define("weighted(Tensor x, Tensor w) -> Tensor")
    library.impl("weighted", lambda x, w: (x * w).unsqueeze(0).sum(-1), "CompositeImplicitAutograd")
    weighted = torch.ops.hwmodel_composite.weighted
    graph = trace_model(Call(weighted), (rand(M, C), rand(M, C)))
    assert [item.op for item in graph.uncounted] == ["hwmodel_composite::weighted"]

    class Square(nn.Module):
        def forward(self, x):
            return weighted(x, x)

    assert not trace_model(Square(), (rand(M, C),)).is_lower_bound  # one tensor: a norm
    assert not trace_model(Call(lambda x, w: (x * w).sum(-1)), (rand(M, C), rand(M, C))).is_lower_bound
