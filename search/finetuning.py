"""Back to training: rebuild the model of a `best.yaml`, check that it is what was measured, train it further."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodel.deprecated import old_keywords
from hwmodel.errors import ConfigError
from search.choosing import refuse_unfinished
from search.front.results import Result
from search.observer import Observer, as_observer
from search.outputs import BEST
from workloads import compress, load_data, load_model, training
from workloads.compress.config_file import ConfigFile, MadeWith, check_model, read_config
from workloads.training.accuracy import Accuracy
from workloads.training.settings import TrainSettings

if TYPE_CHECKING:
    from torch import nn

    from workloads.training import EpochRecord, TrainResult


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """What a finetuning did.

    Attributes:
        model: the trained `nn.Module`, in eval mode.
        output: the `.safetensors` that was written.
        before, after: on the validation split.
        test: of the trained model on the test split.
        recorded: validation accuracy in the configuration file; None where it records none.
        reproduced: `before` equals `recorded` to the last image; None where nothing is recorded.
        epochs: trained.
        wall_s: of the training [s].
        device: where it ran.
        training: its history.
        curves: the history as CSV, beside the output.
    """

    model: Any
    output: Path
    before: Accuracy
    after: Accuracy
    test: Accuracy
    recorded: Accuracy | None
    reproduced: bool | None
    epochs: int
    wall_s: float
    device: str
    training: TrainResult
    curves: Path


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """The models of a configuration file.

    Attributes:
        file: what it holds.
        model: the float `nn.Module` with initial weights.
        compressed: under the configuration, with the weights of the checkpoint, in eval mode.
        data: that it was searched on.
    """

    file: ConfigFile
    model: Any
    compressed: Any
    data: Any


def rebuild(config_path: str | Path, checkpoint: str | Path | None = None) -> Rebuilt:
    """The compressed model of a file, as it was measured.

    Args:
        config_path: `best.yaml` of a run; it says which model and data it was made with.
        checkpoint: its weights; None takes those that the file names, beside it.

    Raises:
        ConfigError: the file does not say how it was made, is of another model, or a file is missing or no
            `.safetensors`.
    """
    path = Path(config_path)
    refuse_unfinished(path)
    file = read_config(path)
    model, data = _model_and_data(file, path)
    compressed = compress.apply(model, file.config, seed=0).eval()
    compress.load_weights(_checkpoint(file, path, checkpoint), compressed)
    return Rebuilt(file=file, model=model, compressed=compressed, data=data)


def load_best(path: str | Path, checkpoint: str | Path | None = None) -> nn.Module:
    """The compressed model that a search picked, with its weights, in eval mode: ready to run, train or export.

    Args:
        path: of a run, or of its `best.yaml` (or another configuration that says how it was made).
        checkpoint: its weights; None takes those that the file names, beside it.

    Raises:
        ConfigError: the file does not say how it was made, is of another model, or a file is missing or no
            `.safetensors`.

    Example:
        >>> model = load_best("runs/demo")  # doctest: +SKIP
    """
    found = Path(path)
    compressed: nn.Module = rebuild(found / BEST if found.is_dir() else found, checkpoint).compressed
    return compressed


def model_of(file: ConfigFile, path: str | Path) -> Any:
    """The float model of a file, with initial weights; None where the file does not name one.

    Raises:
        ConfigError: the model cannot be built.
    """
    made = file.provenance.model
    return None if made is None else load_model(made.name, **made.options)


@old_keywords(observer="progress")
def finetune_job(
    config_path: str | Path,
    checkpoint: str | Path | None = None,
    *,
    epochs: int | None = None,
    output: str | Path | None = None,
    seed: int | None = None,
    changes: Mapping[str, Any] | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    device: str | None = None,
    progress: Observer | Callable[[Result], object] | None = None,
) -> FinetuneResult:
    """Train the configuration of a file further.

    Args:
        config_path: `best.yaml` of a run; it says which model and data it was made with.
        checkpoint: weights to start from; None takes those that the file names, beside it.
        epochs: None trains as long as the search did per candidate; 0 only checks.
        output: None is `finetuned.safetensors` beside the file.
        seed: of shuffling; None is the one of the search.
        changes: other settings of the training, by the names of `TrainSettings`.
        checkpoint_every: epochs between two writes of the run's state (`state_path`), from which it can be
            resumed; None writes none.
        resume: go on from that state, with its settings; `changes` may then extend `epochs` only.
        device: None is CUDA where there is one, else the CPU.
        progress: an `Observer`: `batch_done` is called after each step, `epoch_done` and `step` after each epoch.

    Raises:
        ConfigError: the file does not say how it was made, is of another model, or a file is missing or no
            `.safetensors`.
    """
    path, watch = Path(config_path), as_observer(progress)
    target = path.parent / "finetuned.safetensors" if output is None else Path(output)
    if target.suffix != ".safetensors":
        raise ConfigError(f"{target}: must end in .safetensors.")
    rebuilt = rebuild(path, checkpoint)
    file, model, compressed, data = rebuilt.file, rebuilt.model, rebuilt.compressed, rebuilt.data
    state = state_path(target)
    past = training.read_state(state) if resume and state.exists() else None
    made = file.provenance.training if past is None else past["settings"]
    settings = _settings(made, {"epochs": epochs, "seed": seed, **(changes or {})})
    checkpoints = None
    if checkpoint_every is not None or resume:
        checkpoints = training.Checkpoints(path=state, every=checkpoint_every or 1, resume=resume)
    searched = TrainSettings.from_dict(file.provenance.training or {})
    before = training.measure_accuracy(
        compressed, data.validation, device, memory_format=searched.memory_format
    )  # as it was recorded
    recorded = _recorded(file) if checkpoint is None else None
    watch.stage_started("finetune", 0 if past is None else past["epoch"], settings.epochs)
    teacher = model if settings.distill_weight > 0 else None
    if teacher is not None:
        compress.load_weights(_beside(path, file.provenance.float_checkpoint, "float_checkpoint"), teacher)

    def epoch_done(record: EpochRecord) -> None:
        watch.epoch_done(record, settings.epochs)
        watch.step("finetune", record.epoch, settings.epochs)

    history = training.finetune(
        compressed,
        data.train,
        settings,
        validation=data.validation,
        loss=data.loss,
        teacher=teacher,
        device=device,
        progress=epoch_done,
        steps=lambda done, total: watch.batch_done("finetune", done, total),
        checkpoints=checkpoints,
    )
    after, test = (
        training.measure_accuracy(compressed, split, device, memory_format=settings.memory_format)
        for split in (data.validation, data.test)
    )
    notes = {
        "key": file.config.key,
        "validation": str(after),
        "test": str(test),
        "settings": json.dumps(settings.to_dict()),
        "device": training.device_text(training.select_device(device)),
        "wall_s": f"{history.wall_s:.1f}",
    }
    compress.save_weights(target, compressed, notes)
    return FinetuneResult(
        model=compressed,
        output=target,
        before=before,
        after=after,
        test=test,
        recorded=recorded,
        reproduced=None if recorded is None else before == recorded,
        epochs=settings.epochs,
        wall_s=history.wall_s,
        device=history.device,
        training=history,
        curves=history.write_csv(target.with_suffix(".csv")),
    )


def state_path(output: Path) -> Path:
    """Where the state of the run that writes `output` is kept."""
    return output.with_name(f"{output.stem}.state.safetensors")


def _model_and_data(file: ConfigFile, path: Path) -> tuple[Any, Any]:
    """The float model with initial weights, and the data set, as the file's provenance names them."""
    from workloads.tracing import trace_model

    made = _named(file.provenance.model, path, "model")
    model = load_model(made.name, **made.options)
    made = _named(file.provenance.data, path, "data")
    data = load_data(made.name, **made.options)
    check_model(file, trace_model(model, (data.example(),), name=file.model))
    return model, data


