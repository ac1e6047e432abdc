"""Ops replaced by the same mathematics in ops that have a rule."""

from __future__ import annotations

import math

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


def register() -> None:
    register_op("aten::scaled_dot_product_attention", Rewrite(function=attention))
    register_op("aten::bilinear", Rewrite(function=bilinear))
