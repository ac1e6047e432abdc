"""MACs do not depend on the route, the mode, the wrapper or the device; what a route cannot see it says."""

import concurrent.futures
import dataclasses
from collections import namedtuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hwmodel import Port
from hwmodel.errors import TraceError
from tests.workloads.tracing.trace_models import Call, both_routes
from workloads import load_model_with_input
from workloads.tracing import trace_model

B, C, K = 2, 4, 6
ALL_ROUTES = ("export", "dispatch", "hooks")


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(C, K), nn.ReLU(), nn.Linear(K, 3))


SMALL_MACS = B * (C * K + K * 3)


@pytest.mark.parametrize("name", ["lenet5", "resnet8", "dscnn", "mobilenetv2", "transformer"])
def test_every_route_counts_the_same(name):
    """Hooks too, where every product is in a torch.nn module; what a forward adds is named as unseen."""
    model, args = load_model_with_input(name)
    graph = both_routes(model, *args)
    hooked = trace_model(model, args, route="hooks")
    assert hooked.route == "hooks"
    in_modules = [layer for layer in graph.layers if layer.kind != "matmul"]
    assert [(n.module, n.dims) for n in hooked.layers if n.kind != "matmul"] == [
        (n.module, n.dims) for n in in_modules
    ]
    assert hooked.weights == graph.weights
    assert hooked.macs == graph.macs or hooked.is_lower_bound


@st.composite
def networks(draw):
    """A chain of convolutions, norms, activations and pools, and a classifier."""
    layers, channels, size = [], 3, 16
    for _ in range(draw(st.integers(1, 4))):
        wider = channels * draw(st.integers(1, 3))
        groups = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0 and wider % g == 0]))
        layers += [nn.Conv2d(channels, wider, draw(st.sampled_from([1, 3])), padding=1, groups=groups)]
        layers += draw(st.sampled_from([[], [nn.BatchNorm2d(wider)], [nn.GroupNorm(1, wider), nn.GELU()]]))
        channels = wider
    layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 5)]
    return nn.Sequential(*layers), torch.zeros(draw(st.integers(1, 3)), 3, size, size)


@settings(deadline=None, max_examples=8)
@given(networks(), st.booleans())
def test_random_networks_count_the_same_on_every_route(network, training):
    model, images = network
    graphs = [trace_model(model.train(training), (images,), route=route, strict=True) for route in ALL_ROUTES]
    assert graphs[0].macs == graphs[1].macs == graphs[2].macs > 0
    assert [[n.name for n in graph.nodes] for graph in graphs[1:]] == [[n.name for n in graphs[0].nodes]] * 2
    assert model.training == training


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_transformer_layer_has_no_fast_path(training, nested, device):
    """4 D^2 for the projections, 2 T D for scores and mix, 2 D F for the perceptron, per token."""
    T, D, F = 5, 16, 32
    layer = nn.TransformerEncoderLayer(D, 2, F, batch_first=True, device=device)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested).train(training)
    padded = torch.zeros(B, T, dtype=torch.bool)
    for route in ALL_ROUTES:
        graph = trace_model(model, (torch.zeros(B, T, D),), {"src_key_padding_mask": padded}, route=route)
        assert graph.macs == 2 * B * T * (4 * D * D + 2 * T * D + 2 * D * F)


# ---- wrappers ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # of torch.compile's own
@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel])
def test_wrappers_leave_the_graph_as_it_is(wrap):
    model, x = small(), torch.zeros(B, C)
    for route in ALL_ROUTES:
        plain, wrapped = (trace_model(m, (x,), route=route).to_dict() for m in (model, wrap(model)))
        assert plain == wrapped


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_compiled_submodule_runs_uncompiled():
    model = nn.Sequential(torch.compile(nn.Linear(C, K)), nn.ReLU())
    assert both_routes(model, torch.zeros(B, C)).macs == B * C * K


@pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated
@pytest.mark.parametrize("make", [torch.jit.script, lambda model: nn.Sequential(torch.jit.script(model))])
def test_torchscript_is_refused_with_the_reason(make):
    with pytest.raises(
        TraceError, match=r"is TorchScript \(Sequential\).*trace the nn.Module that it was made from"
    ):
        trace_model(make(small()), (torch.zeros(B, C),))


@pytest.mark.filterwarnings("ignore")  # the old spectral norm is deprecated
@pytest.mark.parametrize(
    "reparametrize",
    [
        nn.utils.parametrizations.spectral_norm,
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.orthogonal,
        nn.utils.spectral_norm,
    ],
)
def test_reparametrized_weights_belong_to_their_module(reparametrize):
    graph = both_routes(reparametrize(nn.Linear(C, K)), torch.zeros(B, C))
    assert [(layer.macs, layer.weights) for layer in graph.layers] == [(B * C * K, C * K)]
    graph = both_routes(nn.Sequential(reparametrize(nn.Linear(C, K))), torch.zeros(B, C))
    assert graph.weights == {"0": C * K}


def test_tied_weights_are_stored_once():
    model = nn.Sequential(nn.Linear(C, C), nn.ReLU(), nn.Linear(C, C))
    model[2].weight = model[0].weight
    graph = both_routes(model, torch.zeros(B, C))
    assert graph.macs == 2 * B * C * C
    assert graph.weights == {"0": C * C}


def test_an_embedding_tied_to_the_last_layer_is_that_layers_weight():
    model = nn.Sequential(nn.Embedding(10, C), nn.Linear(C, 10, bias=False))
    model[1].weight = model[0].weight
    graph = both_routes(model, torch.zeros(B, 3, dtype=torch.long))
    assert graph.weights == {"1": 10 * C}


def test_hooks_of_the_user_are_part_of_the_network():
    model = small()
    model[0].register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    model.register_forward_hook(lambda module, args, out: out @ out.T)
    graph = both_routes(model, torch.zeros(B, C))
    assert graph.macs == SMALL_MACS + B * 3 * B


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx, grad):
        return grad, grad


def test_custom_autograd_functions_and_checkpoints():
    assert both_routes(Call(Product.apply, (C, K)), torch.zeros(B, C)).macs == B * C * K
    model = small()

    def checkpointed(x):
        return torch.utils.checkpoint.checkpoint(model, x, use_reentrant=False)

    wrapped = Call(checkpointed)
    wrapped.inner = model
    assert both_routes(wrapped, torch.zeros(B, C)).macs == SMALL_MACS


def test_vmap_counts_every_slice():
    model = nn.Linear(C, K)
    wrapped = Call(torch.vmap(model))
    wrapped.inner = model
    assert both_routes(wrapped, torch.zeros(B, C)).macs == B * C * K


