"""Steps of an experiment that were taken: each is computed once, and a killed run goes on behind the last."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hwmodel.errors import ConfigError
from search.jsonl import append_line, cut_torn_line, read_lines
from workloads.training import Accuracy

#: Its name in the folder of an experiment.
STEPS = "steps.jsonl"
_ACCURACY = {"correct", "total"}


class Steps:
    """What the steps of an experiment gave, in `steps.jsonl`, a sealed line each.

    Args:
        folder: of the experiment; made as needed.
        common: what every step rests on (seed, data, `quick`); a step taken under another is not taken yet.

    Attributes:
        seconds: wall clock of the steps that this run asked for, those of earlier runs included.
        data: what these steps saw, as the caller says it; a step of an earlier run brings what was said then.

    Raises:
        ConfigError: the file is damaged.
    """

    def __init__(self, folder: Path, common: Mapping[str, Any]) -> None:
        self._path = folder / STEPS
        self._common = dict(common)
        self.seconds = 0.0
        self.data: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)
        cut_torn_line(self._path)
        self._taken: dict[str, dict[str, Any]] = {}
        for number, line in enumerate(read_lines(self._path, f"Remove {self._path} to start anew."), start=1):
            self._taken[_text(self._path, number, line)] = line

    def once(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """What the function gives, from the file where it was asked before with equal arguments.

        Args:
            function: its name and the arguments are the step. Its code is not: after a change to it start anew.
            arguments: plain values, or such with a `to_dict`.

        Returns:
            Plain values and accuracies, as lists and dicts of them.

        Raises:
            ConfigError: an argument or the answer is none of these.
        """
        name = getattr(function, "__name__", type(function).__name__)
        asked = {"step": name, "arguments": _plain(f"{name}()", arguments), "common": self._common}
        key = _key(asked)
        if key not in self._taken:
            start = time.perf_counter()
            answer = _plain(f"{name}()", function(**arguments))
            line = {
                **asked,
                "seconds": round(time.perf_counter() - start, 3),
                "answer": answer,
                "data": list(self.data),
            }
            append_line(self._path, line)
            self._taken[key] = line
        line = self._taken[key]
        self.seconds += line["seconds"]
        self.data += [text for text in line.get("data", ()) if text not in self.data]
        return _revived(line["answer"])


def _text(path: Path, number: int, line: Mapping[str, Any]) -> str:
    """The key of a line of the file.

    Raises:
        ConfigError: it is no step.
    """
    if not {"step", "arguments", "common", "seconds", "answer"} <= line.keys() or not _is_time(line["seconds"]):
        raise ConfigError(f"{path}:{number} is no step of an experiment. Remove the file to start anew.")
    return _key({key: line[key] for key in ("step", "arguments", "common")})


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


def _key(asked: Mapping[str, Any]) -> str:
    return json.dumps(asked, sort_keys=True, allow_nan=False)


def _plain(place: str, value: Any) -> Any:
    """Nested values as JSON has them; an accuracy as its count.

    Raises:
        ConfigError: something that has no such form.
    """
    if isinstance(value, Accuracy):
        return {"correct": value.correct, "total": value.total}
    if isinstance(value, Mapping):
        return {str(key): _plain(place, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(place, item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{place}: values of a step must be finite, but got {value}.")
    if value is None or isinstance(value, (bool, int, str, float)):
        return value
    for method in ("to_dict", "tolist"):  # settings and configurations; numpy and torch
        if hasattr(value, method):
            return _plain(place, getattr(value, method)())
    raise ConfigError(
        f"{place}: a step takes and gives numbers, texts, accuracies, lists and dicts, but got {value!r:.60}."
    )


def _revived(value: Any) -> Any:
    """The plain values with their accuracies."""
    if isinstance(value, dict):
        if value.keys() == _ACCURACY:
            return Accuracy(correct=value["correct"], total=value["total"])
        return {key: _revived(item) for key, item in value.items()}
    return [_revived(item) for item in value] if isinstance(value, list) else value
