"""What a job works with: data, model, graph, accelerator, space, and the scorer once the float model is trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodel import load_accelerator
from hwmodel.chip.records import read_record
from hwmodel.chip.sweep.designs import Designs, has_ranges, load_designs
from hwmodel.errors import ConfigError, TraceError
from hwmodel.files import write_atomic
from hwmodel.network.graph import LayerGraph
from search.front.results import Result
from search.guard.identity import STREAM, code_hash, data_hash, file_hash
from search.guard.manifest import CONTENT, read_manifest
from search.guard.seal import inside, seal
from search.jsonl import parse_line
from search.observer import Observer
from search.space import Space
from search.spec import SearchSpec
from workloads import compress, load_data, load_model, training
from workloads.compress.config import CompressionConfig
from workloads.models import options_for
from workloads.storage.weights import CarriedState, read_hash
from workloads.training.accuracy import Accuracy
from workloads.training.chance import chance_level, check_learned

if TYPE_CHECKING:
    from hwmodel.chip.accelerator import Accelerator
    from search.executors.factory import ScorerFactory
    from workloads.data import Dataset
    from workloads.training import Scorer

FLOAT_WEIGHTS = "checkpoints/float.safetensors"
FLOAT_RECORD = "float.json"


@dataclass
class Materials:
    """The materials of a job. Everything is made when it is first asked for; it is an `evaluate` of `Study`.

    Args:
        spec: of the search.
        folder: of the run.
        observer: is told of the float training.
        device: None is CUDA where there is one, else the CPU.
    """

    spec: SearchSpec
    folder: Path
    observer: Observer
    device: str | None = None

    @cached_property
    def data(self) -> Dataset:
        """The data set.

        Raises:
            ConfigError: it cannot be loaded, or accuracy is not what it measures.
        """
        data = load_data(self.spec.data, **self.data_options)
        if data.is_regression or data.metric is not None:
            what = "floating-point targets" if data.metric is None else "a metric of its own"
            raise ConfigError(
                f"data {self.spec.data!r} has {what}, but a search from a file compares accuracies. In Python: "
                "Study with evaluate=Scorer(model, data, settings), which measures r2 or a metric."
            )
        return data

    @cached_property
    def data_options(self) -> dict[str, Any]:
        """Those of the specification, and where validation comes from.

        With published weights that we know, trained on all training images, the validation split is cut from the
        test files unless the specification says otherwise.
        """
        options = self.spec.data_options
        known = self._published
        if known is None or known.data != self.spec.data or "validation" in options:
            return dict(options)
        return {**options, "validation": "test"}

    @cached_property
    def _published(self) -> Any:
        from workloads.models.published import published

        return None if self.spec.checkpoint is None else published(self.spec.checkpoint)

    @property
    def validation_seen(self) -> bool | None:
        """The checkpoint was trained on the validation images; None is not known. Without one, never.

        Where it is not False, a validation accuracy above the test accuracy by more than noise is memory.
        """
        if self.spec.checkpoint is None or self.data.validation_from in ("own", "test"):
            return False
        known = self._published
        return True if known is not None and known.data == self.spec.data else None

    @property
    def data_notes(self) -> tuple[str, ...]:
        """What a user should know about the validation split."""
        known = self._published
        if known is None or known.data != self.spec.data:
            return ()
        trained = f"The checkpoint is the published {known.model}, trained on all training images of {known.data}"
        if self.validation_seen:
            return (
                f"{trained}, the validation images among them: validation accuracy is memory. Use data_options: "
                "{validation: test}.",
            )
        return (
            f"{trained}: the validation split is cut from the test files ({len(self.data.validation):,} images; "
            f"{len(self.data.test):,} stay test).",
        )

    @cached_property
    def model_options(self) -> dict[str, Any]:
        """Those of the specification, channels and classes of the data added where the model is built here."""
        implied = options_for(self.spec.model, self.data)
        return {"seed": self.spec.search.seed, **implied, **self.spec.model_options}

    @cached_property
    def graph(self) -> LayerGraph:
        """Of one image.

        Raises:
            ConfigError: the model does not run on the images of the data set; says what it expects.
            TraceError: it does not run for another reason.
        """
        from workloads.tracing import trace_model

        model = self._new_model()
        try:
            return trace_model(model, (self.data.example(),), name=_short(self.spec.model))
        except TraceError as error:
            wanted, given = getattr(model, "input_shape", None), self.data.input_shape
            if wanted is None or tuple(wanted) == tuple(given):
                raise
            size = f" Set data_options: {{size: {wanted[-1]}}}." if wanted[-1] != given[-1] else ""
            raise ConfigError(
                f"{self.spec.model} expects images {_times(wanted)}, but {self.spec.data} gives {_times(given)}."
                f"{size} ({error})"
            ) from error

    @cached_property
    def accelerator(self) -> Accelerator | None:
        return self.accelerators[0] if self.accelerators else None

    @cached_property
    def accelerators(self) -> tuple[Accelerator, ...]:
        """Those of the specification; the first is meant by plain names. None where it is several designs."""
        return () if self.designs else tuple(load_accelerator(name) for name in self._chips)

    @cached_property
    def designs(self) -> Designs | None:
        """Of a chip file with ranges."""
        names = self._chips
        return load_designs(names[0]) if len(names) == 1 and has_ranges(names[0]) else None

    @property
    def examples(self) -> tuple[Accelerator, ...]:
        """The first accelerator, or of several designs those that treat widths differently."""
        chips = [design.accelerator for design in self.designs or ()]
        return self.accelerators[:1] or tuple({(c.precision, c.native_bits): c for c in chips}.values())

    @property
    def _chips(self) -> list[str]:
        first = [] if self.spec.accelerator is None else [self.spec.accelerator]
        return self.spec.accelerators or first

    @cached_property
    def space(self) -> Space:
        floating = compress.uncompressible(self._new_model(), self.graph.modules)
        return Space.from_graph(self.graph, **self.spec.space.model_dump(), floating=floating)

    @cached_property
    def context(self) -> dict[str, Any]:
        """What else the accuracies depend on."""
        return {
            "model_options": self.model_options,
            "data": self.spec.data,
            "data_options": self.data_options,
            "checkpoint": self.spec.checkpoint,
            CONTENT: self._content,
            "training": {
                "float": {} if self.spec.checkpoint else self.spec.float_settings.to_dict(),
                "qat": self.spec.qat_settings.to_dict(),
            },
        }

    @cached_property
    def _content(self) -> dict[str, Any]:
        """What names do not say: the user's code, data and checkpoint, as hashes."""
        checkpoint = self.spec.checkpoint
        return {
            "model_code": code_hash(self.spec.model),
            "data_code": code_hash(self.spec.data),
            "data": data_hash(self.data),
            "checkpoint": "" if checkpoint is None else file_hash(checkpoint),
        }

    @property
    def content_notes(self) -> tuple[str, ...]:
        """What of the content a resumed run cannot compare."""
        manifest = read_manifest(self.folder)
        if manifest is not None and CONTENT not in manifest["context"]:
            return ("The run was begun by an earlier version: changed code and data cannot be noticed.",)
        streams = [name for name, found in self._content["data"].items() if found == STREAM]
        return (f"Data of {', '.join(streams)} are streamed: changed data cannot be noticed.",) if streams else ()

    @cached_property
    def scorer(self) -> Scorer:
        """Scores candidates of the float model, which is trained or read first.

        Raises:
            ChanceLevelError: it has learned nothing.
        """
        scorer = training.Scorer(self.float_model, self.data, self.spec.qat_settings, self.device)
        accuracy = counted(scorer.float_accuracy())
        self._check_float_weights()
        record = {
            "correct": accuracy.correct,
            "total": accuracy.total,
            "checkpoint": FLOAT_WEIGHTS,
            "checkpoint_hash": read_hash(self.folder / FLOAT_WEIGHTS),
        }
        write_atomic(self.folder / FLOAT_RECORD, json.dumps(seal(record), indent=1) + "\n")
        check_learned(accuracy, chance_level(self.data.validation), self.folder)
        return scorer

    def _check_float_weights(self) -> None:
        """The float model is the one that the candidates so far were made of.

        Raises:
            ConfigError: it is another.
        """
        try:
            known = _float_record(self.folder / FLOAT_RECORD).get("checkpoint_hash", "")
        except ConfigError:  # measured and written again in a moment
            return
        path = self.folder / FLOAT_WEIGHTS
        if known and known != read_hash(path):
            raise ConfigError(
                f"{path}: holds another float model than the one of this run. Restore it, or choose a new name."
            )

    @cached_property
    def float_model(self) -> Any:
        """The trained float model; its weights are in `checkpoints/float.safetensors`."""
        model, path = self._new_model(), self.folder / FLOAT_WEIGHTS
        if self.spec.checkpoint is not None:
            if path.exists():
                compress.load_weights(path, model)
            else:
                compress.load_weights(self.spec.checkpoint, model)
                compress.save_weights(path, model)
            return model.eval()
        settings = self.spec.float_settings
        self.observer.stage_started("float", 0, settings.epochs)
        training.pretrain(
            model,
            self.data,
            settings,
            path,
            device=self.device,
            progress=lambda record: self.observer.step("float", record.epoch, settings.epochs),
        )
        return model.eval()

    def ptq(self, config: CompressionConfig) -> Any:
        """First fidelity."""
        return self.scorer.ptq(config)

    def num_images(self) -> int:
        """Validation images that are counted one by one; 0 where they cannot be."""
        return training.num_countable(self.data.validation)

    def ptq_hits(self, config: CompressionConfig, is_enough: Callable[[Any], bool]) -> Any:
        """First fidelity on a part of the images (`Scorer.ptq_hits`)."""
        return self.scorer.ptq_hits(config, is_enough)

    def qat(self, config: CompressionConfig, seed: int) -> Any:
        """Second fidelity."""
        return self.scorer.qat(config, seed)

    @property
    def batch_size(self) -> int:
        """Finetunings that train as one; `auto` leaves two thirds of the runs to learn from the first."""
        wanted = self.spec.search.batch
        return wanted if isinstance(wanted, int) else max(1, min(16, self.spec.search.qat // 3))

    def qat_many(self, configs: Sequence[CompressionConfig], seeds: Sequence[int]) -> Any:
        """Second fidelity of several candidates as one (`Scorer.qat_many`)."""
        return self.scorer.qat_many(configs, seeds)

    def qat_short(self, config: CompressionConfig, seed: int, share: float, start: Any = None) -> Any:
        """A share of the second fidelity (`Scorer.qat_short`)."""
        return self.scorer.qat_short(config, seed, share, start)

    def qat_watched(
        self, config: CompressionConfig, seed: int, shares: Sequence[float], stop: Callable[[float, Any], bool]
    ) -> Any:
        """Second fidelity, which may end early (`Scorer.qat_watched`)."""
        return self.scorer.qat_watched(config, seed, shares, stop)

    def factory(self) -> ScorerFactory:
        """What makes the scorer in another process; the float model is trained or read here first."""
        from search.executors.factory import ScorerFactory

        _ = self.scorer
        return ScorerFactory(
            model=self.spec.model,
            model_options=self.model_options,
            data=self.spec.data,
            data_options=self.data_options,
            weights=CarriedState.of(self.float_model),
            settings=self.spec.qat_settings,
            device=None if self.device is None else self.device.partition(":")[0],
        )

    def rebuild(self, result: Result) -> Any:
        """The finetuned model of a result, from its weights.

        Raises:
            ConfigError: they are missing, damaged, or not those of the ledger.
        """
        path = inside(self.folder, result.checkpoint)
        model = self._untrained(CompressionConfig.from_dict(result.config))
        compress.load_weights(path, model)
        if result.checkpoint_hash and read_hash(path) != result.checkpoint_hash:
            raise ConfigError(
                f"{path}: holds other weights than those of candidate {result.number}. Delete it: "
                f"hwmodel resume {self.folder} finetunes it again."
            )
        return model.eval()

    def as_model(self, config: CompressionConfig, found: Any) -> Any:
        """The finetuned module of an outcome: itself, or made from the state that a worker has sent."""
        if not isinstance(found, CarriedState):
            return found
        model = self._untrained(config)
        found.load_into(model)
        return model.eval()

    def _untrained(self, config: CompressionConfig) -> Any:
        return compress.apply(self.float_model, config, seed=0)

    def _new_model(self) -> Any:
        return load_model(self.spec.model, **self.model_options)


def counted(score: Any) -> Accuracy:
    """An accuracy of the scorer, a count of a total: it measures no metric here (`Materials.data`).

    Raises:
        ConfigError: it did.
    """
    if not (hasattr(score, "correct") and hasattr(score, "total")):
        raise ConfigError(f"a search from a file compares accuracies, but got {score}")
    return Accuracy(correct=int(score.correct), total=int(score.total))


def read_float_accuracy(folder: Path) -> Accuracy | None:
    """Validation accuracy of the float model of a run, or None before it is known.

    Raises:
        ConfigError: the record is damaged.
    """
    path = folder / FLOAT_RECORD
    if not path.exists():
        return None
    record = _float_record(path)
    try:
        return read_record(Accuracy, {"correct": record["correct"], "total": record["total"]})
    except (KeyError, ConfigError) as error:
        raise ConfigError(f"{path}: is damaged: {error}. hwmodel resume {folder} measures it again.") from error


def _float_record(path: Path) -> dict[str, Any]:
    """The record; empty where there is none.

    Raises:
        ConfigError: it is damaged or was changed.
    """
    if not path.exists():
        return {}
    text = path.read_bytes().replace(b"\n", b" ")
    return parse_line(text, str(path), f"hwmodel resume {path.parent} measures it again.")[0]


def _short(model: str) -> str:
    """`net.py:build` of `/some/where/net.py:build`."""
    return model.replace("\\", "/").rsplit("/", 1)[-1]


def _times(shape: Any) -> str:
    return "×".join(str(bound) for bound in shape)
