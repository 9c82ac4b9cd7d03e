"""What an audit says: a line for each difference that an organiser understands, and how many there are of each kind."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

SHOWN_OF_A_KIND = 20

Value = float | int | str | None


class Kind(StrEnum):
    HULL_ENERGY = "hull energy"
    LOWEST_ENERGY = "lowest energy"
    LOWEST_PHASE = "lowest phase"
    CHEMICAL_SYSTEM = "chemical system"
    VERTEX = "vertex of the hull"
    POINT = "hull point"
    STABLE = "stable by the log"
    EVENT = "log event"
    LOG_POSITION = "position in the log"
    FIRST_POSITION = "first position in the log"
    PHASE_OF_RELEASE = "phase of the release"
    FORMATION_ENERGY = "formation energy"
    SCORE = "score entry"
    PLACEMENT = "placement"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something stored that is not what the rows say. where: formula and phase, or what else it is about."""

    kind: Kind
    where: str
    stored: Value
    rebuilt: Value

    @property
    def sentence(self) -> str:
        apart = ""
        if isinstance(self.stored, float) and isinstance(self.rebuilt, float):
            apart = f", {abs(self.stored - self.rebuilt):.3g} eV/atom apart"
        return f"{self.where}: {self.kind} stored {_shown(self.stored)}, rebuilt {_shown(self.rebuilt)}{apart}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "sentence": self.sentence}


@dataclass(slots=True)
class Findings:
    """The first differences of each kind, in the order in which they were found, and the number of all."""

    differences: list[Difference] = field(default_factory=list)
    counts: Counter[Kind] = field(default_factory=Counter)

    def add(self, kind: Kind, where: str, *, stored: Value, rebuilt: Value) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= SHOWN_OF_A_KIND:
            self.differences.append(Difference(kind, where, stored, rebuilt))

    def add_more(self, kind: Kind, number: int) -> None:
        """Differences that are counted and not shown."""
        if number > 0:
            self.counts[kind] += number

    @property
    def n_differences(self) -> int:
        return self.counts.total()


def phase_at(formula: object, number: object) -> str:
    return f"{formula}, phase {number}"


def _shown(value: Value) -> str:
    if value is None:
        return "none"
    return f"{value:.10f} eV/atom" if isinstance(value, float) else str(value)
