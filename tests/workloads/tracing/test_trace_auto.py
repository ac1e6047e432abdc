"""A model is called before it is exported: the graph is the same."""

import pytest
import torch
from torch import nn

from hwmodel.errors import TraceError
from workloads import load_model_with_input, model_names
from workloads.tracing import trace_model


@pytest.mark.parametrize("name", model_names())
def test_the_graph_of_a_model_is_that_of_its_export(name):
    model, args = load_model_with_input(name)
    called, exported = trace_model(model, args), trace_model(model, args, route="export")
    assert (called.route, exported.route) == ("dispatch", "export")
    assert {**called.to_dict(), "route": ""} == {**exported.to_dict(), "route": ""}
    assert all(parameter.device.type == "cpu" for parameter in model.parameters())


@pytest.mark.parametrize(
    "model",
    [nn.LSTM(8, 8, 2, batch_first=True), nn.GRU(8, 8, batch_first=True), nn.TransformerEncoderLayer(8, 2),
     nn.Sequential(nn.Conv1d(6, 8, 3), nn.BatchNorm1d(8)), nn.Bilinear(8, 8, 4)],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
def test_composite_layers_are_the_same_when_called_and_exported(model):
    args = (torch.randn(2, 6, 8),) * (2 if isinstance(model, nn.Bilinear) else 1)
    called, exported = trace_model(model, args), trace_model(model, args, route="export")
    assert {**called.to_dict(), "route": ""} == {**exported.to_dict(), "route": ""}


def test_a_model_whose_data_decide_is_left_to_the_other_routes():
    class Table(nn.Module):
        """Adds a tensor that is neither parameter nor buffer, and asks for numbers."""

        def __init__(self):
            super().__init__()
            self.fc, self.table = nn.Linear(4, 4), torch.ones(4)

        def forward(self, x):
            y = self.fc(x) + self.table
            return y if y.sum() > 1e9 else self.fc(y)

    graph = trace_model(Table(), (torch.ones(1, 4),))
    assert graph.macs == 2 * 4 * 4


def test_a_model_that_fails_says_where():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(5, 4))
    with pytest.raises(TraceError, match="Tracing failed in 1: expected 5 features, got 4"):
        trace_model(model, (torch.ones(1, 4),))
    with pytest.raises(TraceError, match="Tracing failed in 1: expected 5 features, got 4"):
        trace_model(model.to("meta"), (torch.ones(1, 4),))