def _named(made: MadeWith | None, path: Path, key: str) -> MadeWith:
    """The model or the data; an error where the file does not name it."""
    if made is None:
        raise ConfigError(
            f"{path}: provenance.{key} is missing, so the {key} cannot be rebuilt. In Python: "
            "apply(model, read_config(path).config), then workloads.training.finetune."
        )
    return made


def _settings(base: Mapping[str, Any], changes: Mapping[str, Any]) -> TrainSettings:
    """Those of the search, or of the run that is resumed; a change that is None changes nothing."""
    made = dict(base)
    if changes.get("schedule") not in (None, made.get("schedule")):
        made.pop("milestones", None)
        made.pop("lr_floor", None)
    return TrainSettings.from_dict(made | {name: value for name, value in changes.items() if value is not None})


def _checkpoint(file: ConfigFile, path: Path, checkpoint: str | Path | None) -> Path:
    if checkpoint is not None:
        return Path(checkpoint)
    return _beside(path, file.provenance.checkpoint, "checkpoint")


def _beside(path: Path, name: str | None, key: str) -> Path:
    """A file named relative to the configuration."""
    if name is None:
        raise ConfigError(f"{path}: provenance.{key} is missing. Give the weights with --checkpoint.")
    found = path.parent / name
    if not found.exists():
        raise ConfigError(f"{path}: its weights {name} are not beside it. Give them with --checkpoint.")
    return found


def _recorded(file: ConfigFile) -> Accuracy | None:
    record = file.metrics.get("validation")
    if not isinstance(record, dict) or not record.get("total"):
        return None
    return Accuracy(correct=int(record["correct"]), total=int(record["total"]))
