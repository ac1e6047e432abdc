"""A small causal language model (Vaswani et al., NeurIPS 2017; pre-norm as in GPT-2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError

#: Cached keys and values of one block, (N, heads, T, D / heads) each.
KeysValues = tuple[Tensor, Tensor]


class Attention(nn.Module):
    """Multi-head self-attention with its two matmuls of activations in the open."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, cache: KeysValues | None = None) -> tuple[Tensor, KeysValues]:
        """(N, T, D) -> (N, T, D) and the keys and values of all positions so far.

        Position t sees the cached positions, the earlier ones and itself.
        """
        batch, length, dim = x.shape
        query, key, value = (
            projection(x).view(batch, length, self.heads, dim // self.heads).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        if cache is not None:
            key, value = torch.cat((cache[0], key), dim=2), torch.cat((cache[1], value), dim=2)
        scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(dim // self.heads)
        total = key.shape[2]
        future = torch.ones(length, total, dtype=torch.bool, device=x.device).triu(total - length + 1)
        weights = torch.softmax(scores.masked_fill(future, float("-inf")), dim=-1)
        mixed = torch.matmul(weights, value).transpose(1, 2).reshape(batch, length, dim)
        return self.out(mixed), (key, value)


class Block(nn.Module):
    """Attention and a two-layer perceptron, each after a norm and around a residual."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, cache: KeysValues | None = None) -> tuple[Tensor, KeysValues]:
        mixed, cache = self.attention(self.norm1(x), cache)
        x = x + mixed
        return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x)))), cache


class TransformerLM(nn.Module):
    """Tokens -> scores of the next token at every position.

    Args:
        vocab: tokens, 256 for bytes.
        dim: of the stream; a multiple of `heads`.
        depth: blocks.
        heads: per attention.
        context: longest sequence, and the length of the example.

    Raises:
        ConfigError: `dim` is not a multiple of `heads`.
    """

    def __init__(self, vocab: int = 256, dim: int = 128, depth: int = 2, heads: int = 4, context: int = 64) -> None:
        super().__init__()
        if dim % heads != 0:
            raise ConfigError(f"transformer: dim must be a multiple of heads, but got dim={dim}, heads={heads}")
        self.input_shape = (context,)
        self.heads = heads
        self.embedding = nn.Embedding(vocab, dim)
        self.position = nn.Parameter(torch.randn(context, dim) * 0.02)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocab, bias=False)

    def example_input(self, batch: int = 1) -> Tensor:
        """Tokens to trace with: (batch, context), zeros."""
        return torch.zeros(batch, *self.input_shape, dtype=torch.long)

    def example_cache(self, length: int, batch: int = 1) -> tuple[KeysValues, ...]:
        """Keys and values of `length` earlier positions to trace a decode step with, zeros."""
        heads, dim = self.heads, self.norm.normalized_shape[0]
        zeros = torch.zeros(batch, heads, length, dim // heads, device=self.position.device)
        return tuple((zeros.clone(), zeros.clone()) for _ in self.blocks)

    def forward(
        self, tokens: Tensor, cache: Sequence[KeysValues] | None = None
    ) -> Tensor | tuple[Tensor, tuple[KeysValues, ...]]:
        """(N, T) int64 -> (N, T, vocab); cached and new positions together are at most `context`.

        With the cache of earlier positions, one pair per block, the new cache is returned too.
        """
        start = 0 if cache is None else cache[0][0].shape[2]
        x = self.embedding(tokens) + self.position[start : start + tokens.shape[1]]
        caches = []
        for index, block in enumerate(self.blocks):
            x, kept = block(x, None if cache is None else cache[index])
            caches.append(kept)
        logits: Tensor = self.head(self.norm(x))
        return logits if cache is None else (logits, tuple(caches))
