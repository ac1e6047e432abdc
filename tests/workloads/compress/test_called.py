"""What is compressed is what runs: fused paths of parents, shared weights, wrappers, hooks."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hwmodel.errors import ConfigError, GraphError, TraceError
from workloads import trace
from workloads.compress import (
    CompressionConfig,
    LayerChoice,
    apply,
    average_precision,
    calibrate,
    quantized_layers,
    set_bits,
)
from workloads.compress.pruning import SparseLinear, channel_groups, to_sparse
from workloads.integer import fold_batchnorms
from workloads.rewrite import add_lora, to_low_rank
from workloads.storage.codelength import huffman_table


def seeded(make: Any, seed: int = 0) -> Any:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return make()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def evaluated(model: nn.Module, *args: Tensor, **kwargs: Any) -> Tensor:
    with torch.no_grad():
        return model.eval()(*args, **kwargs)


def honest(model: nn.Module, x: Tensor, **kwargs: Any) -> Tensor:
    """Gradients on: torch calls every forward."""
    return model.eval()(x.clone().requires_grad_(True), **kwargs).detach()


# ---- parents with a fused path --------------------------------------------------------------------


def encoder_layer(**options: Any) -> nn.TransformerEncoderLayer:
    return seeded(lambda: nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, **options)).eval()


@pytest.mark.parametrize("norm_first", [False, True])
def test_an_encoder_layer_runs_its_quantizers_without_gradients(norm_first: bool) -> None:
    layer, x = encoder_layer(norm_first=norm_first), normal(8, 5, 16)
    model = apply(layer, CompressionConfig.from_bits({"linear1": 2, "linear2": 2}, a_bits=8))
    calibrate(model, x)
    for other in (model, copy.deepcopy(model)):
        torch.testing.assert_close(evaluated(other, x), honest(model, x), rtol=1e-5, atol=1e-5)
    assert (evaluated(model, x) - evaluated(layer, x)).abs().max() > 0.05
    assert layer.activation_relu_or_gelu == 1, "the float model keeps its fast path"


@pytest.mark.parametrize("name", ["layers.0.linear1", "layers.1.linear2"])
def test_an_encoder_with_a_padding_mask_stays_off_nested_tensors(name: str) -> None:
    model = nn.TransformerEncoder(encoder_layer(), 2).eval()
    x, padding = normal(3, 5, 16), torch.arange(5).expand(3, 5) >= torch.tensor([[5], [3], [2]])
    small = apply(model, CompressionConfig.from_bits({name: 2}, a_bits=8))
    calibrate(small, x)
    wanted = honest(small, x, src_key_padding_mask=padding)
    got = evaluated(small, x, src_key_padding_mask=padding)
    torch.testing.assert_close(got[~padding], wanted[~padding], rtol=1e-5, atol=1e-5)
    whole = honest(model, x, src_key_padding_mask=padding)
    assert (got - whole)[~padding].abs().max() > 0.05


@pytest.mark.parametrize("change", ["lora", "low rank", "mask"])
def test_rewritten_and_masked_children_of_an_encoder_are_called(change: str) -> None:
    layer, x = encoder_layer(), normal(8, 5, 16)
    model: nn.Module
    if change == "lora":
        model, _ = add_lora(layer, (x,), rank=2, layers=["linear1"])
        with torch.no_grad():
            model.linear1.lora_b.normal_()
    elif change == "low rank":
        model, _ = to_low_rank(layer, (x,), rank={"linear1": 4}, layers=["linear1"])
    else:
        model = to_sparse(layer, {"linear1": torch.arange(16).expand(32, 16) < 4})
    torch.testing.assert_close(evaluated(model, x), honest(model, x), rtol=1e-5, atol=1e-5)
    assert (evaluated(model, x) - evaluated(layer, x)).abs().max() > 0.05


def test_a_layer_that_is_put_into_an_encoder_by_hand_is_called() -> None:
    layer, x = encoder_layer(), normal(4, 5, 16)
    sparse = SparseLinear(16, 32)
    sparse.mask[:, 4:] = False
    layer.linear1 = sparse
    torch.testing.assert_close(evaluated(layer, x), honest(layer, x), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of its compiler
def test_an_encoder_layer_under_the_compiler_is_not_the_float_one() -> None:
    layer, x = encoder_layer(), normal(4, 5, 16)
    model = apply(layer, CompressionConfig.from_bits({"linear1": 2}, a_bits=8))
    calibrate(model, x)
    wanted = honest(model, x)
    torch.testing.assert_close(evaluated(torch.compile(model, backend="eager"), x), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("plain", [False, True])
def test_the_projection_that_attention_reads_is_refused(plain: bool) -> None:
    attention = nn.MultiheadAttention(8, 2)
    if plain:
        attention.out_proj = nn.Linear(8, 8)
    with pytest.raises(ConfigError, match=r"'out_proj': the attention '' reads its weight without calling it"):
        apply(attention, CompressionConfig.from_bits({"out_proj": 4}))


# ---- one weight, two names ------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c, self.d = nn.Linear(8, 8), nn.Linear(8, 8)
        self.d.weight = self.c.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.d(torch.relu(self.c(x)))


class Language(nn.Module):
    """An embedding whose table is the last layer's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.table.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.table(x))


