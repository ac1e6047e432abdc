"""A language model as two workloads: the prefill of a prompt, and one decode step with a key-value cache.

In the prefill S tokens pass at once and every layer has a matrix to multiply. In a decode step one token passes:
the projections are products with a vector, and attention reads the keys and values of all earlier positions, which
come in as inputs of the graph.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from hwmodel.network.graph import LayerGraph, Node, Port
from hwmodel.network.layer import Layer
from workloads.models.transformer import KeysValues, TransformerLM
from workloads.options import check_count, is_integer
from workloads.tracing import trace_model
from workloads.tracing.isolate import isolated

CACHE = "cache"
#: Names by which models take their keys and values.
_CACHE_ARGUMENTS = ("past_key_values", "past_key_value", "past", "cache")


@dataclass(frozen=True, kw_only=True)
class DecodeWorkloads:
    """The two phases of one language model.

    Attributes:
        prefill: `context` tokens at once.
        decode: one token, which attends to `context` positions: `context - 1` cached ones and itself.
        context: positions.
        cache_elements: keys and values that the decode step reads from the cache.
    """

    prefill: LayerGraph
    decode: LayerGraph
    context: int
    cache_elements: int


def decode_workloads(
    model: nn.Module, *, context: int, batch: int = 1, name: str | None = None, strict: bool = False
) -> DecodeWorkloads:
    """Trace the prefill of `context` tokens, and the decode step of the last of them.

    The cache comes in through ports named `cache.BLOCK.0` (keys) and `cache.BLOCK.1` (values). The products of
    activations read it from memory as their W. What is appended to it costs what the projection writes anyway.

    Args:
        model: a `TransformerLM`, or a causal language model of Hugging Face transformers.
        context: positions that the last token attends to, itself included, >= 2.
        batch: sequences at once.
        name: of the graphs; the class of the model by default.
        strict: an op without a rule is an error.

    Raises:
        ConfigError: the model takes no cache, or `context` is below 2 or beyond what the model has positions for.
        TraceError: as for `trace_model`.
    """
    _refuse_without_cache(model)
    check_count("decode_workloads", "batch", batch)
    if not is_integer(context, 2):
        raise ConfigError(f"decode_workloads: `context >= 2` must hold (one cached position), but got {context!r}")
    limit = _positions(model)
    if limit is not None and context > limit:
        raise ConfigError(f"decode_workloads: the model has {limit} positions, but got context={context}")
    forward, cache = _step(model, context - 1, batch)
    label = name or type(model).__name__
    device = next(model.parameters()).device
    tokens = torch.zeros(batch, context, dtype=torch.long, device=device)
    prefill = trace_model(model, (tokens,), _without_cache(model), strict=strict, name=f"{label}:prefill")
    with _forward_replaced(model, forward):
        decode = trace_model(model, (tokens[:, :1], cache), strict=strict, name=f"{label}:decode")
    return DecodeWorkloads(
        prefill=prefill,
        decode=append_in_place(decode),
        context=context,
        cache_elements=sum(tensor.numel() for pair in cache for tensor in pair),
    )


def append_in_place(graph: LayerGraph) -> LayerGraph:
    """The graph in which a cache grows in place, and is read once however many queries share its heads.

    A concatenation onto a cache port writes the new part only; that streams from the projection that made it, so
    it costs no traffic of its own. A product whose W is r times the cache read it in r copies (grouped queries,
    which some models spell out by repeating the keys): the r queries become rows of one product.
    """
    changed: dict[str, Node] = {}
    for op in graph.vector_ops:
        if op.kind != "concat":
            continue
        parents = [
            (graph.digraph.nodes[parent]["op"], data["tensor"].elements)
            for parent, _, data in graph.digraph.in_edges(op.name, data=True)
        ]
        if any(isinstance(node, Port) and _is_cache(node) for node, _ in parents):
            new = sum(elements for node, elements in parents if not isinstance(node, Port))
            changed[op.name] = replace(op, kind="append", elements_in=new, elements_out=new, fused=True, pieces=())
            for _, reader, data in graph.digraph.out_edges(op.name, data=True):
                layer = graph.digraph.nodes[reader]["op"]
                if isinstance(layer, Layer):
                    changed[reader] = _grouped(layer, data["tensor"].elements)
    return graph.with_nodes(changed.get(name, data["op"]) for name, data in graph.digraph.nodes(data=True))


def _grouped(layer: Layer, cached: int) -> Layer:
    """The same products with the queries that share keys as rows of one; G = batch * heads."""
    copies, rest = divmod(layer.elements("W"), cached)
    if rest or copies < 2 or layer.dims.G % copies:
        return layer
    return replace(layer, dims=replace(layer.dims, G=layer.dims.G // copies, OX=layer.dims.OX * copies))


def _is_cache(port: Port) -> bool:
    return port.kind == "input" and port.name.split(".")[0] == CACHE


def _positions(model: nn.Module) -> int | None:
    if isinstance(model, TransformerLM):
        return len(model.position)
    found = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    return found if isinstance(found, int) else None


def _refuse_without_cache(model: nn.Module) -> None:
    """Raises ConfigError unless the model is of one of the two kinds."""
    if isinstance(model, TransformerLM):
        return
    if (
        not _cache_argument(model)
        or not hasattr(model, "config")
        or importlib.util.find_spec("transformers") is None
    ):
        raise ConfigError(
            "decode needs a language model with a key-value cache (TransformerLM, or a causal one of Hugging "
            f"Face), but {type(model).__name__} takes none."
        )


def _cache_argument(model: nn.Module) -> str:
    """The name by which a model of Hugging Face takes its keys and values; "" where it takes none."""
    taken = inspect.signature(model.forward).parameters
    return next((name for name in _CACHE_ARGUMENTS if name in taken), "")


def _step(model: nn.Module, length: int, batch: int) -> tuple[Callable[..., Any], tuple[KeysValues, ...]]:
    """The forward of a decode step, of (tokens, cache), and the cache of so many positions."""
    if isinstance(model, TransformerLM):
        return model.forward, model.example_cache(length, batch)
    return _hugging_face_step(model), _hugging_face_cache(model, length, batch)


def _hugging_face_step(model: nn.Module) -> Callable[..., Any]:
    from transformers import DynamicCache

    whole, argument = model.forward, _cache_argument(model)

    def forward(tokens: Tensor, cache: Sequence[KeysValues]) -> Any:
        past = DynamicCache()
        for index, (keys, values) in enumerate(cache):
            past.update(keys, values, index)
        return whole(input_ids=tokens, use_cache=True, **{argument: past}).logits

    return forward


def _hugging_face_cache(model: nn.Module, length: int, batch: int) -> tuple[KeysValues, ...]:
    """Zeros for so many positions, of the shapes that the model itself caches one in: (N, J, 1, D) a tensor.

    Raises:
        ConfigError: a block keeps something else than keys and values.
    """
    device = next(model.parameters()).device
    with isolated(model), torch.no_grad():
        try:
            output = model(input_ids=torch.zeros(batch, 1, dtype=torch.long, device=device), use_cache=True)
        except Exception as error:  # a model of the user may do anything
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ConfigError(
                f"decode: {type(model).__name__} fails on one token with a cache: {reason}"
            ) from error
    pairs = _pairs(getattr(output, _cache_argument(model), None) or ())
    for block, pair in enumerate(pairs):
        if not all(isinstance(tensor, Tensor) and tensor.dim() == 4 for tensor in pair):
            raise ConfigError(
                f"decode prices caches of keys and values, but block {block} of {type(model).__name__} keeps "
                "another state. Trace its prefill instead."
            )
    if not pairs:
        raise ConfigError(f"decode: {type(model).__name__} returned no cache for one token")
    return tuple((_longer(keys, length), _longer(values, length)) for keys, values in pairs)


def _pairs(cache: Any) -> list[tuple[Any, Any]]:
    """(keys, values) of every block: of a cache of transformers 5, of 4, or of tuples."""
    if hasattr(cache, "layers"):
        return [(getattr(layer, "keys", None), getattr(layer, "values", None)) for layer in cache.layers]
    if hasattr(cache, "key_cache"):
        return list(zip(cache.key_cache, cache.value_cache, strict=True))
    return [(pair[0], pair[1]) for pair in cache]


def _longer(cached: Tensor, length: int) -> Tensor:
    return cached.new_zeros(*cached.shape[:2], length, cached.shape[3])


def _without_cache(model: nn.Module) -> dict[str, Any]:
    """Keywords that keep a prefill from returning a cache object."""
    return {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}


@contextmanager
def _forward_replaced(model: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """The model with another forward; names of modules stay as they are, which a wrapping module would change."""
    own = vars(model).get("forward")
    vars(model)["forward"] = forward
    try:
        yield
    finally:
        del vars(model)["forward"]
        if own is not None:
            vars(model)["forward"] = own
