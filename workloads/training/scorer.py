"""`Scorer`: what a configuration is worth on this model and this data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from hwmodel.errors import ConfigError
from workloads.compress.calibration import calibrate, reestimate_norms
from workloads.compress.config import CompressionConfig
from workloads.compress.transform import apply
from workloads.storage.weights import CarriedState
from workloads.training.accuracy import Accuracy
from workloads.training.device import select_device
from workloads.training.growing import Hits, IsEnough, growing_hits, num_countable
from workloads.training.inputs import DataLike, SplitSource, drawn_inputs
from workloads.training.loop import finetune
from workloads.training.measuring import Metric, MetricValue, measure
from workloads.training.records import EpochRecord, Progress
from workloads.training.run import Loss
from workloads.training.scored import Scored
from workloads.training.settings import TrainSettings
from workloads.training.step.layout import laid_out
from workloads.training.together.many import AUTO, Sizes, Trained, check_batch, finetune_many
from workloads.training.together.train import ProgressOfMany

CALIBRATION_IMAGES = 256


class _StoppedError(Exception):
    """Ends a finetuning that is watched."""

    def __init__(self, score: Accuracy | MetricValue) -> None:
        self.score = score


class Scorer:
    """Scores configurations on the validation split; the test split is touched by `test` alone.

    It keeps a copy of the float model, which no score changes.

    Args:
        model: the trained float model.
        data: train, validation and test splits.
        train: settings of the finetuning in `qat`; its `memory_format` is that of every score.
        device: None is CUDA where there is one, else the CPU.
        loss, metric: as for `finetune`; None are those of the data set, if it names any. A metric is a share like
            accuracy: 1 is perfect; below 0 a score counts as 0.
        calibration_images: drawn from the training split with a fixed seed; of a stream, its first.
        batch: how many candidates `qat_many` trains as one at most; `auto` measures how many pay.

    Attributes:
        trained: how each candidate of the last `qat_many` was trained, in order; None where it did not begin.
    """

    def __init__(
        self,
        model: nn.Module,
        data: DataLike,
        train: TrainSettings,
        device: str | torch.device | None = None,
        *,
        loss: Loss | None = None,
        metric: Metric | None = None,
        calibration_images: int = CALIBRATION_IMAGES,
        batch: int | str = AUTO,
    ) -> None:
        check_batch(batch)
        self.batch = batch
        self.trained: tuple[Trained | None, ...] = ()
        self._sizes = Sizes()
        self.loss: Loss | None = loss or getattr(data, "loss", None)
        self.metric: Metric | None = metric or getattr(data, "metric", None)
        self.device = select_device(device)
        self.settings = train
        self.data = data
        self._model = copy.deepcopy(model).to(self.device).eval()
        self._float: Accuracy | MetricValue | None = None
        drawn = drawn_inputs(data.train, calibration_images).to(self.device)
        self._calibration = laid_out(drawn, train.memory_format)

    def float_accuracy(self) -> Accuracy | MetricValue:
        """Of the float model on the validation split; measured once."""
        if self._float is None:
            self._float = self.validation(self._model)
        return self._float

    def compressed(self, config: CompressionConfig) -> nn.Module:
        """The float model under a configuration, calibrated, its norms re-estimated, not trained; in eval mode.

        Raises:
            ConfigError: the configuration does not fit the model.
        """
        return self._compressed(self._model, config)

    def _compressed(self, start: nn.Module, config: CompressionConfig) -> nn.Module:
        model = apply(start, config, seed=0)
        calibrate(model, self._calibration, weights=False)
        reestimate_norms(model, self._calibration)
        return model

    def ptq(self, config: CompressionConfig) -> Scored:
        """Validation accuracy without training, and the compressed model (eval mode).

        Raises:
            ConfigError: the configuration does not fit the model.
        """
        return self._scored(self.compressed(config))

    def num_images(self) -> int:
        """Validation images that `ptq_hits` counts one by one; 0 for a metric, a stream, or targets per token."""
        return num_countable(self.data.validation) if self.metric is None else 0

    def ptq_hits(self, config: CompressionConfig, is_enough: IsEnough) -> Hits:
        """Which validation images are right without training, in a fixed order, until `is_enough`. Shape (n,).

        Raises:
            ConfigError: the configuration does not fit the model, or answers cannot be counted one by one.
        """
        return growing_hits(
            self.compressed(config), self.data.validation, is_enough, self.device,
            memory_format=self.settings.memory_format,
        )  # fmt: skip

    def qat(self, config: CompressionConfig, seed: int = 0, progress: Progress | None = None) -> Scored:
        """Validation accuracy after finetuning, and the finetuned model (eval mode).

        Args:
            config: the candidate.
            seed: replaces the one of the settings.
            progress: called after every epoch.

        Raises:
            ConfigError: the configuration does not fit the model, or training diverged.
        """
        return self._finetuned(self.compressed(config), replace(self.settings, seed=seed), progress)

    def qat_short(
        self, config: CompressionConfig, seed: int, share: float, start: CarriedState | None = None
    ) -> Scored:
        """`qat` in a share of the epochs, on the same schedule (`TrainSettings.shortened`).

        Args:
            config: the candidate.
            seed: replaces the one of the settings.
            share: of the epochs, in (0, 1]; one epoch at least.
            start: weights of a finetuned candidate, under whatever configuration; None starts from the float model.

        Raises:
            ConfigError: as `qat`, or the weights are of another model.
        """
        settings = replace(self.settings, seed=seed).shortened(share)
        model = self._compressed(self._model if start is None else self._started(start), config)
        return self._finetuned(model, settings, None)

    def qat_watched(
        self, config: CompressionConfig, seed: int, shares: Sequence[float], stop: Callable[[float, Any], bool]
    ) -> Scored:
        """`qat`, looked at on its way: the same result to the last bit, unless it is ended early.

        Args:
            config: the candidate.
            seed: replaces the one of the settings.
            shares: of the epochs, after which the validation split is measured; of the last epoch nothing is asked.
            stop: (share, validation accuracy) -> the run ends here, and this accuracy is its answer.

        Raises:
            ConfigError: as `qat`.
        """
        settings, model = replace(self.settings, seed=seed), self.compressed(config)
        looks = {max(1, round(settings.epochs * share)): share for share in shares}

        def look(record: EpochRecord) -> None:
            share = looks.get(record.epoch)
            if (
                share is not None
                and record.epoch < settings.epochs
                and stop(share, score := self.validation(model))
            ):
                raise _StoppedError(score)

        try:
            return self._finetuned(model, settings, look)
        except _StoppedError as stopped:
            return Scored(stopped.score, model.eval())

    def _started(self, start: CarriedState) -> nn.Module:
        """The float model with the weights of a finetuned candidate, without what only compressed models have."""
        model = copy.deepcopy(self._model)
        state, own = start.state_dict(), model.state_dict()
        missing = [name for name, value in own.items() if name not in state or state[name].shape != value.shape]
        if missing:
            raise ConfigError(f"start: must hold the weights of this model, but {missing[0]!r} is none of it.")
        model.load_state_dict({name: state[name] for name in own})
        return model

    def _finetuned(self, model: nn.Module, settings: TrainSettings, progress: Progress | None) -> Scored:
        teacher = self._model if settings.distill_weight > 0 else None
        finetune(
            model, self.data.train, settings, loss=self.loss, teacher=teacher, device=self.device, progress=progress
        )
        return self._scored(model)

    def qat_many(
        self,
        configs: Sequence[CompressionConfig],
        seeds: Sequence[int],
        *,
        rates: Sequence[float] | None = None,
        progress: ProgressOfMany | None = None,
    ) -> list[Scored | ConfigError]:
        """`qat` of many candidates, which train as one where their structures allow.

        Up to rounding a candidate gets what `qat` gives it, whoever else is there. `trained` says how each trained.

        Args:
            configs: the candidates.
            seeds: one for each; with `data_seed` in the settings all see the same batches.
            rates: learning rate of each in the place of the settings'.
            progress: called after every epoch with the candidate's number and its record.

        Returns:
            In order: what `qat` returns, or in its place the error that it would raise.

        Raises:
            ConfigError: not one seed, or rate, for each configuration.
        """
        settings = [replace(self.settings, seed=seed) for seed in seeds]
        if rates is not None and len(rates) == len(seeds):
            settings = [replace(own, lr=rate) for own, rate in zip(settings, rates, strict=True)]
        if len(configs) != len(seeds) or (rates is not None and len(rates) != len(seeds)):
            raise ConfigError(
                f"each of {len(configs)} configurations must have a seed (and a rate, where rates are given), but "
                f"got {len(seeds)} seeds" + ("" if rates is None else f" and {len(rates)} rates")
            )
        found: list[nn.Module | ConfigError] = [self._compressed_or_error(config) for config in configs]
        begun = [index for index, model in enumerate(found) if isinstance(model, nn.Module)]
        trained = finetune_many(
            [model for model in found if isinstance(model, nn.Module)],
            self.data.train,
            [settings[index] for index in begun],
            loss=self.loss,
            teacher=self._model if self.settings.distill_weight > 0 else None,
            device=self.device,
            progress=None if progress is None else lambda place, record: progress(begun[place], record),
            batch=self.batch,
            sizes=self._sizes,
        )
        how = dict(zip(begun, trained, strict=True))
        self.trained = tuple(how.get(index) for index in range(len(configs)))
        return [self._outcome(model, how.get(index)) for index, model in enumerate(found)]

    def _compressed_or_error(self, config: CompressionConfig) -> nn.Module | ConfigError:
        try:
            return self.compressed(config)
        except ConfigError as error:
            return error

    def _outcome(self, model: nn.Module | ConfigError, how: Trained | None) -> Scored | ConfigError:
        if isinstance(model, ConfigError):
            return model
        if how is not None and how.error is not None:
            return how.error
        return self._scored(model)

    def _scored(self, model: nn.Module) -> Scored:
        return Scored(self.validation(model), model)

    def validation(self, model: nn.Module) -> Accuracy | MetricValue:
        """Of any model on the validation split."""
        return self._measured(model, self.data.validation)

    def test(self, model: nn.Module) -> Accuracy | MetricValue:
        """Of any model on the test split: once, at the end."""
        return self._measured(model, self.data.test)

    def _measured(self, model: nn.Module, split: SplitSource) -> Accuracy | MetricValue:
        score = measure(model, split, self.device, self.metric, memory_format=self.settings.memory_format)
        if isinstance(score, Accuracy):
            return score
        if score.value > 1:
            raise ConfigError(
                f"metric {score.name} must be a share of which 1 is perfect, as r2 is, but gave {score.value:.4g}. "
                "Turn an error into one: 1 - error / error of the mean."
            )
        return replace(score, value=max(0.0, score.value))
