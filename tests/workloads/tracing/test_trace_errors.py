"""Bad input, and ops without a rule: place, rule, value, fix."""

import pytest
import torch
from torch import nn

from hwmodel.errors import TraceError
from workloads import load_model, trace
from workloads.tracing import CONSTANT, FREE, Contraction, Rewrite, Vector, register_op, trace_model
from workloads.tracing.ops.rules import _RULES


class Bad(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3)
        self.block = nn.Sequential(nn.ReLU(), nn.Conv2d(64, 8, 3))

    def forward(self, x):
        return self.block(self.conv1(x))


@pytest.mark.parametrize("route", ["auto", "export", "dispatch"])
def test_a_forward_that_fails_names_the_module_and_what_ran(route):
    with pytest.raises(TraceError) as caught:
        trace_model(Bad(), (torch.zeros(1, 3, 8, 8),), route=route)
    lines = str(caught.value).splitlines()
    assert lines == [
        "Tracing failed in block.1: expected 64 channels, got 8.",
        "Its inputs have the shapes (1, 8, 6, 6).",
        "Layers that ran: 2 (below).",
        "  conv1 -> (1, 8, 6, 6)",
        "  block.0 -> (1, 8, 6, 6)",
    ]


def test_a_failing_model_is_left_unchanged():
    model = Bad().train()
    with pytest.raises(TraceError):
        trace(model, torch.zeros(1, 3, 8, 8))
    assert model.block[1].training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_wrong_channels_on_the_first_layer():
    with pytest.raises(TraceError, match="in conv1: expected 3 channels, got 1"):
        trace(load_model("resnet8"), torch.zeros(1, 1, 32, 32))


def test_wrong_features():
    with pytest.raises(TraceError, match=r"in 1: expected 9 features, got 5 \(2x5 and 9x3\)"):
        trace(nn.Sequential(nn.Linear(4, 5), nn.Linear(9, 3)), torch.zeros(2, 4))


def test_a_failure_outside_any_submodule():
    class Raises(nn.Module):
        def forward(self, x):
            raise RuntimeError("no such luck\nsecond line")

    with pytest.raises(TraceError, match=r"in Raises \(outside any submodule\): no such luck"):
        trace(Raises(), torch.zeros(2))


def test_long_histories_are_cut():
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(30)), nn.Linear(5, 5))
    with pytest.raises(TraceError) as caught:
        trace(model, torch.zeros(2, 4))
    text = str(caught.value)
    assert "Layers that ran: 30 (below)." in text
    assert "  ... 10 before\n  10 -> (2, 4)" in text


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing a required argument: 'x'"),
        ((torch.zeros(1), torch.zeros(1)), {}, "too many positional arguments"),
        ((torch.zeros(1),), {"mask": 1}, "unexpected keyword argument 'mask'"),
        ((torch.zeros(0, 1, 32, 32),), {}, r"input 'x': every dim must be >= 1, but its shape is \(0, 1, 32, 32\)"),
    ],
)
def test_bad_inputs(args, kwargs, message):
    with pytest.raises(TraceError, match=message):
        trace(load_model("lenet5"), *args, **kwargs)


def test_not_a_module():
    with pytest.raises(TraceError, match=r"needs a torch\.nn\.Module, but got function"):
        trace(lambda x: x, torch.zeros(1))


def test_lazy_modules():
    with pytest.raises(TraceError, match=r"0\.weight has no shape yet"):
        trace(nn.Sequential(nn.LazyLinear(3)), torch.zeros(2, 4))


def test_unknown_route():
    with pytest.raises(TraceError, match="Did you mean 'export'"):
        trace_model(nn.ReLU(), (torch.zeros(1),), route="exports")


class ByValue(nn.Module):
    """The data decide what runs."""

    def __init__(self):
        super().__init__()
        self.fc, self.extra = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.fc(x)
        return self.extra(x) if x.sum().item() < 1e9 else x


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_parameters_without_numbers_are_named(value):
    model = ByValue()
    assert trace(model, torch.zeros(2, 4)).modules == ("fc", "extra")
    with torch.no_grad():
        model.extra.weight[0, 1:3] = value
    with pytest.raises(TraceError, match=r"ByValue: .*'extra\.weight' has NaN or infinity in 2 of 16 values.*meta"):
        trace(model, torch.zeros(2, 4))


def test_shapes_alone_need_no_numbers():
    model = nn.Sequential(nn.Linear(4, 4))
    assert trace(model, torch.full((2, 4), float("nan"))).macs == 2 * 4 * 4
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    assert trace(model.to("meta"), torch.empty(2, 4, device="meta")).macs == 2 * 4 * 4


def test_a_sum_beyond_the_range_is_no_infinity():
    model = nn.Linear(64, 64).half()
    with torch.no_grad():
        model.weight.fill_(60000.0)
    assert trace(model, torch.zeros(1, 64, dtype=torch.float16)).macs == 64 * 64


