"""When a layer under a mapping ends: what each resource waits for, does, and is followed by.

It ends no sooner than every resource (the array; each port of each memory) lets it:

    cycles = max over resources of  head + busy + waiting + tail.

The lines of a chip are those of its buffers (`hwmodel.price.lines.buffered`); of a row-stationary one those that
were published for it (`hwmodel.price.lines.published`); of a machine driven by commands those of its tiles
(`hwmodel.price.commands.lines`). Engines fed by streams take at least their closed form
(`hwmodel.chip.timing.streamed`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hwmodel.price.commands.cycles import Phases
from hwmodel.price.commands.lines import command_lines, command_ports
from hwmodel.price.lines.buffered import BufferedLines
from hwmodel.price.lines.line import Line, last_to_end, whole
from hwmodel.price.lines.published import network_cycles, published_lines
from hwmodel.price.lines.transfers import Transfers


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A layer in time.

    Attributes:
        lines: one per resource that has a bandwidth, the array first, then from the inside out; before them the
            longest where it waits for what is none of them.
        ports: memory -> (reads, writes) of its busiest instance, exclusive transfers aside; of a machine driven by
            commands loads and stores of all tiles, at the homes of W and O [cycles].
        networks: memory of the PEs -> the network that fills it [cycles].
        exclusive: transfers beside which the array stands still [cycles].
    """

    lines: tuple[Line, ...]
    ports: dict[str, tuple[float, float]]
    networks: dict[str, float]
    exclusive: float

    @cached_property
    def bound(self) -> Line:
        """What the layer waits for: the line that ends last."""
        return last_to_end(self.lines)

    @property
    def processing(self) -> int:
        """Cycles of the layer, exclusive transfers aside."""
        return whole(self.bound.end)


def timeline_of(moved: Transfers, compute: float, phases: Phases | None = None) -> Timeline:
    """The lines of one layer under a mapping.

    Args:
        moved: between the memories.
        compute: cycles of the array alone.
        phases: of the tiles, on a machine that is driven by commands.
    """
    networks, exclusive = network_cycles(moved), moved.exclusive
    if phases is not None:
        homes = moved.task.home("W").name, moved.task.home("O").name
        idle = dict.fromkeys(moved.ports, (0.0, 0.0))
        return Timeline(
            lines=command_lines(phases, *homes),
            ports=idle | command_ports(phases, *homes),
            networks=networks,
            exclusive=exclusive,
        )
    return Timeline(
        lines=_lines(moved, compute),
        ports={name: port.halves for name, port in moved.ports.items()},
        networks=networks,
        exclusive=exclusive,
    )


def _lines(moved: Transfers, compute: float) -> tuple[Line, ...]:
    chip = moved.accelerator
    own = published_lines if chip.dataflow == "row_stationary" else BufferedLines
    lines = tuple(own(moved, compute))
    least = chip.timing.least_cycles(moved.layer, moved.widths.w, moved.widths.i)
    if not least:
        return lines
    longest = last_to_end(lines)
    return (Line(name=longest.name, busy=longest.end, waiting=max(least - longest.end, 0.0)), *lines)
