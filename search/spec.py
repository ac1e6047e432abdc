"""The file of `hwmodel search SPEC.yaml`: what to search, and how. Three lines are enough:

model: resnet8
data: digits
accelerator: eyeriss
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from hwmodel import load_accelerator, load_designs
from hwmodel.chip.sweep.designs import has_ranges
from hwmodel.chip.units import parse_quantity
from hwmodel.chip.yamlfile import Field, Schema, dump_yaml, field_validator, model_validator, parse_yaml, read_yaml
from hwmodel.errors import ConfigError, check_one_of
from search.front.limits import parse_limits
from search.front.objective import default_objectives, objective_named, resolve_objectives
from search.front.picking import Rule, parse_rule
from search.groups import AxisValue, axis_values, widths_of
from search.propose import SAMPLERS
from search.rungs.fidelities import Fidelities
from search.space import Space
from workloads.training.settings import TrainSettings

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class SpaceSpec(Schema):
    """As the arguments of `Space.from_graph`."""

    w_bits: list[int] = Field(default=[2, 4, 8], min_length=1)
    a_bits: list[int] = Field(default=[8], min_length=1)
    density: list[float] | None = Field(default=None, min_length=1)
    pattern: str = "unstructured"
    groups: str | dict[str, str | list[str]] | None = None
    frozen: str | dict[str, int | str | dict[str, Any]] | None = "first_last"
    quantizer: str = "lsq"
    granularity: str = "tensor"
    layers: dict[str, dict[str, list[int | float]]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _values_are_valid(self) -> SpaceSpec:
        axis_values(self.w_bits, self.a_bits, self.density, self.pattern, self.quantizer, self.granularity)
        return self


class BudgetSpec(Schema):
    """How much to try.

    Attributes:
        trials: candidates scored without training.
        qat: candidates finetuned.
        seed: of every proposal, initial weight and training.
        sampler: who proposes: front (docs/explain/proposing.md), or one of Optuna's: tpe, nsga2, random, gp.
        test_seeds: finetunings per candidate of the final front, the search's own among them.
        pick: which candidate becomes `best.yaml`.
        design: number of the design that it is picked on, where the chip file has ranges; None is any.
        timeout: a candidate that takes longer at one fidelity has failed, `10 min`; None waits.
        batch: finetunings that train as one, or `auto`; equal to those apart up to rounding, so 1, which
            is reproducible to the last bit, is the default.
        subsets: `auto` scores single changes on as many validation images as they need, where there are many; false
            on all.
        uniform: the same bits everywhere, `[W8A8, W4A4]`, finetuned first and tested with the front, to compare
            with; they count among `qat`.
        rungs: shares of the epochs of a finetuning, rising: short runs before full ones (`search.rungs`).
        warm: short runs start from the nearest candidate of the front; full ones never do.
        stop_at: shares of a full run after which one that cannot reach the front is ended.
    """

    trials: int = Field(default=60, ge=1)
    qat: int = Field(default=12, ge=0)
    seed: int = Field(default=0, ge=0)
    sampler: str = "front"
    test_seeds: int = Field(default=3, ge=1)
    pick: str | int | dict[str, str | float] = "knee"
    design: int | None = Field(default=None, ge=0)
    timeout: str | float | None = None
    batch: int | str = 1
    subsets: Literal["auto", False] = "auto"
    uniform: list[str] = Field(default_factory=list)
    rungs: list[float] = Field(default_factory=list)
    warm: bool = False
    stop_at: list[float] = Field(default_factory=list)

    @property
    def fidelities(self) -> Fidelities:
        return Fidelities(rungs=tuple(self.rungs), warm=self.warm, stop_at=tuple(self.stop_at))

    @model_validator(mode="after")
    def _fidelities_are_valid(self) -> BudgetSpec:
        _ = self.fidelities
        return self

    def uniform_points(self, space: Space) -> list[dict[str, AxisValue]]:
        """The points of `uniform`."""
        return [space.uniform_point(w_bits=w, a_bits=a) for w, a in map(widths_of, self.uniform)]

    @field_validator("timeout")
    @classmethod
    def _timeout_is_a_time(cls, value: str | float | None) -> str | float | None:
        if value is not None and not parse_quantity("time", value) > 0:
            raise ValueError(f"must be above 0, but got {value}")
        return value

    @property
    def timeout_s(self) -> float | None:
        return None if self.timeout is None else parse_quantity("time", self.timeout)

    @field_validator("batch")
    @classmethod
    def _batch_is_a_number(cls, value: int | str) -> int | str:
        if value != "auto" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ValueError(f"must be 'auto' or an integer >= 1, but got {value!r}")
        return value

    @field_validator("sampler")
    @classmethod
    def _sampler_is_known(cls, value: str) -> str:
        check_one_of("sampler", value, SAMPLERS)
        return value

    @field_validator("pick", mode="before")
    @classmethod
    def _pick_is_a_rule(cls, value: Any) -> Any:
        parse_rule(value)
        return value


class TrainingSpec(Schema):
    """Changes to the settings of the two trainings, by the names of `TrainSettings`.

    Attributes:
        float: of the float model, where no checkpoint is given.
        qat: of every finetuning.
    """

    float: dict[str, Any] = Field(default_factory=dict)
    qat: dict[str, Any] = Field(default_factory=dict)

    @field_validator("float")
    @classmethod
    def _float_is_valid(cls, value: dict[str, Any]) -> dict[str, Any]:
        TrainSettings.from_scratch(**value)
        return value

    @field_validator("qat")
    @classmethod
    def _qat_is_valid(cls, value: dict[str, Any]) -> dict[str, Any]:
        TrainSettings.from_dict(value)
        return value


def _usual_objectives(data: dict[str, Any]) -> list[str]:
    """Of a specification that names none; `_resolved` looks at the accelerator itself."""
    return ["accuracy", "avg_w_bits" if data.get("accelerator") is None else "energy"]


class SearchSpec(Schema):
    """One search.

    Attributes:
        name: of the study and its folder; the name of the file if left out.
        model, model_options: as for `workloads.load_model`; channels and classes follow from the data.
        data, data_options: as for `workloads.load_data`: a name, FILE.npz, a folder of images, FILE.py:function.
        accelerator: a name or a YAML file; costs such as energy need one. A file with ranges is many designs.
        accelerators: several; the first is meant by plain names, the costs of the others are `energy@NAME`.
        objectives: accuracy and costs, of `search.OBJECTIVES`; the first cost orders the front. Left out, accuracy
            and energy with an accelerator (latency where that has no energies), and average bits without.
        limits: no candidate outside is scored, `{latency: "<= 2 ms"}`; `{accuracy: ">= 0.9"}` steers.
        strict_bits: refuse a space with widths that the accelerator has no arithmetic for.
        fuse: costs are of layers, pools, concatenations and attentions that may be fused, as in `hwmodel.evaluate`.
        mirror: a database server that is sent a copy of the Optuna studies, `postgresql://USER@HOST/DATABASE`.
        checkpoint: of a trained float model: `.safetensors`, `.npz` of arrays named like its parameters, or a
            `.pt` of its state dict; without it one is trained.
        provenance: written by a run, not read.
    """

    name: str = Field(default="", pattern=rf"^$|{NAME_PATTERN}")
    model: str
    model_options: dict[str, Any] = Field(default_factory=dict)
    data: str = "digits"
    data_options: dict[str, Any] = Field(default_factory=dict)
    accelerator: str | None = None
    accelerators: list[str] = Field(default_factory=list)
    objectives: list[str] = Field(default_factory=_usual_objectives)
    space: SpaceSpec = Field(default_factory=SpaceSpec)
    search: BudgetSpec = Field(default_factory=BudgetSpec)
    training: TrainingSpec = Field(default_factory=TrainingSpec)
    strict_bits: bool = False
    fuse: bool = True
    limits: dict[str, str | float] = Field(default_factory=dict)
    mirror: str | None = None
    checkpoint: str | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)

    @field_validator("objectives")
    @classmethod
    def _objectives_are_known(cls, value: list[str]) -> list[str]:
        return [objective.name for objective in resolve_objectives(value)]

    @field_validator("limits")
    @classmethod
    def _limits_are_bounds(cls, value: dict[str, str | float]) -> dict[str, str | float]:
        parse_limits(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _first_accelerator(cls, data: Any) -> Any:
        """Of several, the first is the accelerator."""
        several = data.get("accelerators") if isinstance(data, dict) else None
        if isinstance(several, list) and several:
            if data.get("accelerator") not in (None, several[0]):
                raise ConfigError(
                    f"accelerators: must begin with accelerator {data['accelerator']!r}, but begins with "
                    f"{several[0]!r}. Leave accelerator out."
                )
            return {**data, "accelerator": several[0]}
        return data

    @model_validator(mode="after")
    def _costs_can_be_priced(self) -> SearchSpec:
        """What is asked for without an accelerator needs none; noticed here, not after the training."""
        rule = parse_rule(self.search.pick)
        bounded = [bound.objective.name for bound in rule] if isinstance(rule, tuple) else []
        limited = [limit.objective.name for limit in parse_limits(self.limits).costs]
        for key, names in (("objectives", self.objectives), ("search.pick", bounded), ("limits", limited)):
            missing = [name for name in names if objective_named(name).needs_accelerator]
            if missing and self.accelerator is None:
                raise ConfigError(f"{key}: {missing[0]} needs an accelerator. Give one, such as 'eyeriss'.")
        return self

    @model_validator(mode="after")
    def _uniform_widths_are_in_the_space(self) -> SearchSpec:
        """Noticed here, not after the training."""
        names = self.search.uniform
        if len(names) > self.search.qat or len(set(names)) < len(names):
            raise ConfigError(
                f"search.uniform: must be different widths, at most as many as qat={self.search.qat}, among which "
                f"they count, but got {', '.join(names)}."
            )
        for name in names:
            for axis, width in zip(("w_bits", "a_bits"), widths_of(name), strict=True):
                values = getattr(self.space, axis)
                if width not in values:
                    raise ConfigError(
                        f"search.uniform: {name} must have {axis} of the space, {values}, but has {width}."
                    )
        return self

    @model_validator(mode="after")
    def _rungs_differ(self) -> SearchSpec:
        """Every rung, and every look at a full run, has epochs of its own; noticed here, not after the training."""
        epochs = self.qat_settings.epochs
        for key, shares in (("rungs", self.search.rungs), ("stop_at", self.search.stop_at)):
            lengths = [self.qat_settings.shortened(share).epochs for share in shares]
            if sorted({*lengths, epochs}) != [*lengths, epochs]:
                raise ConfigError(
                    f"search.{key}: must be different numbers of epochs below {epochs}, but {shares} are "
                    f"{', '.join(map(str, lengths))}. Use more epochs, or other shares."
                )
        return self

    @property
    def pick_rule(self) -> Rule:
        return self.search.pick

    @property
    def float_settings(self) -> TrainSettings:
        """Of the float training; the seed of the search unless it has its own."""
        return TrainSettings.from_scratch(**{"seed": self.search.seed, **self.training.float})

    @property
    def qat_settings(self) -> TrainSettings:
        """Of every finetuning; each run replaces the seed."""
        return TrainSettings.from_dict({"seed": self.search.seed, **self.training.qat})

    def to_yaml(self, provenance: dict[str, Any] | None = None) -> str:
        """The whole specification, defaults written out."""
        data = self.model_dump()
        data["provenance"] = provenance or {}
        return dump_yaml(data, header="As it ran, defaults written out. hwmodel search reads it again.")


def read_spec(path: str | Path) -> SearchSpec:
    """Read a specification; paths in it are relative to its folder.

    Raises:
        ConfigError: the file is absent or invalid; the message starts with `file:line:column`.
        AcceleratorError: there is no such accelerator, or its file is invalid.
    """
    path = Path(path)
    spec = read_yaml(path, SearchSpec)
    return _resolved(spec, path.resolve().parent, path.stem)


def parse_spec(text: str, *, folder: str | Path = ".", name: str = "search") -> SearchSpec:
    """As `read_spec`, from text.

    Raises:
        ConfigError: the text is invalid.
    """
    return _resolved(parse_yaml(text, SearchSpec), Path(folder).resolve(), name)


def _resolved(spec: SearchSpec, folder: Path, stem: str) -> SearchSpec:
    changes: dict[str, Any] = {}
    if not spec.name:
        changes["name"] = stem
    if spec.checkpoint is not None:
        changes["checkpoint"] = str(existing(folder, spec.checkpoint, "checkpoint"))
    if spec.accelerator is not None and spec.accelerator.endswith((".yaml", ".yml")):
        changes["accelerator"] = str(existing(folder, spec.accelerator, "accelerator"))
    if spec.accelerator is not None:
        named = spec.accelerators or [spec.accelerator]
        paths = [
            str(existing(folder, name, "accelerator")) if name.endswith((".yaml", ".yml")) else name
            for name in named
        ]
        if spec.accelerators:
            changes["accelerators"] = paths
        if "objectives" not in spec.model_fields_set:
            swept = len(paths) == 1 and has_ranges(paths[0])
            chips = [load_designs(paths[0])[0].accelerator] if swept else [load_accelerator(path) for path in paths]
            changes["objectives"] = list(default_objectives(chips))
    file, separator, function = spec.model.rpartition(":")
    if separator and file.endswith(".py"):
        changes["model"] = f"{existing(folder, file, 'model')}:{function}"
    if _is_place(folder, spec.data):
        source, separator, function = spec.data.rpartition(":") if ".py:" in spec.data else (spec.data, "", "")
        changes["data"] = f"{existing(folder, source, 'data')}{separator}{function}"
    if isinstance(spec.data_options.get("path"), str):
        path = str(existing(folder, spec.data_options["path"], "data_options.path"))
        changes["data_options"] = {**spec.data_options, "path": path}
    return spec.model_copy(update=changes)


def _is_place(folder: Path, data: str) -> bool:
    """A file, a function in one, or a folder; a known name is never one."""
    if data.endswith((".npz", ".py", "/")) or ".py:" in data:
        return True
    if not (folder / data).is_dir():
        return False
    from workloads import data_names

    return data not in data_names()


def existing(folder: Path, name: str, key: str) -> Path:
    """A file that a specification names, from the folder of the specification on.

    Raises:
        ConfigError: there is no such file.
    """
    path = (folder / Path(name).expanduser()).resolve()
    if not path.exists():
        raise ConfigError(
            f"{key}: {name!r} is not a file (looked for {path}). Paths are relative to the specification."
        )
    return path