@pytest.mark.parametrize("name", ["c", "d"])
def test_what_is_priced_for_a_shared_weight_is_what_runs(name: str) -> None:
    net, x = seeded(Tied).eval(), normal(32, 8)
    config = CompressionConfig.from_bits({name: 2}, a_bits=8)
    model = apply(net, config)
    calibrate(model, x)
    graph = trace(net, x[:1])
    priced = [(layer.bits.w, layer.bits.i) for layer in config.annotate(graph).layers]
    assert priced == [(layer.bits.w, layer.bits.i) for layer in trace(model, x[:1]).layers] == [(2, 8), (2, 8)]
    assert average_precision(graph, config) == 2.0
    weight = model.c.effective_weight()
    assert torch.equal(weight, model.d.effective_weight()) and len(weight.unique()) <= 4
    hidden = model.d.input_quantizer(torch.relu(model.c(x)))
    torch.testing.assert_close(model(x), functional.linear(hidden, weight, net.d.bias))
    assert [name for name, _ in model.named_parameters() if name.endswith("step")] == [
        "c.input_quantizer.step", "c.weight_quantizer.step", "d.input_quantizer.step"
    ]  # fmt: skip
    assert list(huffman_table(model)["weights"]) == [64, 64], "one layer, and the total"


def test_an_embedding_reads_the_compressed_weight_that_it_shares() -> None:
    net, x = seeded(Language).eval(), torch.arange(20)[None]
    for name in ("head", "table"):
        config = CompressionConfig.from_bits({name: 2}, a_bits=8)
        model = apply(net, config)
        calibrate(model, x)
        assert len(model.table(x).unique()) <= 4
        assert torch.equal(model.table(x)[0], model.head.effective_weight())
        assert [layer.bits.w for layer in config.annotate(trace(net, x)).layers if layer.weights] == [2]
        assert [layer.bits.w for layer in trace(model, x).layers if layer.weights] == [2]
        again = copy.deepcopy(model)
        with torch.no_grad():
            again.head.weight.zero_()
        assert not again.table(x).any() and model.table(x).any(), "a copy reads its own"
        assert set(model.state_dict()) >= set(net.state_dict())


def test_set_bits_reaches_all_that_share_a_weight() -> None:
    net, x = seeded(Tied).eval(), normal(32, 8)
    model = apply(net, CompressionConfig.from_bits({"c": 4}, a_bits=8))
    set_bits(model, CompressionConfig.from_bits({"d": 2}, a_bits=6))
    calibrate(model, x)
    fresh = apply(net, CompressionConfig.from_bits({"c": 2}, a_bits=6))
    calibrate(fresh, x)
    assert torch.equal(model(x), fresh(x))


