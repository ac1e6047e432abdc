"""A student that learns from a teacher's outputs.

Source: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, arXiv:1503.02531, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from hwmodel.errors import ConfigError

#: Inputs -> scores: a module of any architecture, or a function (an ensemble, a table of stored scores).
Teacher = Callable[[Tensor], Tensor]


def distillation_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    temperature: float = 4.0,
    alpha: float = 0.5,
    *,
    label_smoothing: float = 0.0,
) -> Tensor:
    """(1 - alpha) CE(labels, student) + alpha T^2 KL(softmax(teacher/T) || softmax(student/T)), mean over samples.

    KL differs from the paper's cross-entropy with soft targets by the teacher's entropy, a constant: the
    gradients are the same, and the loss is 0 where the student agrees. T^2 keeps the gradient of the soft
    part, which scales as 1/T^2, comparable.

    Args:
        student, teacher: scores before the softmax, (..., classes); every leading position counts alike. No
            gradient reaches the teacher.
        labels: classes (...).
        temperature: T > 0.
        alpha: share of the teacher, 0..1.
        label_smoothing: of the part with the labels.

    Returns:
        0-dim.

    Raises:
        ConfigError: scores of other shapes, or a value out of its range.
    """
    hard = functional.cross_entropy(student.flatten(0, -2), labels.flatten(), label_smoothing=label_smoothing)
    return with_soft_targets(hard, student, teacher, temperature, alpha)


def with_soft_targets(
    hard: Tensor, student: Tensor, teacher: Tensor, temperature: float = 4.0, alpha: float = 0.5
) -> Tensor:
    """`distillation_loss` with any loss of the labels, 0-dim, in the place of the cross-entropy.

    Raises:
        ConfigError: scores of other shapes, or a value out of its range.
    """
    if student.shape != teacher.shape:
        raise ConfigError(
            f"the scores of student and teacher must have one shape, but have {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}. Both must know the same classes."
        )
    if not 0 < temperature < math.inf:
        raise ConfigError(f"`temperature > 0` must hold, but got temperature={temperature!r}")
    if not 0 <= alpha <= 1:
        raise ConfigError(f"`0 <= alpha <= 1` must hold, but got alpha={alpha!r}")
    scores, targets = student.flatten(0, -2), teacher.detach().flatten(0, -2)
    soft = functional.kl_div(
        functional.log_softmax(scores / temperature, -1),
        functional.log_softmax(targets / temperature, -1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - alpha) * hard + alpha * temperature**2 * soft


@torch.no_grad()
def soft_targets(teacher: Teacher, inputs: Tensor) -> Tensor:
    """The teacher's scores, without gradient.

    Raises:
        ConfigError: it gives something else than a tensor.
    """
    scores = teacher(inputs)
    if not isinstance(scores, Tensor):
        raise ConfigError(f"a teacher must give a tensor of scores, but gave {type(scores).__name__}. Wrap it.")
    return scores
