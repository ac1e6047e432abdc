"""Widths that an accelerator has no arithmetic for: said in a note of the cost, or refused."""

from __future__ import annotations

from collections.abc import Iterable

from hwmodel.chip.accelerator import Accelerator
from hwmodel.chip.precision import WidthNote
from hwmodel.errors import PrecisionError
from hwmodel.nest.task import Task
from hwmodel.network.layer import Layer
from hwmodel.price.gpu import format_note


def bits_note(task: Task) -> WidthNote | None:
    """What is priced where the arithmetic does not run at the widths of a task; None where it does."""
    accelerator, widths = task.accelerator, task.widths
    if accelerator.roofline is not None:
        return format_note(widths, accelerator.roofline)
    return accelerator.precision.note(widths.w, widths.i) if accelerator.kind == "spatial" else None


def spoken_bits_note(task: Task) -> str:
    """The note with its subject, and how to refuse such widths; "" where there is none."""
    note, name = bits_note(task), task.accelerator.name
    if note is None:
        return ""
    return f"{name!r} has {note}. --strict-bits to refuse." if note.lacks else f"{name}: {note}"


def check_bits(layers: Iterable[Layer], accelerator: Accelerator) -> None:
    """Raise unless the accelerator has arithmetic of the very widths of every layer.

    Raises:
        PrecisionError: names the first layer that has none, what it would be priced as, and the widths there are.
    """
    for layer in layers:
        task = Task.of(layer, accelerator)
        note = bits_note(task)
        if note is not None:
            raise PrecisionError(
                f"layer {layer.name!r} at {task.widths.w}/{task.widths.i} bit on {accelerator.name!r}: {note}. "
                f"Strict bits refuse that: {_offer(accelerator)}, or leave out --strict-bits (strict_bits=True)."
            )


def _offer(accelerator: Accelerator) -> str:
    """Which widths to choose."""
    if accelerator.roofline is not None:
        widths = sorted({fmt.bits for fmt in accelerator.roofline.formats})
        return f"give W and I the same width of {', '.join(map(str, widths))} bit"
    precision = accelerator.precision
    w, i = precision.widths("W"), precision.widths("I")
    return f"choose W of {_spoken(w)} bit and I of {_spoken(i)} bit"


def _spoken(widths: tuple[int, ...]) -> str:
    if len(widths) > 2 and widths == tuple(range(widths[0], widths[-1] + 1)):
        return f"{widths[0]} to {widths[-1]}"
    return " or ".join(map(str, widths))
