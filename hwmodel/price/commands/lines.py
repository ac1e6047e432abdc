"""Lines of a machine that is driven by commands: passes, loads and stores of all tiles."""

from __future__ import annotations

from dataclasses import replace

from hwmodel.price.commands.cycles import Phases
from hwmodel.price.lines.line import Line, last_to_end


def command_lines(phases: Phases, source: str, sink: str) -> tuple[Line, ...]:
    """The longest with its wait for tiles in flight, then that of the array, of loads and of stores.

    Args:
        phases: of the first of its tilings.
        source, sink: the memories that W comes from and O goes to.
    """
    tiles, loads, passes, stores, last = (
        float(part[0]) for part in (phases.tiles, phases.loads, phases.passes, phases.stores, phases.last_stores)
    )
    lines = (
        Line(name="compute", busy=tiles * passes, head=loads, tail=last),
        Line(name=source, busy=tiles * loads, tail=passes + last),
        Line(name=sink, busy=tiles * stores, head=loads + passes, tail=last - stores),
    )
    longest = last_to_end(lines)
    return (replace(longest, waiting=max(float(phases.total[0]) - longest.end, 0.0)), *lines)


def command_ports(phases: Phases, source: str, sink: str) -> dict[str, tuple[float, float]]:
    """Memory -> (loads, stores) of all tiles [cycles]."""
    loads, stores = (float(part[0] * phases.tiles[0]) for part in (phases.loads, phases.stores))
    return {
        name: (loads if name == source else 0.0, stores if name == sink else 0.0)
        for name in dict.fromkeys((source, sink))
    }
