"""One compared quantity."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Case:
    """A reference and what we predict.

    Attributes:
        name: of the quantity.
        reference, prediction: in the same unit.
    """

    name: str
    reference: float
    prediction: float

    @property
    def error(self) -> float:
        """Signed relative error."""
        return self.prediction / self.reference - 1
