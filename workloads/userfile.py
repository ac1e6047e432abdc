"""A function of a user's file: `FILE.py:function`."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwmodel.errors import ConfigError, did_you_mean


def function_of(path: Path, function: str) -> Callable[..., Any]:
    """The function, or class, of that name; the file is run.

    Raises:
        ConfigError: no such file or function, or the file cannot be imported.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    module_name = f"_hwmodel_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickling look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise ConfigError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    found: Callable[..., Any] | None = getattr(module, function, None)
    if not callable(found):
        callables = [
            key for key, value in vars(module).items() if inspect.isroutine(value) or inspect.isclass(value)
        ]
        raise ConfigError(f"{path} has no function {function!r}.{did_you_mean(function, callables)}")
    return found
