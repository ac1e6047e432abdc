"""Ops replaced by the same mathematics in ops that have a rule."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from workloads.tracing.ops.rules import Rewrite, register_op


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Scaled dot-product attention in its math form: two matmuls around a softmax.

    query (..., H, L, D), key (..., J, S, D), value (..., J, S, V), out (..., H, L, V), with J = H
    unless `enable_gqa`, where H/J queries share a key: they become rows of one matrix, so that
    the sharing is seen as reuse. A causal mask is applied after the full product.

    Source: Vaswani et al., Attention Is All You Need, NeurIPS 2017, eq. 1; grouped queries: Ainslie
    et al., GQA, EMNLP 2023.
    """
    heads, length = query.shape[-3] if query.dim() > 2 else 1, query.shape[-2]
    grouped = enable_gqa and heads != key.shape[-3]
    scaled = query * (1.0 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if grouped:
        shared = heads // key.shape[-3]
        scaled = scaled.reshape(*query.shape[:-3], key.shape[-3], shared * length, query.shape[-1])
    scores = torch.matmul(scaled, key.transpose(-2, -1))
    if grouped:
        scores = scores.reshape(*query.shape[:-1], key.shape[-2])
    if is_causal:
        below = torch.ones(length, key.shape[-2], dtype=torch.bool, device=query.device).tril()
        scores = torch.where(below, scores, float("-inf"))
    if attn_mask is not None:
        scores = (
            torch.where(attn_mask, scores, float("-inf")) if attn_mask.dtype == torch.bool else scores + attn_mask
        )
    weights = torch.softmax(scores, dim=-1)
    if grouped:
        weights = weights.reshape(*query.shape[:-3], key.shape[-3], shared * length, key.shape[-2])
    mixed = torch.matmul(weights, value)
    return mixed.reshape(*query.shape[:-1], value.shape[-1]) if grouped else mixed


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """out[..., k] = x1 W[k] x2: one product with the weights, one of activations.

    x1 (..., I), x2 (..., J), weight (K, I, J), out (..., K).
    """
    num_out, first, second = weight.shape
    table = weight.permute(1, 0, 2).reshape(first, num_out * second)
    rows = torch.matmul(input1, table).reshape(*input1.shape[:-1], num_out, second)
    out = torch.matmul(rows, input2.unsqueeze(-1)).squeeze(-1)
    return out if bias is None else out + bias


def vecdot(x: Tensor, y: Tensor, dim: int = -1) -> Tensor:
    """out[...] = sum over `dim` of conj(x) y: as many products of a row with a column."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    x, y = x.expand(shape).movedim(dim, -1), y.expand(shape).movedim(dim, -1)
    return torch.matmul(x.conj().unsqueeze(-2), y.unsqueeze(-1)).reshape(x.shape[:-1])


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (|x1| |x2|)."""
    first: Tensor = torch.linalg.vector_norm(x1, dim=dim).clamp_min(eps)
    second: Tensor = torch.linalg.vector_norm(x2, dim=dim).clamp_min(eps)
    return vecdot(x1, x2, dim) / (first * second)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 1
) -> Tensor:
    """1 - cos of the pairs that belong together, max(0, cos - margin) of the others; their mean (1) or sum (2)."""
    cosines = cosine_similarity(input1, input2, -1)
    losses = torch.where(target > 0, 1 - cosines, (cosines - margin).clamp_min(0))
    return (losses, losses.mean(), losses.sum())[reduction]


def euclidean_distances(x1: Tensor, x2: Tensor) -> Tensor:
    """out[..., m, n] = |x1[m] - x2[n]|, as |a|^2 + |b|^2 - 2 a . b: one product of matrices.

    x1 (..., M, C), x2 (..., N, C), out (..., M, N).
    """
    products = torch.matmul(x1, x2.transpose(-1, -2))
    first: Tensor = torch.linalg.vector_norm(x1, dim=-1).square()
    second: Tensor = torch.linalg.vector_norm(x2, dim=-1).square()
    return (first.unsqueeze(-1) + second.unsqueeze(-2) - 2 * products).clamp_min(0).sqrt()


def distances(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:
    """Euclidean distances are a product of matrices, at every size; others a distance per pair."""
    return euclidean_distances(x1, x2) if p == 2 else torch.ops.aten._cdist_forward(x1, x2, p, compute_mode)


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The sum of widths times mean heights; of one width for all, the sum of heights times it."""
    y = y.movedim(dim, -1)
    heights = (y[..., 1:] + y[..., :-1]) / 2
    if x is None:
        return heights.sum(-1) * dx
    x = x if x.dim() == 1 else x.movedim(dim, -1)
    return vecdot(x[..., 1:] - x[..., :-1], heights)


def register() -> None:
    register_op("aten::linalg_vecdot", Rewrite(function=vecdot))
    register_op("aten::cosine_similarity", Rewrite(function=cosine_similarity))
    register_op("aten::cosine_embedding_loss", Rewrite(function=cosine_embedding_loss))
    register_op("aten::cdist", Rewrite(function=distances))
    register_op("aten::_euclidean_dist", Rewrite(function=euclidean_distances))
    for name in ("trapezoid", "trapz"):
        register_op(f"aten::{name}", Rewrite(function=trapezoid))
    register_op("aten::scaled_dot_product_attention", Rewrite(function=attention))
    register_op("aten::bilinear", Rewrite(function=bilinear))
