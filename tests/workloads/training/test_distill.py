"""Distillation against the equations of Hinton et al., 2015, and inside quantization-aware training."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import Split, quadrant_data, quadrant_net
from workloads.compress import CompressionConfig, apply, calibrate
from workloads.rewrite import to_separable
from workloads.training import TrainSettings, distillation_loss, finetune, measure_accuracy

SETTINGS = TrainSettings(epochs=6, lr=0.1, batch_size=32)


def scores(*shape, seed=0):
    return 3 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=30)
@given(st.floats(0.5, 20), st.floats(0, 1), st.integers(2, 5), st.integers(0, 99))
def test_the_loss_element_by_element(temperature, alpha, classes, seed):
    """Equation 1 with exp and log in plain Python."""
    student, teacher, labels = scores(3, classes, seed=seed), scores(3, classes, seed=seed + 1), [0, 1, classes - 1]

    def softmax(row, warm):
        powers = [math.exp(value / warm) for value in row]
        return [power / sum(powers) for power in powers]

    expected = 0.0
    for row, target, label in zip(student.tolist(), teacher.tolist(), labels, strict=True):
        q, p = softmax(row, temperature), softmax(target, temperature)
        soft = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        hard = -math.log(softmax(row, 1.0)[label])
        expected += ((1 - alpha) * hard + alpha * temperature**2 * soft) / 3
    loss = distillation_loss(student, teacher, torch.tensor(labels), temperature, alpha)
    assert float(loss) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_gradient_of_the_soft_part():
    """Equation 2: dC/dz_i = (q_i - p_i) / T, here times T^2 and averaged over the samples."""
    student, teacher, warm = scores(4, 5).requires_grad_(), scores(4, 5, seed=1), 3.0
    distillation_loss(student, teacher, torch.zeros(4, dtype=torch.int64), warm, 1.0).backward()
    expected = warm * (torch.softmax(student / warm, 1) - torch.softmax(teacher / warm, 1)) / 4
    torch.testing.assert_close(student.grad, expected)


def test_at_a_high_temperature_logits_are_matched():
    """Equation 4: for zero-mean logits and large T the gradient is (z_i - v_i) / N, here times T^2/T^2."""
    student, teacher = (scores(1, 6, seed=s) - scores(1, 6, seed=s).mean() for s in (0, 1))
    student.requires_grad_()
    distillation_loss(student, teacher, torch.zeros(1, dtype=torch.int64), 1e6, 1.0).backward()
    torch.testing.assert_close(student.grad, (student - teacher).detach() / 6, rtol=1e-3, atol=1e-4)


def test_the_extremes():
    student, labels = scores(4, 3), torch.tensor([0, 1, 2, 0])
    same = distillation_loss(student, student, labels, 2.0, 1.0)
    assert float(same) == pytest.approx(0, abs=1e-12)
    hard = distillation_loss(student, scores(4, 3, seed=5), labels, 2.0, 0.0, label_smoothing=0.1)
    torch.testing.assert_close(hard, nn.functional.cross_entropy(student, labels, label_smoothing=0.1))


def test_sequences_and_the_teacher_without_gradient():
    student, teacher = scores(2, 4, 3), scores(2, 4, 3, seed=1).requires_grad_()
    labels = torch.zeros(2, 4, dtype=torch.int64)
    flat = distillation_loss(student.flatten(0, 1), teacher.flatten(0, 1), labels.flatten())
    loss = distillation_loss(student.requires_grad_(), teacher, labels)
    torch.testing.assert_close(loss, flat)
    loss.backward()
    assert teacher.grad is None


def test_arguments_that_do_not_fit():
    student, labels = scores(2, 3), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ConfigError, match=r"\(2, 3\) and \(2, 4\)\. Both must know the same classes"):
        distillation_loss(student, scores(2, 4), labels)
    with pytest.raises(ConfigError, match="`temperature > 0` must hold"):
        distillation_loss(student, student, labels, 0.0)
    with pytest.raises(ConfigError, match="`0 <= alpha <= 1` must hold"):
        distillation_loss(student, student, labels, 1.0, 2.0)


def test_any_function_teaches_a_smaller_quantized_student():
    """Separable, pruned, 4 bits, and every label wrong: what it learns, it learns from the teacher."""
    data = quadrant_data()
    teacher = quadrant_net()
    finetune(teacher, data.train, SETTINGS, device="cpu")
    calls = []

    def ensemble(x):
        calls.append(len(x))
        return (teacher(x) + teacher(x)) / 2

    small, _ = to_separable(quadrant_net(seed=1), data.train.x[:1], init="random")
    names = ("conv.depthwise", "conv.pointwise", "fc")
    student = apply(small, CompressionConfig.from_bits(dict.fromkeys(names, 4), a_bits=8, density=0.5))
    calibrate(student, data.train.x[:64])
    wrong = Split(data.train.x, (data.train.y + 1) % 4)
    finetune(student, wrong, replace(SETTINGS, distill_weight=1.0, epochs=12), teacher=ensemble, device="cpu")
    assert calls
    assert measure_accuracy(student, data.validation).value > 0.85
    assert student.conv.pointwise.mask.double().mean() == 0.5


def test_a_teacher_is_in_eval_mode_and_comes_back_as_it_was():
    """Dropout would give other scores every time, a batch norm would learn from the student's batches."""
    data = quadrant_data(num_train=32)
    modes = []

    class Moody(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.BatchNorm2d(data.train.x.shape[1]), quadrant_net(), nn.Dropout(0.5))
            self.net[0].eval()

        def forward(self, x):
            modes.extend(module.training for module in self.modules())
            return self.net(x)

    teacher = Moody()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    wanted = [module.training for module in teacher.modules()]
    assert True in wanted and False in wanted
    finetune(quadrant_net(seed=1), data.train, replace(SETTINGS, distill_weight=0.5), teacher=teacher, device="cpu")
    assert modes and not any(modes)
    assert [module.training for module in teacher.modules()] == wanted
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_a_teacher_that_gives_no_scores():
    data = quadrant_data(num_train=32)
    with pytest.raises(ConfigError, match="a teacher must give a tensor of scores, but gave tuple"):
        finetune(
            quadrant_net(), data.train, replace(SETTINGS, distill_weight=0.5), teacher=lambda x: (x,), device="cpu"
        )