def test_different_choices_for_one_weight_are_refused() -> None:
    config = CompressionConfig.from_bits({"c": 4, "d": 2})
    for use in (lambda: apply(Tied(), config), lambda: config.annotate(trace(Tied(), normal(1, 8)))):
        with pytest.raises(ConfigError, match="'d' and 'c' share one weight, but are given different choices"):
            use()


def test_a_mask_holds_for_all_that_share_the_weight() -> None:
    model = to_sparse(seeded(Tied), {"c": torch.eye(8, dtype=torch.bool)})
    assert torch.equal(model.d.effective_weight(), model.c.effective_weight())
    assert int(torch.count_nonzero(model.d.effective_weight())) == 8


class ReadTwice(nn.Module):
    """Calls a layer and reads its weight: what runs in float is not what is priced."""

    def __init__(self, read: Any) -> None:
        super().__init__()
        self.c, self.read = nn.Linear(8, 8), read

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.c(x), self.c.weight)


@pytest.mark.parametrize(
    "read", [functional.linear, lambda x, w: x @ w.T, lambda x, w: functional.linear(x, weight=w)]
)
def test_a_weight_that_is_also_read_in_float_is_reported(read: Any) -> None:
    model = apply(ReadTwice(read), CompressionConfig.from_bits({"c": 2}, a_bits=8))
    with pytest.raises(ConfigError, match="'c': the model also reads its weight without calling the layer"):
        calibrate(model, normal(4, 8))


def test_asking_a_weight_for_its_type_is_no_reading() -> None:
    model = apply(
        ReadTwice(lambda x, w: x.to(w.dtype).to(w.device)), CompressionConfig.from_bits({"c": 2}, a_bits=8)
    )
    calibrate(model, normal(4, 8))


# ---- patterns -------------------------------------------------------------------------------------


def stack() -> nn.Sequential:
    return seeded(lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2)))


def test_patterns_name_layers_everywhere_and_an_exact_name_goes_first() -> None:
    net, x = stack(), normal(8, 4)
    config, exact = (
        CompressionConfig.from_bits({"*": 4, "3": 8}),
        CompressionConfig.from_bits({"0": 4, "2": 4, "3": 8}),
    )
    graph = trace(net, x)
    assert config.resolved(graph) == exact
    assert [layer.bits.w for layer in config.annotate(graph).layers] == [4, 4, 8]
    assert average_precision(graph, config) == (16 * 4 + 16 * 4 + 8 * 8) / 40
    model = apply(net, config)
    assert [layer.bits.w for layer in trace(model, x).layers] == [4, 4, 8]
    set_bits(model, CompressionConfig.from_bits({"[02]": 2, "3": 8}))
    assert [layer.bits.w for layer in trace(model, x).layers] == [2, 2, 8]


def test_a_pattern_that_meets_nothing_or_contradicts_another_is_an_error() -> None:
    net = stack()
    graph = trace(net, normal(1, 4))
    for bits, message in (
        ({"layer1.*": 4}, r"'layer1\.\*' matched 0 of 3 layers"),
        ({"*": 4, "[0-2]": 8}, r"'0' is met by '\*' and '\[0-2\]', which differ"),
    ):
        config = CompressionConfig.from_bits(bits)
        for use in (lambda c=config: apply(net, c), lambda c=config: c.annotate(graph)):
            with pytest.raises(ConfigError, match=message):
                use()
    with pytest.raises(GraphError, match="'4' matched 0 of 3 layers"):
        CompressionConfig.from_bits({"4": 8}).annotate(graph)


def test_a_pattern_does_not_leave_layers_float_that_it_prices() -> None:
    with pytest.raises(ConfigError, match="'self_attn"):
        apply(encoder_layer(), CompressionConfig.from_bits({"*": 4}))


# ---- hooks and wrappers ---------------------------------------------------------------------------


