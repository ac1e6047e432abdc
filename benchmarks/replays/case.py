"""One compared quantity."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Case:
    """A quantity of the reference beside our prediction of it, in the same unit.

    Attributes:
        name: what is compared, unique in its file.
        reference: measured or published.
        prediction: ours.
    """

    name: str
    reference: float
    prediction: float

    @property
    def error(self) -> float:
        """Signed relative error, prediction / reference - 1.

        A reference of 0 has no relative error: there the difference itself is taken, in the unit of
        the quantity, so that it is 0 only where the prediction is 0 too, and finite for JSON.
        """
        if self.reference == 0:
            return self.prediction
        return self.prediction / self.reference - 1
