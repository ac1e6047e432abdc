"""Limits on YAML text, held while it is read: a file of a kilobyte can stand for a billion values.

They bound the work, not the clock, so that what a machine reads does not depend on how busy it is. The largest file
that passes takes seconds, an ordinary one milliseconds, and one that breaks a limit is refused where it breaks it.
"""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.scanner import RoundTripScanner, ScannerError

#: Of a file [byte].
MAX_BYTES = 1_000_000
MAX_LINES = 100_000
#: Lists and mappings inside each other.
MAX_DEPTH = 50
MAX_ALIASES = 100
#: Keys and values, those that aliases repeat counted each time.
MAX_VALUES = 80_000
#: Whole numbers lie below this in magnitude.
INTEGER_LIMIT = 2**63
_DEEP = f"lists and mappings nest deeper than {MAX_DEPTH}"
_LONG_TAG = re.compile(r"![^\s'\"]{1000}")


def check_text(text: str) -> None:
    """What can be told before anything is parsed.

    Raises:
        ValueError: the text is too large, has too many lines, or a tag whose length is of no use.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES // 1000} kB")
    if text.count("\n") > MAX_LINES:
        raise ValueError(f"has more than {MAX_LINES} lines")
    if _LONG_TAG.search(text):
        raise ValueError("has a tag (!...) of more than 1000 characters")


class LimitedScanner(RoundTripScanner):
    """Refuses brackets that nest too deep as it meets them: it reads them far ahead of the composer."""

    def fetch_flow_collection_start(self, token_class: Any, to_push: str) -> None:
        if len(self.flow_context) >= MAX_DEPTH:
            raise ScannerError(None, None, _DEEP, self.reader.get_mark())
        super().fetch_flow_collection_start(token_class, to_push)


class LimitedComposer(Composer):
    """Builds the tree of a document, and refuses one that is too deep, too large or contains itself."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self.nested = self.aliases = self.values = 0
        self.sizes: dict[str, int] = {}
        """Anchor -> values below it, once it is complete."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        self.values += 1
        if isinstance(event, AliasEvent):
            self.aliases += 1
            if event.anchor in self.anchors and event.anchor not in self.sizes:
                raise _refused(f"*{event.anchor} stands inside of itself", event)
            self.values += self.sizes.get(event.anchor, 0)
        if self.aliases > MAX_ALIASES:
            raise _refused(f"more than {MAX_ALIASES} aliases", event)
        if self.values > MAX_VALUES:
            raise _refused(f"more than {MAX_VALUES} values, aliases followed", event)
        if self.nested == MAX_DEPTH:
            raise _refused(_DEEP, event)
        self.nested += 1
        anchor, before = None if isinstance(event, AliasEvent) else event.anchor, self.values
        if anchor in self.anchors:
            raise _refused(f"&{anchor} is used twice", event)
        node = super().compose_node(parent, index)
        self.nested -= 1
        if anchor is not None:
            self.sizes[anchor] = self.values - before
        return node


def _refused(problem: str, event: Any) -> ComposerError:
    return ComposerError(None, None, problem, event.start_mark)


def cut(value: object, length: int = 80) -> str:
    """The repr of a value in a message, cut where it is long."""
    if isinstance(value, int) and abs(value) >= 10**length:
        return f"an integer of {value.bit_length()} bit"
    text = repr(value[: length + 1] if isinstance(value, str) else value)
    return text if len(text) <= length + 2 else f"{text[:length]}…"
