"""`trace`: from any module and its example inputs to a layer graph."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from hwmodel.errors import TraceError, check_one_of
from hwmodel.network.graph import LayerGraph
from workloads.finite import non_finite
from workloads.tracing.annotations import is_packed, with_mask_densities
from workloads.tracing.failure import forward_error, refuse_uncounted
from workloads.tracing.hooks import via_hooks
from workloads.tracing.isolate import isolated
from workloads.tracing.measured import count_weight_zeros
from workloads.tracing.request import Request, make_request
from workloads.tracing.routes import Route, via_export, via_fake_tensors, via_real_tensors
from workloads.tracing.scope import Scope

RouteName = Literal["auto", "export", "dispatch", "hooks"]
Zeros = Literal["masks", "measured"]

_log = logging.getLogger(__name__)
#: `auto` calls the model before it tries to export it: an export takes milliseconds per module, a call on fake
#: tensors some tens of microseconds. The graph is the same on both routes.
_ROUTES: dict[str, tuple[Route, ...]] = {
    "auto": (via_fake_tensors, via_export, via_real_tensors, via_hooks),
    "export": (via_export,),
    "dispatch": (via_fake_tensors, via_real_tensors),
    "hooks": (via_hooks,),
}


def trace(model: Any, *args: Any, **kwargs: Any) -> LayerGraph:
    """Trace a model on example inputs, passed as to its forward; see `trace_model`."""
    return trace_model(model, args, kwargs)


def trace_model(
    model: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    strict: bool = False,
    route: RouteName = "auto",
    name: str | None = None,
    zeros: Zeros = "masks",
) -> LayerGraph:
    """Trace a model: its layers with MACs, its other ops, and the tensors between them.

    The model runs in eval mode without gradients and is left as it was, its random state too.
    Dropout is thus the identity and batch norm a scale and a shift.

    Args:
        model: a `torch.nn.Module`, on any device; on `meta` where the data do not decide what runs.
        args, kwargs: of its forward. Only their shapes matter unless the data decide what runs.
        strict: an op without a rule is an error; otherwise it is listed in `graph.uncounted`.
        route: `export` (torch.export), `dispatch` (a plain call under a dispatch mode, on fake tensors
            or, where the data decide, on real ones), `hooks` (a plain call; only what torch.nn modules
            do is seen, and `graph.uncounted` names the forwards that were not), `auto` (the first that
            works: the call on fake tensors, the export, the call on real ones, the hooks).
        name: of the graph; the class of the model by default.
        zeros: that make the weight densities: those of `masks`, or all that are `measured` among the weights as
            they multiply, where rounding makes zeros too.

    Returns:
        The graph; `graph.route` says which route was taken.

    Raises:
        TraceError: the forward fails (names the module, the shapes and the layers that ran), an
            input is empty or missing, a parameter holds NaN or infinity, the route is unknown, or an op has no
            rule in strict mode.
    """
    check_one_of("route", route, get_args(RouteName), TraceError)
    check_one_of("zeros", zeros, get_args(Zeros), TraceError)
    request = make_request(model, tuple(args), kwargs or {}, name)
    wrong = non_finite(request.model)
    if wrong:
        raise TraceError(
            f"{request.graph_name}: {wrong} Check the checkpoint; for shapes alone, put the model and its inputs "
            "on the meta device."
        )
    routes = _ROUTES[route]
    if request.is_meta:  # no numbers to run on
        routes = tuple(run for run in routes if run is not via_real_tensors)
    if any(is_packed(parameter) for parameter in model.parameters()):  # an export would run its kernels
        routes = tuple(run for run in routes if run is not via_export) or routes
    graph = with_mask_densities(_first_that_works(request, routes), request.names)
    if strict:
        refuse_uncounted(graph)
    return count_weight_zeros(request.model, graph) if zeros == "measured" else graph


def _first_that_works(request: Request, routes: tuple[Route, ...]) -> LayerGraph:
    with isolated(request.model):
        for index, run in enumerate(routes):
            scope = Scope()
            try:
                return run(request, scope)
            except TraceError:
                raise
            except Exception as error:  # torch raises anything here; the last route's error is reported
                _log.debug("%s does not work for %s: %s", run.__name__, request.graph_name, error)
                if index == len(routes) - 1:
                    raise forward_error(error, _where(request, scope), request.graph_name) from error
    raise TraceError("no route was given")


def _where(request: Request, scope: Scope) -> Scope:
    """The scope of a failed call; an export alone does not say where it failed, so the model is called."""
    if scope.visits or scope.failing:
        return scope
    probe = Scope()
    try:
        via_fake_tensors(request, probe)
    except Exception as error:
        _log.debug("the probing call failed too: %s", error)
    return probe