@pytest.mark.skipif(torch.cuda.is_available(), reason="cuda is not absent here")
def test_a_device_that_is_absent():
    class ToCuda(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return self.fc(x).to("cuda")

    with pytest.raises(TraceError, match="asks for device 'cuda', which is absent on this machine"):
        trace(ToCuda(), torch.zeros(2, 4))


def test_an_empty_input_inside_an_object():
    with pytest.raises(TraceError, match=r"input 'input\.x': every dim must be >= 1"):
        trace(nn.Identity(), {"x": torch.zeros(3, 0)})


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_layer_without_channels_has_nothing_to_do():
    model = nn.Sequential(nn.Linear(4, 0, bias=False), nn.Linear(0, 3))
    assert trace(model, torch.zeros(2, 4)).macs == 0


# ---- ops without a rule --------------------------------------------------------------------------


@torch.library.custom_op("hwmodel_tests::mystery", mutates_args=())
def mystery(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x @ weight


@mystery.register_fake
def _(x, weight):
    return x.new_empty(x.shape[0], weight.shape[1])


class Mysterious(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Module()
        self.inner.weight = nn.Parameter(torch.randn(4, 4))
        self.inner.forward = lambda x: mystery(mystery(x, self.inner.weight), self.inner.weight)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.inner(x))


@pytest.fixture
def rules():
    """The table, restored afterwards."""
    saved = dict(_RULES)
    yield
    _RULES.clear()
    _RULES.update(saved)


@pytest.mark.parametrize("route", ["export", "dispatch"])
def test_an_op_without_a_rule_makes_a_lower_bound(route):
    graph = trace_model(Mysterious(), (torch.zeros(2, 4),), route=route)
    (item,) = graph.uncounted
    assert (item.op, item.module, item.calls) == ("hwmodel_tests::mystery", "inner", 2)
    assert graph.is_lower_bound and "LOWER BOUND" in repr(graph)
    assert graph.macs == 2 * 4 * 3
    assert list(graph.digraph.predecessors("fc")) == ["inner.mystery_1"]


def test_strict_names_op_module_and_fix():
    with pytest.raises(TraceError) as caught:
        trace_model(Mysterious(), (torch.zeros(2, 4),), strict=True)
    text = str(caught.value)
    assert "hwmodel_tests::mystery (2 calls, in inner)" in text
    assert "register_op('hwmodel_tests::mystery'" in text


@pytest.mark.parametrize("route", ["export", "dispatch"])
def test_register_a_counted_op(rules, route):
    def rule(call):
        rows, inner = call["x"].shape
        return Contraction(
            kind="linear", dims={"B": rows, "C": inner, "K": call.out.shape[1]}, weight=call["weight"]
        )

    register_op("hwmodel_tests::mystery", rule)
    graph = trace_model(Mysterious(), (torch.zeros(2, 4),), route=route, strict=True)
    assert [layer.name for layer in graph.layers] == ["inner", "inner#2", "fc"]
    assert graph.macs == 2 * (2 * 4 * 4) + 2 * 4 * 3


@pytest.mark.parametrize(
    ("rule", "kinds", "macs"),
    [
        (Vector(kind="activation", ops=3, fused=True), ["activation", "activation"], 0),
        (FREE, [], 0),
        (Rewrite(function=lambda x, weight: (x @ weight).relu()), ["activation", "activation"], 2 * 2 * 4 * 4),
    ],
)
def test_register_other_rules(rules, rule, kinds, macs):
    register_op("hwmodel_tests::mystery", rule)
    graph = trace_model(Mysterious(), (torch.zeros(2, 4),), strict=True)
    assert [op.kind for op in graph.vector_ops] == kinds
    assert graph.macs == macs + 2 * 4 * 3


def test_a_constant_result_makes_what_follows_free(rules):
    register_op("hwmodel_tests::mystery", CONSTANT)
    graph = trace_model(Mysterious(), (torch.zeros(2, 4),), strict=True)
    assert graph.macs == 0


@pytest.mark.parametrize("name", ["mystery", "ns::op.default", "a::b::c", ""])
def test_register_op_checks_the_name(rules, name):
    with pytest.raises(TraceError, match="must be 'namespace::op'"):
        register_op(name, FREE)


def test_register_op_checks_the_rule(rules):
    with pytest.raises(TraceError, match="must be a function"):
        register_op("hwmodel_tests::mystery", 3)


class Lazy(nn.Module):
    def forward(self, x):
        return x, (row @ torch.ones(4, 4) for row in x)


@pytest.mark.parametrize("route", ["auto", "export", "dispatch", "hooks"])
def test_a_generator_is_refused_where_its_ops_would_not_run(route):
    with pytest.raises(TraceError, match=r"output\.1 is a generator.*return a list or a tuple"):
        trace_model(Lazy(), (torch.zeros(2, 3, 4),), route=route)


class Keywords(nn.Module):
    def forward(self, x, *, mask):
        return x * mask


@pytest.mark.parametrize(
    ("args", "kwargs", "given"),
    [
        ((), {}, "0 example arguments: missing"),
        ((1,), {}, "1 example argument: missing"),
        ((1, 2), {"mask": 1}, "2 example arguments and mask=: too many"),
        ((), {"mask": 1}, "mask=: missing"),
    ],
)
def test_arguments_that_do_not_fit_the_forward(args, kwargs, given):
    with pytest.raises(TraceError, match=rf"Keywords\.forward\(x, \*, mask\) cannot be called with {given}"):
        trace(Keywords(), *args, **kwargs)
