"""Rules of the ops without MACs: vector ops with their operations per output element, and free ops.

Every elementary function counts as one operation: x * sigmoid(x) is neg, exp, add, div, mul = 5.
"Fused" ops are applied to the stream of outputs of the layer before them; the others need whole rows,
or move data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workloads.tracing.ops.rules import CONSTANT, FREE, Free, Rule, Vector, register_op, rule_of
from workloads.tracing.ops.vector_counts import (
    Reduction,
    boundaries,
    features,
    fft,
    log2_length,
    log2_table,
    per_input,
    scale_and_shift,
    window,
)


def _each(names: str, ops: float) -> dict[str, float]:
    return dict.fromkeys(names.split(), ops)


_COMPARISONS = (
    "eq ne lt le gt ge logical_and logical_or logical_not bitwise_and bitwise_or bitwise_not isnan isinf "
    "logical_xor isneginf isposinf signbit isfinite"
)
_UNARY = (
    "neg abs sign exp exp2 expm1 log log2 log1p sqrt square reciprocal sin cos floor ceil round trunc erf sgn "
    "frac log10 tan acos acosh asin asinh atan atanh cosh sinh erfc erfinv digamma lgamma i0 deg2rad rad2deg "
    "angle bernoulli special_entr special_erfcx special_i0e special_i1 special_i1e special_ndtri special_log_ndtr "
    "_conj_physical"
)
#: kind -> {op: operations per output element}, applied to the stream.
_FUSED: dict[str, dict[str, float]] = {
    "add": {"add": 1, "sub": 1, "rsub": 1},
    "mul": {"mul": 1, "div": 1, "true_divide": 1, "addcmul": 2, "addcdiv": 2, "lerp": 3},
    "elementwise": {
        **_each(f"{_COMPARISONS} {_UNARY}", 1),
        **_each("pow maximum minimum where masked_fill remainder fmod atan2 fmax fmin copysign heaviside", 1),
        **_each("bitwise_left_shift bitwise_right_shift nextafter ldexp gcd lcm", 1),
        **_each("xlogy special_xlog1py sinc polar addr", 2),
        **_each("hypot logaddexp logaddexp2", 4),
        **_each("floor_divide bitwise_xor", 2),
        "rsqrt": 2,
        "nan_to_num": 3,
        "logit": 3,
    },
    "activation": {
        "relu": 1, "threshold": 1, "relu6": 2, "hardtanh": 2, "clamp": 2, "clamp_min": 1, "clamp_max": 1,
        "tanh": 1, "sigmoid": 4, "log_sigmoid": 4, "silu": 5, "mish": 5, "softplus": 3, "elu": 4, "selu": 5,
        "celu": 5, "gelu": 5, "leaky_relu": 2, "prelu": 2, "_prelu_kernel": 2, "hardswish": 5, "hardsigmoid": 4,
        "glu": 5, "softsign": 3, "hardshrink": 2, "softshrink": 3, "rrelu_with_noise": 2,
        "log_sigmoid_forward": 4, "_add_relu": 2,
    },
    "cast": {"_to_copy": 0, "quantize_per_tensor": 3, "quantize_per_channel": 3,
             "quantize_per_tensor_dynamic": 3, "dequantize": 2, "int_repr": 0, "complex": 0},
    "copy": {"copy": 0, "fill": 0, "zero": 0},
}  # fmt: skip
#: The same for ops that need a whole row, or move data.
_UNFUSED: dict[str, dict[str, float]] = {
    # mean, subtract, square, sum, multiply by 1/sd, scale, shift
    "norm": {
        "layer_norm": 7, "native_layer_norm": 7, "group_norm": 7, "native_group_norm": 7, "instance_norm": 7,
        "rms_norm": 4, "_fused_rms_norm": 4, "local_response_norm": 5,
    },
    # maximum, subtract, exp, sum, divide (log_softmax takes a logarithm and subtracts again)
    "softmax": {
        "softmax": 5, "_softmax": 5, "_safe_softmax": 5, "log_softmax": 6, "_log_softmax": 6, "_masked_softmax": 6,
    },
    "concat": {"cat": 0, "concat": 0, "concatenate": 0, "stack": 0, "_stack": 0, "block_diag": 0},
    "resize": {
        "upsample_nearest1d": 0, "upsample_nearest2d": 0, "upsample_nearest3d": 0, "_upsample_nearest_exact2d": 0,
        "upsample_linear1d": 3, "upsample_bilinear2d": 7, "_upsample_bilinear2d_aa": 7, "upsample_trilinear3d": 15,
        "upsample_bicubic2d": 31, "_upsample_bicubic2d_aa": 31, "grid_sampler_2d": 11, "grid_sampler": 11,
        "grid_sampler_3d": 23, "max_unpool2d": 0, "max_unpool3d": 0,
    },
    "pad": {
        "constant_pad_nd": 0, "pad": 0, "reflection_pad1d": 0, "reflection_pad2d": 0, "reflection_pad3d": 0,
        "replication_pad1d": 0, "replication_pad2d": 0, "replication_pad3d": 0,
    },
    "copy": {
        "repeat": 0, "repeat_interleave": 0, "tile": 0, "roll": 0, "flip": 0, "rot90": 0, "index_put": 0,
        "slice_scatter": 0, "select_scatter": 0, "scatter": 0, "scatter_add": 1, "scatter_reduce": 1,
        "index_copy": 0, "index_add": 1, "im2col": 0, "unfold_copy": 0, "pixel_shuffle": 0, "pixel_unshuffle": 0,
        "channel_shuffle": 0, "tril": 0, "triu": 0, "masked_scatter": 0,
        "index_fill": 0, "index_reduce": 1, "put": 0, "diag_embed": 0, "diagonal_scatter": 0,
        "as_strided_scatter": 0, "_index_put_impl": 0, "_unsafe_index_put": 0, "_pack_padded_sequence": 0,
    },
    "gather": {
        "gather": 0, "index": 0, "index_select": 0, "masked_select": 0, "take_along_dim": 0, "nonzero": 1,
        "take": 0, "_unsafe_index": 0, "nonzero_static": 1,
    },
    "scan": {"cumsum": 1, "cumprod": 1, "cummax": 1, "cummin": 1, "logcumsumexp": 3, "_logcumsumexp": 3},
}  # fmt: skip
#: Operations per element read. Variance: add to the mean, subtract, square, add.
_REDUCTIONS: dict[str, float] = {
    **_each("sum mean amax amin max min all any argmax argmin prod median count_nonzero", 1),
    **_each("nansum nanmedian mode histc bincount histogram trace _is_all_true _is_any_true segment_reduce", 1),
    **_each("aminmax _aminmax isin allclose", 2),
    **_each("dist renorm", 3),
    **_each("std var var_mean std_mean", 4),
    **_each("norm linalg_vector_norm", 2),
    "logsumexp": 4,
}
#: Losses, per element of the input.
_LOSSES: dict[str, float] = {
    "mse_loss": 3, "l1_loss": 3, "smooth_l1_loss": 5, "huber_loss": 5, "soft_margin_loss": 5, "nll_loss_forward": 1,
    "nll_loss2d_forward": 1, "binary_cross_entropy": 7, "binary_cross_entropy_with_logits": 7,
    "multi_margin_loss": 4, "multilabel_margin_loss_forward": 4,
}  # fmt: skip
_POOLS = (
    "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices fractional_max_pool2d "
    "fractional_max_pool3d"
)
_AVERAGE_POOLS = "avg_pool1d avg_pool2d avg_pool3d"
_ADAPTIVE_POOLS = " ".join(
    f"adaptive_{kind}_pool{axes}d _adaptive_{kind}_pool{axes}d" for kind in ("avg", "max") for axes in (1, 2, 3)
)
_SORTS = "sort topk argsort kthvalue msort _unique _unique2 unique_dim unique_consecutive"
_VIEWS = (
    "view reshape flatten unflatten squeeze unsqueeze transpose t permute movedim swapaxes swapdims expand "
    "expand_as broadcast_to narrow slice select split split_with_sizes chunk tensor_split unsafe_chunk "
    "unsafe_split unbind unfold diagonal as_strided view_as reshape_as _unsafe_view _reshape_alias alias "
    "detach view_as_real view_as_complex real imag numpy_T adjoint mT mH ravel hsplit vsplit dsplit atleast_1d "
    "atleast_2d atleast_3d _conj _neg_view unsafe_split_with_sizes"
)
_LAYOUT = "contiguous clone to type_as lift lift_fresh lift_fresh_copy positive resolve_conj resolve_neg"
_IDENTITY = "dropout feature_dropout alpha_dropout feature_alpha_dropout native_dropout identity"
_FAKE_QUANTIZE = (
    "fake_quantize_per_tensor_affine fake_quantize_per_channel_affine fake_quantize_per_tensor_affine_cachemask "
    "fake_quantize_per_channel_affine_cachemask _fake_quantize_per_tensor_affine_cachemask_tensor_qparams "
    "fused_moving_avg_obs_fake_quant _fused_moving_avg_obs_fq_helper "
    "_fake_quantize_learnable_per_tensor_affine _fake_quantize_learnable_per_channel_affine"
)
#: Their results are values of their inputs, or zero: still on the grid of a quantizer before them.
_SELECTIONS = "relu constant_pad_nd max_pool1d max_pool2d max_pool3d"
SELECTIONS = frozenset(f"aten::{name}" for name in _SELECTIONS.split())
#: What adds products up, where a product is written out.
SUMS = frozenset({"aten::sum", "aten::mean", "aten::nansum", "aten::cumsum"})
_CONSTANT = (
    "_assert_async _assert_tensor_metadata _assert_scalar item _local_scalar_dense sym_size sym_stride "
    "sym_numel sym_storage_offset is_same_size sym_constrain_range sym_constrain_range_for_size equal "
    "is_nonzero zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full "
    "new_empty new_tensor new_empty_strided resize_as resize _resize_output"
)


#: Ops whose count depends on the call.
_BY_CALL: dict[str, Vector] = {
    f"{_POOLS} {_AVERAGE_POOLS}": Vector(kind="pool", ops=window, fused=True),
    _ADAPTIVE_POOLS: Vector(kind="pool", ops=per_input, fused=True),
    _SORTS: Vector(kind="sort", ops=log2_length),
    "embedding": Vector(kind="embedding", ops=0, reads_table=True),
    "one_hot": Vector(kind="embedding", ops=0),
    "_fft_c2c _fft_r2c _fft_c2r": Vector(kind="fft", ops=fft),
    "bucketize": Vector(kind="elementwise", ops=boundaries, fused=True),
    "searchsorted": Vector(kind="elementwise", ops=log2_table),
    "_cdist_forward": Vector(kind="distance", ops=features),
    "col2im": Vector(kind="copy", ops=per_input),
}
#: Inference: a scale and a shift per channel, folded from the running statistics.
_BATCH_NORMS = "batch_norm native_batch_norm _native_batch_norm_legit_no_training"
#: Ops of the quantized namespace that do what those of aten do.
_QUANTIZED = "relu leaky_relu elu hardswish max_pool2d layer_norm instance_norm dropout"


def _grid_bits(arguments: Mapping[str, Any]) -> int:
    """Bits of the grid quant_min .. quant_max."""
    return max(1, int(arguments["quant_max"] - arguments["quant_min"]).bit_length())


def register() -> None:
    for kind, ops in _FUSED.items():
        for name, count in ops.items():
            register_op(f"aten::{name}", Vector(kind=kind, ops=count, fused=True))
    for kind, ops in _UNFUSED.items():
        for name, count in ops.items():
            register_op(f"aten::{name}", Vector(kind=kind, ops=count))
    for kind, ops in {"reduce": _REDUCTIONS, "loss": _LOSSES}.items():
        for name, count in ops.items():
            register_op(f"aten::{name}", Vector(kind=kind, ops=Reduction(count)))
    others: dict[str, Rule] = {
        **_BY_CALL,
        _BATCH_NORMS: Vector(kind="norm", ops=2, fused=True, parameters=scale_and_shift),
        f"{_VIEWS} {_LAYOUT} {_IDENTITY}": FREE,
        _FAKE_QUANTIZE: Free(passes_through=True, bits=_grid_bits),  # simulated: the hardware rounds on the way
        _CONSTANT: CONSTANT,
    }
    for names, rule in others.items():
        for name in names.split():
            register_op(f"aten::{name}", rule)
    register_op("prim::device", CONSTANT)
    for name in _QUANTIZED.split():
        rule_of_floats = rule_of(f"aten::{name}")
        if rule_of_floats is not None:
            register_op(f"quantized::{name}", rule_of_floats)
