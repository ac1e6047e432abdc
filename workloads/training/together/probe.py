"""The first step, on copies: does a stack compute what its models do, what does it keep, how long does it take."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workloads.training.together.stack import Stack
from workloads.training.together.step import Batch, Batches, Task, loss_alone, losses_of

#: How torch begins to say that an op has no rule for a candidate dim, and runs candidate by candidate.
SLOW = "There is a performance drop"
#: Of a loss: float noise moves values across the borders of coarse grids, another structure moves it further.
AGREE = 0.02
#: Sizes tried grow twofold while a candidate's share of the time falls by this factor at least.
GAIN = 0.95
TIMED_STEPS = 2
#: Without a measurement.
USUAL = 16
#: A measurement may take this share of the steps that it is for.
SHARE = 0.1
#: What is left to the rest of the machine and to what a step needs beside what it keeps.
MARGIN = 0.4


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the first step of a stack showed.

    Attributes:
        unused: parameters that no gradient reaches.
        apart: number of a candidate -> why it does not train in this stack.
    """

    unused: frozenset[str]
    apart: dict[int, str]


def look(models: Sequence[nn.Module], task: Task) -> Seen:
    """Run the first step of models as one and each alone, changing nothing."""
    numbers = range(len(models))
    try:
        stack = Stack(models)
        batch = next(Batches(task).epoch())
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=SLOW)
            losses, _ = losses_of(stack, batch, task, _copied(stack))
        found = torch.autograd.grad(losses.sum(), list(stack.leaves.values()), allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a forward pass of the user's may raise anything
        why = f"its forward pass does not run for many at once: {_line(error)}"
        return Seen(unused=frozenset(), apart=dict.fromkeys(numbers, why))
    unused = frozenset(name for name, grad in zip(stack.leaves, found, strict=True) if grad is None)
    apart: dict[int, str] = {}
    for index, (model, loss) in enumerate(zip(models, losses.tolist(), strict=True)):
        alone = _loss_alone(model, batch, task, index)
        if not abs(loss - alone) <= AGREE * max(1.0, abs(alone)) and torch.isfinite(torch.tensor(alone)):
            apart[index] = f"its first loss would be {loss:.4g} among many, but is {alone:.4g}"
    return Seen(unused=unused, apart=apart)


@torch.no_grad()
def _loss_alone(model: nn.Module, batch: Batch, task: Task, index: int) -> float:
    model.train()
    state: dict[str, Tensor] = dict(model.named_parameters())
    state |= {name: buffer.clone() for name, buffer in model.named_buffers()}
    return float(loss_alone(model, state, batch, index, task))


def _copied(stack: Stack) -> dict[str, Tensor]:
    """The tensors of a stack, of which a forward pass may change the copies of the buffers."""
    return {**stack.leaves, **{name: value.clone() for name, value in stack.held.items()}}


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"


def fitting_size(models: Sequence[nn.Module], task: Task) -> int:
    """How many of these models to train at once: as many as pay, and as fit the memory.

    A short run takes `USUAL` without measuring: its own steps would be as few as those measured.

    Args:
        models: that train as one.
        task: with a setting for each.
    """
    room = _room(task.feed.x.device)
    needed = _bytes_of_one(models[0], task.part([0]))
    most = max(1, min(len(models), int(room // max(1, needed))))
    steps = task.common.epochs * task.feed.num_steps(task.common.batch_size)
    measured = (TIMED_STEPS + 1) * 2 * most
    if measured > SHARE * steps * len(models):
        return min(USUAL, most)
    best, size, shortest = 1, 1, float("inf")
    while size <= most:
        share = _seconds(models[:size], task.part(range(size))) / size
        if share > GAIN * shortest:
            break
        best, shortest, size = size, share, 2 * size
    return best


def _seconds(models: Sequence[nn.Module], task: Task) -> float:
    """Of one step, the fastest of a few."""
    stack = Stack(models)
    batch = next(Batches(task).epoch())
    times = []
    for _ in range(TIMED_STEPS + 1):
        _wait(task.feed.x.device)
        began = time.perf_counter()
        _pass(stack, batch, task)
        _wait(task.feed.x.device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def _pass(stack: Stack, batch: Batch, task: Task) -> None:
    losses, _ = losses_of(stack, batch, task, _copied(stack))
    torch.autograd.grad(losses.sum(), list(stack.leaves.values()), allow_unused=True)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _bytes_of_one(model: nn.Module, task: Task) -> int:
    """What a step of one candidate keeps: for its backward pass, parameters, gradients, momentum [byte]."""
    stack = Stack([model])
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _pass(stack, next(Batches(task).epoch()), task)
    copies = 4 + (task.common.optimizer == "adam") + (task.common.ema_decay > 0)
    return sum(sizes.values()) + copies * stack.trained.nbytes


def _room(device: torch.device) -> float:
    """Memory that a stack may take [byte]; unknown is no bound."""
    if device.type == "cuda":
        return MARGIN * torch.cuda.mem_get_info(device)[0]
    return MARGIN * available_memory()


def available_memory() -> float:
    """Memory of the machine that is free or can be freed [byte]; infinite where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(1024.0 * int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return float("inf")
