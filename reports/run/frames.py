"""Frames as plain rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as mappings from column name to value."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict(orient="records")]
