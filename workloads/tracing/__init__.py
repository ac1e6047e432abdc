"""From a PyTorch model to a `LayerGraph`: see `trace_model`, and `register_op` to teach it an op."""

from workloads.tracing.measured import count_weight_zeros, measure_activation_density, measure_weight_density
from workloads.tracing.ops import contractions, rewrites, vector_ops
from workloads.tracing.ops import packed_products as packed
from workloads.tracing.ops.rules import (
    CONSTANT,
    FREE,
    Contraction,
    OpCall,
    Rewrite,
    Vector,
    register_op,
)
from workloads.tracing.tracer import trace, trace_model

contractions.register()
packed.register()
vector_ops.register()
rewrites.register()

__all__ = [
    "CONSTANT",
    "FREE",
    "Contraction",
    "OpCall",
    "Rewrite",
    "Vector",
    "count_weight_zeros",
    "measure_activation_density",
    "measure_weight_density",
    "register_op",
    "trace",
    "trace_model",
]
