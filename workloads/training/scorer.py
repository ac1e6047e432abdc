"""`Scorer`: what a configuration is worth on this model and this data."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from workloads.compress.calibration import calibrate, reestimate_norms
from workloads.compress.config import CompressionConfig
from workloads.compress.transform import apply
from workloads.training.accuracy import Accuracy
from workloads.training.device import select_device
from workloads.training.inputs import DataLike
from workloads.training.loop import finetune
from workloads.training.measuring import measure_accuracy
from workloads.training.records import Progress
from workloads.training.settings import TrainSettings

CALIBRATION_IMAGES = 256


class Scorer:
    """Scores configurations on the validation split; the test split is touched by `test` alone.

    It keeps a copy of the float model, which no score changes.

    Args:
        model: the trained float model.
        data: train, validation and test splits.
        train: settings of the finetuning in `qat`.
        device: None is CUDA where there is one, else the CPU.
        calibration_images: drawn from the training split with a fixed seed.
    """

    def __init__(
        self,
        model: nn.Module,
        data: DataLike,
        train: TrainSettings,
        device: str | torch.device | None = None,
        *,
        calibration_images: int = CALIBRATION_IMAGES,
    ) -> None:
        self.device = select_device(device)
        self.settings = train
        self.data = data
        self._model = copy.deepcopy(model).to(self.device).eval()
        self._float: Accuracy | None = None
        images = torch.as_tensor(data.train.x)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        self._calibration: Tensor = images[order[:calibration_images]].to(self.device)

    def float_accuracy(self) -> Accuracy:
        """Of the float model on the validation split; measured once."""
        if self._float is None:
            self._float = measure_accuracy(self._model, self.data.validation)
        return self._float

    def compressed(self, config: CompressionConfig) -> nn.Module:
        """The float model under a configuration, calibrated, its norms re-estimated, not trained; in eval mode.

        Raises:
            ConfigError: the configuration does not fit the model.
        """
        model = apply(self._model, config, seed=0)
        calibrate(model, self._calibration)
        reestimate_norms(model, self._calibration)
        return model

    def ptq(self, config: CompressionConfig) -> Accuracy:
        """Validation accuracy without training."""
        return measure_accuracy(self.compressed(config), self.data.validation)

    def qat(
        self, config: CompressionConfig, seed: int = 0, progress: Progress | None = None
    ) -> tuple[Accuracy, nn.Module]:
        """Validation accuracy after finetuning, and the finetuned model (eval mode).

        Args:
            config: the candidate.
            seed: replaces the one of the settings.
            progress: called after every epoch.

        Raises:
            ConfigError: the configuration does not fit the model, or training diverged.
        """
        model = self.compressed(config)
        settings = replace(self.settings, seed=seed)
        teacher = self._model if settings.distill_weight > 0 else None
        finetune(model, self.data.train, settings, teacher=teacher, device=self.device, progress=progress)
        return measure_accuracy(model, self.data.validation), model

    def validation(self, model: nn.Module) -> Accuracy:
        """Of any model on the validation split."""
        return measure_accuracy(model, self.data.validation, self.device)

    def test(self, model: nn.Module) -> Accuracy:
        """Of any model on the test split: once, at the end."""
        return measure_accuracy(model, self.data.test, self.device)
