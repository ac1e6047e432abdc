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


class ExploreSpec(Schema):
    """The keys of the file; each is an option of `hwmodel explore`."""

    models: list[str] = Field(min_length=1, description="Names, as `hwmodel cost` takes them.")
    hw: str = Field(description="Chip file, beside this one or by the name of a preset.")
    set: dict[str, Any] | list[dict[str, Any]] | None = Field(
        default=None, description="Ranges, in the form of `sweep` of a chip file."
    )
    budget: str | list[str] | None = Field(default=None, description="As `area <= 4 mm2, latency <= 5 ms`.")
    objectives: list[Literal["energy", "latency", "area"]] | None = Field(
        default=None, description="Axes of the front."
    )
    per_model: bool = Field(default=False, description="A front for each network, not one of geometric means.")
    optimize: Literal["energy", "latency", "edp"] = Field(default="energy", description="What mappings minimise.")
    w_bits: int | None = Field(default=None, ge=1, le=32, description="Of the weights of every layer [bit].")
    a_bits: int | None = Field(default=None, ge=1, le=32, description="Of the inputs of every layer [bit].")
    density: float | None = Field(default=None, gt=0, le=1, description="Of the weights of every layer.")
    fuse: bool = Field(default=True, description="Operations and layers may be fused.")
    trials: int | None = Field(default=None, ge=1, description="Designs to price; left out: all.")
    sampler: Literal["nsga2", "tpe", "random"] = Field(default="nsga2", description="Who proposes them.")
    seed: int = Field(default=0, ge=0, description="Of all draws.")
    out: str | None = Field(default=None, description="Folder that keeps every price.")
    jobs: int = Field(default=1, ge=1, description="Processes.")


def read_explore_spec(path: str | Path) -> ExploreSpec:
    """The file as a record; a chip file is found beside it.

    Raises:
        ConfigError: the file is no such one: `file:line:column`, the rule, the value, the fix.
    """
    path = Path(path)
    spec = read_yaml(path, ExploreSpec)
    beside = path.parent / spec.hw
    if Path(spec.hw).suffix in (".yaml", ".yml") and not Path(spec.hw).exists() and beside.exists():
        return spec.model_copy(update={"hw": str(beside)})
    return spec
