"""A layer graph as a file holds it: every field checked as it is read, the errors with their place in the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError
from pydantic_core import ErrorDetails

from hwmodel.errors import GraphError
from hwmodel.network.layer import NO_PADS

SCHEMA_VERSION = 1
#: Problems of one file that are listed; the rest are counted.
MAX_PROBLEMS = 20

Count = Annotated[StrictInt, Field(ge=0, lt=2**53)]
Pair = tuple[StrictInt, StrictInt]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BitsRecord(_Record):
    """`Bits`."""

    w: StrictInt
    i: StrictInt
    o: StrictInt | None = None
    acc: StrictInt | None = None


class DensityRecord(_Record):
    """`Density`."""

    w: StrictFloat
    i: StrictFloat
    o: StrictFloat
    pattern: StrictStr


class LayerRecord(_Record):
    """`Layer`."""

    type: Literal["layer"]
    name: StrictStr
    kind: Literal["conv", "linear", "matmul"]
    dims: dict[StrictStr, StrictInt]
    stride: Pair
    dilation: Pair
    padding: tuple[Pair, Pair] = NO_PADS
    bits: BitsRecord | None
    density: DensityRecord
    module: StrictStr = ""
    parameter: StrictStr = ""
    parameter_elements: StrictInt | None = None
    has_bias: StrictBool = False


class VectorRecord(_Record):
    """`VectorOp`."""

    type: Literal["vector"]
    name: StrictStr
    kind: StrictStr
    elements_in: Count
    elements_out: Count
    ops_per_element: StrictFloat = 1.0
    module: StrictStr = ""
    fused: StrictBool = False
    parameters: Count = 0
    pieces: tuple[StrictStr, ...] = ()


class PortRecord(_Record):
    """`Port`."""

    type: Literal["port"]
    name: StrictStr
    kind: Literal["input", "output"]


class TensorRecord(_Record):
    """`Tensor`."""

    name: StrictStr
    shape: tuple[Count, ...]


class UncountedRecord(_Record):
    """`Uncounted`."""

    op: StrictStr
    module: StrictStr
    calls: Annotated[StrictInt, Field(ge=1, lt=2**53)]


class FoldedRecord(UncountedRecord):
    """`Folded`."""

    macs: Count = 0


NodeRecord = Annotated[LayerRecord | VectorRecord | PortRecord, Field(discriminator="type")]


class GraphRecord(_Record):
    """The whole file; `LayerGraph.to_dict` writes it."""

    schema_version: Literal[1] = Field(alias="schema")
    name: StrictStr
    route: StrictStr
    nodes: tuple[NodeRecord, ...]
    edges: tuple[tuple[StrictStr, StrictStr, TensorRecord], ...]
    uncounted: tuple[UncountedRecord, ...]
    free_ops: dict[StrictStr, Count]
    data_reads: dict[StrictStr, Count] | None = None  # files of 0.1 before these two
    folded: tuple[FoldedRecord, ...] = ()
    aliases: dict[StrictStr, StrictStr] | None = None


def parse_graph(text: str) -> Any:
    """The values of a JSON text.

    Raises:
        GraphError: it is not JSON, or holds a number that is none (NaN, Infinity) or too long.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise GraphError(f"graph: not JSON: {error}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def check_record(data: Any) -> GraphRecord:
    """The fields of a graph, checked one by one.

    Raises:
        GraphError: another schema version, a field that is missing, unknown or of another kind, two edges between
            the same nodes.
    """
    if not isinstance(data, Mapping):
        raise GraphError(f"graph: must be a mapping, but is a {type(data).__name__}")
    if data.get("schema") != SCHEMA_VERSION:
        raise GraphError(f"graph: schema must be {SCHEMA_VERSION}, but got {str(data.get('schema'))[:80]!r}")
    try:
        record = GraphRecord.model_validate(dict(data))
    except ValidationError as problem:
        raise GraphError(_messages(problem.errors(include_url=False))) from None
    seen: set[tuple[str, str]] = set()
    for source, target, _ in record.edges:
        if (source, target) in seen:
            raise GraphError(f"graph: edge {source!r} -> {target!r} is there twice")
        seen.add((source, target))
    return record


def _messages(problems: Iterable[ErrorDetails]) -> str:
    lines = []
    for problem in problems:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
        lines.append(f"graph: {place.removeprefix('.')[:200]}: {problem['msg'][:200]}")
    more = [f"graph: and {len(lines) - MAX_PROBLEMS} more"] if len(lines) > MAX_PROBLEMS else []
    return "\n".join(lines[:MAX_PROBLEMS] + more)
