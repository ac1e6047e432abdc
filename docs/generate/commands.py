"""The page of the command line: every command with all that it takes, read from the application itself."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from docs.generate.tables import code, table
from reports.cli import app

#: What stands for a value of a type whose option names none.
VALUES: dict[object, str] = {bool: "", int: "INT", float: "FLOAT", str: "TEXT", Path: "FILE"}


def walk(command: Any = None, name: str = "hwmodel") -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its full name; groups are entered."""
    command = command or typer.main.get_command(app)
    if hasattr(command, "commands"):
        for child, inner in command.commands.items():
            yield from walk(inner, f"{name} {child}")
    else:
        yield name, command


def commands_page() -> str:
    """The page."""
    top = typer.main.get_command(app)
    parts = [
        "# The command line\n",
        f"{top.help}\n",
        f"{getattr(top, 'epilog', '') or ''}\n",
        "Of `hwmodel` itself, before a command:\n",
        _options(top),
    ]
    for name, command in walk():
        parts += [f"## {name}\n", f"{inspect.cleandoc(command.help or '')}\n", _usage(name, command)]
        parts += [_arguments(command), _options(command)]
    return "\n".join(parts)


def _usage(name: str, command: Any) -> str:
    words = [_metavar(param) for param in command.params if param.param_type_name == "argument"]
    return f"```text\n{' '.join([name, '[OPTIONS]', *words])}\n```\n"


def _metavar(param: Any) -> str:
    text = str(param.metavar or param.name.upper())
    return text if param.required else f"[{text}]"


def _arguments(command: Any) -> str:
    rows = [
        (code(_metavar(param)), param.help or "") for param in command.params if param.param_type_name == "argument"
    ]
    return table(("argument", "meaning"), rows) if rows else ""


def _options(command: Any) -> str:
    kinds = typing.get_type_hints(command.callback)
    options = [param for param in command.params if param.param_type_name == "option" and not param.hidden]
    rows = [(code(_spelling(o, kinds.get(o.name))), code(_default(o)), o.help or "") for o in options]
    return table(("option", "default", "meaning"), rows)


def _spelling(option: Any, kind: Any) -> str:
    """`--epochs INT`, `--fuse, --no-fuse`: a flag takes no value."""
    names = ", ".join([*option.opts, *option.secondary_opts])
    inner = next((part for part in (kind, *typing.get_args(kind)) if part in VALUES), None)
    return (
        names
        if inner is bool or getattr(option, "is_flag", False)
        else f"{names} {option.metavar or VALUES.get(inner, 'VALUE')}"
    )


def _default(option: Any) -> str:
    value = option.default
    if value is None or value is False or value == () or callable(value) or option.required:
        return ""
    return "on" if value is True else str(value)
