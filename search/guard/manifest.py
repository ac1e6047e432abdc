"""What a run was made with. Results of different spaces, models or chips do not belong in one study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from search.front.limits import parse_limits
from search.groups import AXES
from search.guard.seal import seal, unseal

MANIFEST = "study.json"
SCHEMA_VERSION = 1
#: Of the context: hashes of the user's code and of the data (`search.guard.identity`).
CONTENT = "content"

Record = Mapping[str, Any]

_FIX = "Restore the file, or choose a new name."
_KINDS: Mapping[str, type] = {
    "name": str, "seed": int, "objectives": list, "graph": str, "accelerator": str, "context": dict, "space": dict,
}  # fmt: skip
#: Keys that an earlier version did not write.
_LATER: Mapping[str, type] = {
    "width": int,
    "sampler": str,
    "limits": dict,
    "sensitivity": bool,
    "subsets": bool,
    "fidelities": dict,
}


def read_manifest(folder: str | Path) -> dict[str, Any] | None:
    """The manifest of a run folder, or None where it has none.

    Raises:
        ConfigError: the file is damaged or of another version.
    """
    path = Path(folder) / MANIFEST
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not JSON: {error}. {_FIX}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA_VERSION:
        raise ConfigError(f"{path}: schema must be {SCHEMA_VERSION}. Choose a new name for this run.")
    missing = [key for key in _KINDS if key not in data]
    if missing:
        raise ConfigError(f"{path}: {', '.join(missing)} missing. {_FIX}")
    for key, kind in _KINDS.items():
        if not isinstance(data[key], kind):
            raise ConfigError(f"{path}: {key} must be {kind.__name__}, but is {type(data[key]).__name__}. {_FIX}")
    for key, kind in _LATER.items():
        if not isinstance(data.get(key, kind()), kind):
            raise ConfigError(f"{path}: {key} must be {kind.__name__}, but is {type(data[key]).__name__}. {_FIX}")
    if not isinstance(data.get("fuse", True), bool):
        raise ConfigError(f"{path}: fuse must be bool, but is {type(data['fuse']).__name__}. {_FIX}")
    return unseal(data, str(path), _FIX)[0]


def write_manifest(folder: str | Path, record: Record) -> None:
    """Write the manifest, whole or not at all."""
    write_atomic(Path(folder) / MANIFEST, json.dumps(seal({"schema": SCHEMA_VERSION, **record}), indent=1) + "\n")


def check_same(old: Record, new: Record, *, num_results: int, extend: bool) -> bool:
    """The run may go on with `new`: True where that is to be written (a larger space, keys of this version).

    Args:
        old: as read.
        new: name, seed, objectives, graph, accelerator, fuse, context, space.
        num_results: in the ledger, for the message.
        extend: a larger space is welcome.

    Raises:
        ConfigError: something changed that makes results incomparable, or the space grew without `extend`.
    """
    new = json.loads(json.dumps(new))  # as it will be read: tuples are lists
    study = f"Study {old['name']!r}"
    for key in ("name", "seed", "objectives", "graph", "accelerator"):
        if old[key] != new[key]:
            raise ConfigError(f"{study} used {key} {_show(old[key])}, now {_show(new[key])}. Choose a new name.")
    before, now = old.get("fuse", True), new.get("fuse", True)  # an earlier version knew no other
    if before != now:
        raise ConfigError(f"{study} used fuse {_show(before)}, now {_show(now)}. Choose a new name.")
    before, now = old.get("fidelities", {}), new.get("fidelities", {})  # an earlier version trained all in full
    if before != now:
        raise ConfigError(f"{study} used {_difference('fidelities', before, now)}. Choose a new name.")
    for key in _LATER:
        if key in old and old[key] != new.get(key, old[key]):
            before, now = (_show_limits(r[key]) if key == "limits" else _show(r[key]) for r in (old, new))
            raise ConfigError(f"{study} used {key} {before}, now {now}. Choose a new name.")
    for key in dict.fromkeys([*old["context"], *new["context"]]):
        if key == CONTENT and key not in old["context"]:  # of an earlier version
            continue
        before, now = old["context"].get(key), new["context"].get(key)
        if before != now:
            restore = "Restore it, or choose" if key == CONTENT else "Choose"
            raise ConfigError(f"{study} used {_difference(key, before, now)}. {restore} a new name.")
    if old["space"] == new["space"]:
        return any(key in new and key not in old for key in _LATER)
    change = _space_change(old["space"], new["space"])
    if not _contains(new["space"], old["space"]):
        raise ConfigError(f"{study} used {change}. The new space must contain the old one; choose a new name.")
    if not extend:
        raise ConfigError(f"{study} used {change}. --extend keeps its {num_results} results, or choose a new name.")
    return True


def _contains(new: Record, old: Record) -> bool:
    fixed = ("frozen", "pattern", "quantizer", "granularity")
    if any(new.get(key) != old.get(key) for key in fixed) or list(new["groups"]) != list(old["groups"]):
        return False
    pairs = [(new["groups"][name], old["groups"][name]) for name in old["groups"]]
    return all(
        now["modules"] == before["modules"] and all(set(before[axis]) <= set(now[axis]) for axis in AXES)
        for now, before in pairs
    )


def _space_change(old: Record, new: Record) -> str:
    """The first difference of two spaces in words: `w_bits [2,4,8], now [2,4,8,16]`."""
    for key, usual in (("pattern", None), ("quantizer", None), ("granularity", "tensor")):
        before, now = old.get(key, usual), new.get(key, usual)
        if before != now:
            return f"{key} {_show(before)}, now {_show(now)}"
    if old["frozen"] != new["frozen"]:
        return f"frozen {_show(_frozen(old))}, now {_show(_frozen(new))}"
    first = {name: group["modules"] for name, group in old["groups"].items()}
    second = {name: group["modules"] for name, group in new["groups"].items()}
    if list(first.items()) != list(second.items()):
        return f"groups {_show(first)}, now {_show(second)}"
    for axis in AXES:
        changed = [name for name in first if old["groups"][name][axis] != new["groups"][name][axis]]
        if changed:
            one = changed[0]
            where = "" if len(changed) == len(first) else f" in {one!r}"
            return f"{axis} {_show(old['groups'][one][axis])}{where}, now {_show(new['groups'][one][axis])}"
    return "another space"


def _frozen(space: Record) -> dict[str, Any]:
    return {
        module: "float" if choice["w_bits"] == choice["a_bits"] == 32 else choice["w_bits"]
        for module, choice in space["frozen"].items()
    }


def _difference(key: str, old: Any, new: Any) -> str:
    """`training.qat.epochs 8, now 12`: the first place where two records differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for inner in dict.fromkeys([*old, *new]):
            if old.get(inner) != new.get(inner):
                return _difference(f"{key}.{inner}", old.get(inner), new.get(inner))
    return f"{key} {_show(old)}, now {_show(new)}"


def _show_limits(record: Mapping[str, str]) -> str:
    """In the units of the tables."""
    return str(parse_limits(record)) or "none"


def _show(value: Any, limit: int = 120) -> str:
    if isinstance(value, str):
        return repr(value)
    is_list = isinstance(value, Sequence)
    text = "[" + ",".join(_show(item) for item in value) + "]" if is_list else json.dumps(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
