"""Models and checks that the tests of the tracer share."""

import torch
from torch import nn

from hwmodel import LayerGraph
from workloads.tracing import trace_model

ROUTES = ("export", "dispatch")


class Call(nn.Module):
    """A function as a module, with weights of the given shapes."""

    def __init__(self, function, *weights):
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(shape)) for shape in weights)

    def forward(self, *inputs, **keywords):
        return self.function(*inputs, *self.weights, **keywords)


class Wrap(nn.Module):
    """One module under a name."""

    def __init__(self, **child):
        super().__init__()
        ((name, module),) = child.items()
        self.add_module(name, module)

    def forward(self, *inputs):
        return next(self.children())(*inputs)


def both_routes(model, *args, **kwargs) -> LayerGraph:
    """The graph, after checking that the routes agree to the last edge."""
    graphs = [trace_model(model, args, kwargs, strict=True, route=route) for route in ROUTES]
    plain = [graph.to_dict() for graph in graphs]
    assert [item.pop("route") for item in plain] == list(ROUTES)
    assert plain[0] == plain[1]
    return graphs[0]


def only(graph: LayerGraph):
    (layer,) = graph.layers
    return layer
