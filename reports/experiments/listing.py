"""The scripts of studies: what each asks and needs, read without running it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from hwmodel.errors import ConfigError

_HEAD = re.compile(r"Study (\d+)\. (.+)")


@dataclass(frozen=True, kw_only=True, order=True)
class Script:
    """A script of a study.

    Attributes:
        number: its place in the list.
        name: its file without `.py`.
        question: that it answers: the first sentence of its docstring, after `Study N.`.
        needs: files of data and weights, as NEEDS in the script names them.
        path: of the script.
    """

    number: int
    name: str
    question: str
    needs: tuple[str, ...]
    path: Path

    @property
    def needs_text(self) -> str:
        """The needs as a reader wants them."""
        return ", ".join(self.needs) or "nothing: its data is embedded"


def script_of(path: Path) -> Script:
    """What a script says of itself.

    Raises:
        ConfigError: no docstring `Study N. QUESTION`, or NEEDS is not a tuple of texts.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    head = _HEAD.match((ast.get_docstring(tree) or "").partition("\n\n")[0].replace("\n", " "))
    if head is None:
        raise ConfigError(f"{path}: a study begins with a docstring 'Study N. QUESTION'.")
    needs: tuple[str, ...] = ()
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["NEEDS"]:
            value = ast.literal_eval(node.value)
            if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
                raise ConfigError(f"{path}:{node.lineno}: NEEDS must be a tuple of texts.")
            needs = value
    return Script(number=int(head[1]), name=path.stem, question=head[2], needs=needs, path=path)


def scripts_in(folder: Path) -> list[Script]:
    """The studies of a folder, in their order; none where it has none."""
    return sorted(script_of(path) for path in folder.glob("*.py") if not path.name.startswith("_"))
