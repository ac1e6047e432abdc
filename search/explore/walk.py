"""How an exploration goes: look at all designs, bound them, price the most promising ones, rule out, and so on.

What is priced next follows from the prices so far alone, round by round, so the result is the same for any number
of processes, and for a run that was killed and started again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import ge

from hwmodel.mapper.free import Objective
from hwmodel.place.lower import Least, Widest
from search.explore.axes import Axes
from search.explore.crew import Crew, Errand
from search.explore.field import OPEN, Field
from search.explore.ledger import PriceLedger
from search.explore.pricing import Look, Price, widest

#: Designs that are priced before bounds are compared again.
ROUND = 64
#: Designs that one errand looks at.
LOOKS = 64

#: (what is going on, how many are done, of how many, designs on the front).
Progress = Callable[[str, int, int, int], object]


@dataclass
class Walker:
    """Explores designs.

    Attributes:
        crew: does the work.
        ledger: knows prices.
        axes: of the comparison.
        optimize: what mappings minimise.
        total: designs of the space.
        progress: told how far it is.
    """

    crew: Crew
    ledger: PriceLedger
    axes: Axes
    optimize: Objective
    total: int
    progress: Progress

    def __post_init__(self) -> None:
        self.field = Field(self.axes, self.optimize)
        self._least: dict[str, tuple[Least, ...]] = {}

    def all(self) -> Field:
        """Every design of the space."""
        looks = self.look(range(self.total))
        self.bound(looks, widest(look.room for look in looks))
        while len(rows := self.field.promising()):
            for start in range(0, len(rows), ROUND):
                still = [row for row in rows[start : start + ROUND].tolist() if self.field.state[row] == OPEN]
                self.price([self.field.looks[row].number for row in still])
        return self.field

    def look(self, numbers: Sequence[int]) -> list[Look]:
        """What some combinations are."""
        parts = [numbers[start : start + LOOKS] for start in range(0, len(numbers), LOOKS)]
        found: list[list[Look]] = [[] for _ in parts]
        done = 0
        for index, looks in self.crew.run([Errand("look_at", (list(part),)) for part in parts]):
            found[index] = looks
            done += len(looks)
            self.progress("reading designs", done, len(numbers), 0)
        return [look for looks in found for look in looks]

    def bound(self, looks: Sequence[Look], most: Mapping[str, Widest]) -> None:
        """Add designs with their lower bounds; those that are alike share them.

        Args:
            looks: at the designs.
            most: that any has of every memory; a design that has more is not bounded.
        """
        bounded = [look for look in looks if look.like and _is_within(look.room, most)]
        new = {look.like: look for look in bounded if look.like not in self._least}
        errands = [Errand("least", (look.number, dict(most)), look.outline) for look in new.values()]
        kinds = list(new)
        for done, (index, least) in enumerate(self.crew.run(errands), start=1):
            self._least[kinds[index]] = least
            self.progress("bounding designs", done, len(errands), 0)
        numbers = {look.number for look in bounded}
        self.field.add(looks, [self._least[look.like] if look.number in numbers else () for look in looks])
        self.field.check_limits()

    def price(self, numbers: Sequence[int]) -> None:
        """Price open designs: those that the ledger does not know are new in it afterwards."""
        prices: dict[int, Price] = {}
        for number in numbers:
            known = self.ledger.get(number)
            if known is not None:
                prices[number] = known
        new = [number for number in numbers if number not in prices]
        looks = [self.field.looks[self.field.row_of[number]] for number in new]
        for _, price in self.crew.run([Errand("price", (look.number,), look.outline) for look in looks]):
            self.ledger.add(price)
            prices[price.number] = price
            self._tell()
        self.field.take([prices[number] for number in numbers])
        self._tell()

    def _tell(self) -> None:
        left = len(self.field.rows(OPEN))
        sizes = (len(self.field.front(view.columns)) for view in self.axes.views)
        self.progress("designs", len(self.field) - left, len(self.field), max(sizes))


def _is_within(room: Mapping[str, Widest], most: Mapping[str, Widest]) -> bool:
    return all(name in most and all(map(ge, most[name], own)) for name, own in room.items())
