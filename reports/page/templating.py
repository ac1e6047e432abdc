"""What every page of ours is rendered with: escaped, without control characters, pictures inside."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import safe_name

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(*packages: str, keeps_lines: bool = False) -> Environment:
    """Templates of packages, the first that has one first; a name that nobody gave is an error.

    Args:
        packages: each with a folder `templates`.
        keeps_lines: line breaks of a text stay, as in a loop nest; else they are control characters as any.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    def printable(value: Any) -> Any:
        """Text without control characters, which no page may hold; markup of a macro stays as it is."""
        if not isinstance(value, str) or hasattr(value, "__html__"):
            return value
        return "\n".join(map(safe_name, value.split("\n"))) if keeps_lines else safe_name(value)

    return Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=printable,
    )


def data_uri(picture: bytes, kind: str) -> str:
    """A picture inside a page; kind: `png` or `svg+xml`."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
