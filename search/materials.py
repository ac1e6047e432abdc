"""What a job works with: data, model, graph, accelerator, space, and the scorer once the float model is trained."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodel import load_accelerator
from hwmodel.errors import ConfigError, TraceError
from hwmodel.files import write_atomic
from hwmodel.network.graph import LayerGraph
from search.observer import Observer
from search.space import Space
from search.spec import SearchSpec
from workloads import compress, load_data, load_model, model_names, training
from workloads.compress.config import CompressionConfig
from workloads.training.accuracy import Accuracy

if TYPE_CHECKING:
    from hwmodel.chip.accelerator import Accelerator
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
        return load_data(self.spec.data, **self.spec.data_options)

    @cached_property
    def model_options(self) -> dict[str, Any]:
        """Those of the specification, channels and classes of the data added where the model is built here."""
        implied: dict[str, Any] = {}
        shape, classes = self.data.input_shape, self.data.num_classes
        if self.spec.model in model_names():
            is_tokens = len(shape) == 1
            images = {"in_channels": shape[0], "num_classes": classes}
            implied = {"context": shape[0], "vocab": classes} if is_tokens else images
        elif self.spec.model.startswith("timm:"):
            implied = {"in_chans": shape[0], "num_classes": classes}
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
            return trace_model(model, (self.data.validation.x[:1],), name=_short(self.spec.model))
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
        return None if self.spec.accelerator is None else load_accelerator(self.spec.accelerator)

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
            "data_options": self.spec.data_options,
            "checkpoint": self.spec.checkpoint,
            "training": {
                "float": {} if self.spec.checkpoint else self.spec.float_settings.to_dict(),
                "qat": self.spec.qat_settings.to_dict(),
            },
        }

    @cached_property
    def scorer(self) -> Scorer:
        """Scores candidates of the float model, which is trained or read first."""
        scorer = training.Scorer(self.float_model, self.data, self.spec.qat_settings, self.device)
        accuracy = scorer.float_accuracy()
        record = {"correct": accuracy.correct, "total": accuracy.total, "checkpoint": FLOAT_WEIGHTS}
        write_atomic(self.folder / FLOAT_RECORD, json.dumps(record, indent=1) + "\n")
        return scorer

    @cached_property
    def float_model(self) -> Any:
        """The trained float model; its weights are in `checkpoints/float.safetensors`."""
        model, path = self._new_model(), self.folder / FLOAT_WEIGHTS
        if self.spec.checkpoint is not None:
            if path.exists():
                compress.load_weights(path, model)
            else:
                _read_checkpoint(self.spec.checkpoint, model)
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

    def qat(self, config: CompressionConfig, seed: int) -> Any:
        """Second fidelity."""
        return self.scorer.qat(config, seed)

    def rebuild(self, config: CompressionConfig, checkpoint: Path) -> Any:
        """A finetuned model of this run, from its weights."""
        model = compress.apply(self.float_model, config, seed=0)
        compress.load_weights(checkpoint, model)
        return model.eval()

    def _new_model(self) -> Any:
        return load_model(self.spec.model, **self.model_options)


def _read_checkpoint(path: str, model: Any) -> None:
    """Weights that the user brings: `.safetensors` of ours, or `.npz` arrays named like the parameters."""
    if path.endswith(".npz"):
        from workloads.models import load_pretrained_npz

        load_pretrained_npz(model, path)
    else:
        compress.load_weights(path, model)


def read_float_accuracy(folder: Path) -> Accuracy | None:
    """Validation accuracy of the float model of a run, or None before it is known.

    Raises:
        ConfigError: the record is damaged.
    """
    path = folder / FLOAT_RECORD
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return Accuracy(correct=record["correct"], total=record["total"])
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise ConfigError(f"{path}: is damaged: {error}. hwmodel resume {folder} measures it again.") from error


def _short(model: str) -> str:
    """`net.py:build` of `/some/where/net.py:build`."""
    return model.replace("\\", "/").rsplit("/", 1)[-1]


def _times(shape: Any) -> str:
    return "×".join(str(bound) for bound in shape)
