"""An exploration as a YAML file.

models: [resnet18, mobilenetv2]
hw: npu.yaml
set:
  - array.X.size: [8, 16, 32]
  - memories.sram.size: 64 KiB..1 MiB*2
budget: area <= 4 mm2
out: runs/npu
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from hwmodel.chip.yamlfile import Field, Schema, read_yaml
from search.spec import existing


class ExploreSpec(Schema):
    """The keys of the file; each is an option of `hwmodel explore`.

    Attributes:
        models: names, as `hwmodel cost` takes them; files (`nets.py:build`, `net.onnx`) lie beside this one.
        hw: chip file, beside this one, or the name of a preset.
        set: ranges, in the form of `sweep` of a chip file, beside those that it has.
        budget: as `area <= 4 mm2, latency <= 5 ms`; energy and latency hold for every network.
        objectives: axes of the front; default: energy, latency, and area where it is known.
        per_model: a front for each network, not one of geometric means.
        optimize: what mappings minimise.
        w_bits, a_bits: of the weights and inputs of every layer [bit]; default: native.
        density: of the weights of every layer.
        fuse: operations and layers may be fused.
        trials: designs to price, that a sampler proposes; default: all that bounds do not rule out.
        sampler: who proposes them.
        seed: of its draws.
        out: folder that keeps every price, beside this file, so that the same command goes on where it was ended.
        jobs: processes.
    """

    models: list[str] = Field(min_length=1)
    hw: str
    set: dict[str, Any] | list[dict[str, Any]] | None = None
    budget: str | list[str] | None = None
    objectives: list[Literal["energy", "latency", "area"]] | None = None
    per_model: bool = False
    optimize: Literal["energy", "latency", "edp"] = "energy"
    w_bits: int | None = Field(default=None, ge=1, le=32)
    a_bits: int | None = Field(default=None, ge=1, le=32)
    density: float | None = Field(default=None, gt=0, le=1)
    fuse: bool = True
    trials: int | None = Field(default=None, ge=1)
    sampler: Literal["nsga2", "tpe", "random"] = "nsga2"
    seed: int = Field(default=0, ge=0)
    out: str | None = None
    jobs: int = Field(default=1, ge=1)


def read_explore_spec(path: str | Path) -> ExploreSpec:
    """The file as a record; its paths lead from its folder on, as in a search file.

    Raises:
        ConfigError: the file is no such one: `file:line:column`, the rule, the value, the fix; or it names a file
            that is not there.
    """
    folder = Path(path).parent
    spec = read_yaml(path, ExploreSpec)
    changes: dict[str, Any] = {"models": [_model(folder, name) for name in spec.models]}
    if spec.hw.endswith((".yaml", ".yml")):
        changes["hw"] = str(existing(folder, spec.hw, "hw"))
    if spec.out is not None:
        changes["out"] = str(folder / Path(spec.out).expanduser())
    return spec.model_copy(update=changes)


def _model(folder: Path, name: str) -> str:
    """The name of a model, its file found."""
    file, colon, function = name.rpartition(":")
    if colon and file.endswith(".py"):
        return f"{existing(folder, file, 'models')}:{function}"
    return str(existing(folder, name, "models")) if name.endswith(".onnx") else name
