"""Seeds that depend on what they are for, never on when: a resumed run draws what an uninterrupted one does."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2^31) from a study's seed and the names of what it is for."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
