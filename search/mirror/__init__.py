"""Copies of the ledger as plain Optuna studies: in `study.db` of the run, and on a server where one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from search.mirror.local import OptunaMirror
    from search.mirror.server import MirrorTarget, ServerMirror

__all__ = ["MirrorTarget", "OptunaMirror", "ServerMirror"]

__getattr__, __dir__ = lazy_exports(
    __name__, {"local": ("OptunaMirror",), "server": ("MirrorTarget", "ServerMirror")}
)
