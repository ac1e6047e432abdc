"""Places of a chip file by path: `memories.sram.size`, `array.X.size`, `clock`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from hwmodel.chip.yamlfile import Location
from hwmodel.errors import did_you_mean

#: Numbers of the arithmetic, and of a memory.
_MAC = ("mac.energy", "mac.energies", "mac.area", "mac.leakage")
_MEMORY = ("read_energy", "write_energy", "leakage")
#: (path that is swept, paths of numbers that were typed in for one of its values); `*` stands for every memory of
#: `_of_the_chip`. The area of a memory is stated per size, so it follows.
_TYPED_IN = (
    (r"memories\.(?P<name>.+)\.size", tuple(f"memories.{{name}}.{key}" for key in _MEMORY)),
    (
        r"memories\.(?P<name>.+)\.(width|banks|ports|devices|technology|component|kind)",
        tuple(f"memories.{{name}}.{key}" for key in (*_MEMORY, "area")),
    ),
    (r"memories\.(?P<name>.+)\.network_length", ("memories.{name}.network_energy",)),
    (r"array\..+\.size", ("mac.leakage", "clock_power", "memories.*.network_energy")),
    (r"clock", ("clock_power",)),
    (r"mac\.(w|i|accumulator|precision|brick|serial|registered|component|technology)", _MAC),
    (r"mac\.analog\.adc\.bits", ("mac.analog.adc.energy",)),
    (r"mac\.analog\.dac\.bits", ("mac.analog.dac.energy",)),
    (
        r"technology",
        (
            *_MAC, "mac.analog.adc.energy", "mac.analog.dac.energy", "clock_power", "vector.energy",
            *(f"memories.*.{key}" for key in (*_MEMORY, "area", "network_energy")),
        ),
    ),
    (r"roofline\.cores", ("roofline.formats", "roofline.board_power", "roofline.idle_power")),
)  # fmt: skip


def located(base: Mapping[str, Any], path: str) -> Location:
    """Where in a file a path leads; its last key may be one that the file leaves at its default.

    Raises:
        ValueError: it leads nowhere; the nearest name is offered.
    """
    node: Any = base
    rest, found = path, []
    while rest:
        step = _step(node, rest)
        if step is not None:
            place, rest = step
            found.append(place)
            node = node[place]
        elif isinstance(node, Mapping) and "." not in rest:
            found.append(rest)
            rest = ""
        else:
            first, names = rest.partition(".")[0], names_in(node)
            raise ValueError(
                f"{path!r} leads nowhere: {first!r} is not among {', '.join(names)}.{did_you_mean(first, names)}"
                if names
                else f"{path!r} leads nowhere: nothing is named before {rest!r}."
            )
    return tuple(found)


def _step(node: Any, rest: str) -> tuple[int | str, str] | None:
    """The key or index that a path goes on with, and what is left of the path."""
    names = names_in(node)
    fits = [name for name in names if rest == name or rest.startswith(f"{name}.")]
    if not fits:
        return None
    name = max(fits, key=len)
    return names[name], rest[len(name) + 1 :]


def names_in(node: Any) -> dict[str, int | str]:
    """What a path may name here: keys, or the names of entries."""
    if isinstance(node, Mapping):
        return {str(key): key for key in node}
    if isinstance(node, list):
        named = [(item.get("name", item.get("axis")), index) for index, item in enumerate(node)
                 if isinstance(item, Mapping)]  # fmt: skip
        return {str(name): index for name, index in named if name is not None}
    return {}


def substituted(
    base: Mapping[str, Any], places: Mapping[str, Location], values: Mapping[str, Any]
) -> dict[str, Any]:
    """A copy with values in their places; what does not change is shared."""
    data: Any = base
    for path, value in values.items():
        data = _set(data, places[path], value)
    return dict(data)


def _set(node: Any, location: Location, value: Any) -> Any:
    if not location:
        return value
    copy: Any = list(node) if isinstance(node, list) else dict(node)
    first, rest = location[0], location[1:]
    copy[first] = _set(copy[first], rest, value) if rest else value
    return copy


def typed_in(base: Mapping[str, Any], groups: Iterable[Iterable[str]]) -> list[str]:
    """Notes on numbers that stay as typed in while what they belong to changes.

    Args:
        base: the file.
        groups: paths that change together.
    """
    notes = []
    for group in groups:
        together = set(group)
        for path in together:
            kept = [key for key in _numbers_of(base, path) if key not in together and _is_stated(base, key)]
            if kept:
                notes.append(
                    f"{path} is swept, but {' and '.join(kept)} stay as typed in for one value of it: costs at the "
                    "others are not to be trusted. Sweep them together, in one entry of `sweep`."
                )
    return sorted(notes)


def _numbers_of(base: Mapping[str, Any], path: str) -> list[str]:
    """Paths of the numbers that were typed in for one value of this one."""
    found: list[str] = []
    for pattern, numbers in _TYPED_IN:
        match = re.fullmatch(pattern, path)
        if match is not None:
            found += [number.format(**match.groupdict()) for number in numbers]
    if path == "technology" and _is_stated(base, "mac.technology"):
        found = [number for number in found if not number.startswith("mac.")]
    own = _of_the_chip(base)
    return [number.replace("*", name) for number in found for name in (own if "*" in number else ("",))]


def _of_the_chip(base: Mapping[str, Any]) -> list[str]:
    """Memories that are made as the chip is: not those outside of it, nor those with a technology of their own."""
    memories = base.get("memories")
    return [
        str(memory["name"])
        for memory in (memories if isinstance(memories, list) else ())
        if isinstance(memory, Mapping) and "name" in memory and "technology" not in memory
        and memory.get("size") != "unbounded"
    ]  # fmt: skip


def _is_stated(base: Mapping[str, Any], path: str) -> bool:
    """The file says it, and not that it is nothing."""
    node: Any = base
    rest = path
    while rest:
        step = _step(node, rest)
        if step is None:
            return False
        node, rest = node[step[0]], step[1]
    return not (isinstance(node, str) and re.match(r"\s*[0.]+\s", node))