def test_hooks_go_on_around_what_replaces_a_layer() -> None:
    net, calls = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), []
    net[0].register_forward_pre_hook(lambda m, args: calls.append("before"))
    net[0].register_forward_hook(lambda m, args, kwargs, out: calls.append("after"), with_kwargs=True)
    net[0].register_full_backward_pre_hook(lambda m, grads: calls.append("gradient"))
    net[0].register_full_backward_hook(lambda m, into, out: calls.append("backward"))
    net[0].note = "mine"
    x = normal(2, 4)
    makers = {
        "apply": lambda: apply(net, CompressionConfig.from_bits({"0": 8}, a_bits=8)),
        "mask": lambda: to_sparse(net, {"0": torch.ones(4, 4, dtype=torch.bool)}),
        "lora": lambda: add_lora(net, (x,), rank=2, layers=["0"])[0],
        "low rank": lambda: to_low_rank(net, (x,), rank=2, layers=["0"])[0],
    }
    for name, make in makers.items():
        model = make().train()
        calls.clear()
        model(x.clone().requires_grad_(True)).sum().backward()
        assert calls == ["before", "after", "gradient", "backward"], name
    assert makers["apply"]()[0].note == "mine"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wrapped_models_go_by_the_names_that_trace_gives() -> None:
    net, x = stack(), normal(8, 4)
    for wrapped in (torch.compile(net, backend="eager"), nn.DataParallel(net), torch.compile(nn.DataParallel(net))):
        config = CompressionConfig.from_bits(dict.fromkeys(trace(wrapped, x).modules, 4), a_bits=8)
        model = apply(wrapped, config)
        calibrate(model, x)
        plain = apply(net, config)
        calibrate(plain, x)
        assert torch.equal(model(x), plain(x))
        set_bits(nn.DataParallel(model), CompressionConfig.from_bits({"0": 2, "2": 2, "3": 2}, a_bits=8))
        assert [group.name for group in channel_groups(wrapped, x)] == [g.name for g in channel_groups(net, x)]
        assert to_sparse(wrapped, {"0": torch.ones(4, 4, dtype=torch.bool)})[0].density == 1.0
        small, report = to_low_rank(wrapped, (x,), rank=1, layers=["0"])
        assert [change.name for change in report.layers] == ["0"] and len(small) == 4
        assert [name for name, _ in quantized_layers(nn.DataParallel(model))] == ["0", "2", "3"]
        assert [type(m) for m in fold_batchnorms(wrapped)] == [type(m) for m in net]


def test_models_that_torch_refuses_to_copy_are_copied_and_models_without_values_are_named() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        old = nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 4))
    config = CompressionConfig.from_bits({"1": 4})
    with pytest.raises(ConfigError, match="'0': its weight is computed by a parametrization or hook"):
        apply(old, CompressionConfig.from_bits({"0": 4}))
    x = normal(3, 4)
    for copied in (apply(old, CompressionConfig({})), to_sparse(old, {}), add_lora(old, (x,), layers=["1"])[0]):
        with torch.no_grad():
            old[0].weight_g.mul_(2)
        assert not torch.equal(copied(x), old(x))
        with torch.no_grad():
            old[0].weight_g.div_(2)
        torch.testing.assert_close(copied(x), old(x))
    with pytest.raises(ConfigError, match="'1': it is on the meta device and has no values"):
        apply(nn.Sequential(nn.ReLU(), nn.Linear(4, 4)).to("meta"), config)


def test_a_choice_for_a_layer_alone_still_works() -> None:
    model = apply(nn.Linear(4, 4), CompressionConfig({"": LayerChoice(w_bits=2)}))
    assert type(model).__name__ == "QuantLinear"


def test_channel_groups_name_an_input_that_does_not_fit() -> None:
    with pytest.raises(TraceError, match=r"failed in 0: expected 3 channels, got 5"):
        channel_groups(nn.DataParallel(nn.Sequential(nn.Conv2d(3, 4, 3))), normal(2, 5, 8, 8))