@pytest.mark.parametrize("sign", [1, -1])
def test_cond_takes_the_branch_of_the_data(sign):
    class Cond(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.narrow = nn.Linear(C, K), nn.Linear(C, 1)

        def forward(self, x):
            return torch.cond(x.sum() > 0, self.wide, self.narrow, (x,))

    graph = trace_model(Cond(), (sign * torch.ones(B, C),), strict=True)
    assert graph.modules == (("wide",) if sign > 0 else ("narrow",))


# ---- inputs --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Batch:
    x: torch.Tensor
    pairs: list
    label: str = "a"


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x


Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize(
    ("make", "read", "names"),
    [
        (lambda x, y: Batch(x, [y]), lambda b: (b.x, b.pairs[0]), {"batch.x", "batch.pairs.0"}),
        (Pair, lambda b: (b.x, b.y), {"batch.0", "batch.1"}),
        (lambda x, y: {"x": x, "y": (y,)}, lambda b: (b["x"], b["y"][0]), {"batch.x", "batch.y.0"}),
        (lambda x, y: [Slotted(x), y], lambda b: (b[0].x, b[1]), {"batch.0.x", "batch.1"}),
    ],
)
def test_inputs_in_objects_are_inputs(make, read, names):
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(C, C)

        def forward(self, batch, *, scale=1):
            x, y = read(batch)
            return (self.fc(x) @ y.T) * scale

    batch = make(torch.zeros(B, C), torch.zeros(B, C))
    graph = both_routes(Reads(), batch, scale=3)
    assert {n.name for n in graph.nodes if isinstance(n, Port) and n.kind == "input"} == names
    assert [(n.kind, n.macs) for n in graph.layers] == [("linear", B * C * C), ("matmul", B * C * B)]
    assert all(type(tensor) is torch.Tensor for tensor in read(batch))  # the caller's own object is untouched


# ---- what a dispatch mode does not see -------------------------------------------------------------


class ThroughNumpy(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Linear(C, C), nn.Linear(C, K)
        self.register_buffer("offset", torch.ones(C))

    def forward(self, x):
        outside = np.tanh(self.before(x).numpy())
        back = torch.from_numpy(outside) + self.offset
        return self.after(back) @ back.new_zeros(K, 1) + (back @ back.T).sum()


def test_work_on_both_sides_of_numpy_is_counted_and_the_gap_is_named():
    graph = trace_model(ThroughNumpy(), (torch.ones(B, C),))
    assert graph.route == "dispatch"
    assert [layer.macs for layer in graph.layers] == [B * C * C, B * C * K, B * K, B * C * B]
    assert [(item.op, item.calls) for item in graph.uncounted] == [("host::numpy", 1)]
    assert graph.is_lower_bound
    with pytest.raises(TraceError, match="host::numpy"):
        trace_model(ThroughNumpy(), (torch.ones(B, C),), strict=True)


class InAnotherThread(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(C, K)

    def forward(self, x):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return pool.submit(self.fc, x).result().relu()


class ForceField(nn.Module):
    """A gradient inside the forward: the recorder's inference mode cannot make one."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(C, K)

    def forward(self, x):
        with torch.enable_grad():
            x = x.clone().requires_grad_(True)
            return torch.autograd.grad(self.fc(x).sum(), x)[0]


@pytest.mark.parametrize("kind", [InAnotherThread, ForceField])
def test_hooks_are_taken_when_all_else_fails_and_say_what_they_miss(kind):
    model = kind()
    graph = trace_model(model, (torch.ones(B, C),))
    assert graph.route == "hooks" and graph.is_lower_bound and "LOWER BOUND" in repr(graph)
    assert graph.macs == B * C * K
    assert [(item.op, item.module) for item in graph.uncounted] == [
        (f"{kind.__name__}.forward outside its modules", "")
    ]
    with pytest.raises(TraceError, match=rf"{kind.__name__}\.forward"):
        trace_model(model, (torch.ones(B, C),), strict=True)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_hooks_leave_model_and_inputs_as_they_were():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(C, K)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return self.fc(x.mul_(2))

    model, x = Counts(), torch.ones(B, C)
    graph = trace_model(model, (x,), route="hooks")
    assert (model.calls.item(), x.sum().item()) == (0, B * C)
    assert graph.macs == B * C * K
    assert list(graph.digraph.predecessors("fc")) == ["x"]  # written in place: still the input


def test_hooks_show_where_an_unseen_tensor_comes_in():
    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(C, C), nn.Linear(C, K)

        def forward(self, x):
            return self.b(self.a(x) + 1)

    graph = trace_model(Adds(), (torch.zeros(B, C),), route="hooks")
    assert list(graph.digraph.predecessors("b")) == ["unseen"]
    assert graph.modules == ("a", "b")


def test_unread_work_that_decides_is_kept():
    """The sum decides what runs, so it is work although no output is computed from it."""

    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.fc = nn.Linear(C, 1), nn.Linear(C, K)

        def forward(self, x):
            return self.fc(x) if self.gate(x).sum().item() < 1e9 else x

    assert trace_model(Gate(), (torch.zeros(B, C),)).modules == ("gate", "fc")
