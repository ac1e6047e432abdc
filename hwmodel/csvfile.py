"""Tables as CSV that a spreadsheet opens as text: a cell that it would read as a formula gets an apostrophe.

Source: OWASP, CSV Injection (2024): cells that begin with = + - @, a tab or a carriage return.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(value: Any) -> Any:
    """Text as it stands in a file; numbers as they are. `open_cell` takes it back."""
    return f"'{value}" if isinstance(value, str) and value.lstrip("'").startswith(_FORMULA) else value


def open_cell(value: Any) -> Any:
    """What `safe_cell` was given."""
    escaped = isinstance(value, str) and value.startswith("'") and value.lstrip("'").startswith(_FORMULA)
    return value[1:] if escaped else value


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV, without its index."""
    return frame.map(safe_cell).rename(columns=safe_cell).to_csv(index=False, lineterminator="\n")


def read_csv(path: str | Path) -> pd.DataFrame:
    """A file that `csv_text` wrote."""
    import pandas as pd

    return pd.read_csv(path).map(open_cell).rename(columns=open_cell)
