"""What may happen beside the training itself: pruning, penalties, projections."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TrainHook:
    """Called by `finetune` at fixed places; every method may be left as it is.

    A hook keeps its state in itself or in the model's buffers. With several, each place calls them in
    order.
    """

    def before_epoch(self, model: nn.Module, epoch: int) -> None:
        """Before an epoch, counted from 1; the model is on the device of the training."""

    def extra_loss(self, model: nn.Module) -> Tensor | None:
        """A term added to the loss of every step, 0-dim with gradients; None adds nothing."""

    def after_step(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """After the optimizer's step; the learning rate is `optimizer.param_groups[0]["lr"]`."""

    def after_training(self, model: nn.Module) -> None:
        """After the last epoch."""
