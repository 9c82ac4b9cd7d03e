"""What becomes of a relaxed candidate: arrivals go into phase 3, outcomes come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from hull.entries import Formula
from hull.moved import NOTHING_MOVED, Moved
from hull.store import Position
from validation.auditing import Heard
from validation.crystal import Crystal
from validation.rules import Reason
from validation.scoring import Award


class Verdict(StrEnum):
    """The class of a placement."""

    STABLE = "stable"
    METASTABLE = "metastable"
    UNSTABLE = "unstable"
    DUPLICATE = "duplicate"
    REFINED = "refined"  # a duplicate that lowers its phase's energy
    REJECTED = "rejected"  # above the formation-energy limit
    HELD = "held"
    UNDEFINED = "undefined"  # the release lacks an element


class Change(StrEnum):
    """What the hull log says of a phase."""

    STABLE = "stable"
    DETHRONED = "dethroned"
    RESTORED = "restored"
    REFINED = "refined"
    ACCEPTED = "accepted"  # it was held, and an organiser let it onto the record
    WITHDRAWN = "withdrawn"  # it left the record
    REPLACED = "replaced"  # its representative was withdrawn, it has another one's energy
    INHERITED = "inherited"  # its finder withdrew, the next one has it


@dataclass(frozen=True, slots=True)
class Arrival:
    """A relaxed candidate whose turn it is. energy_per_atom: eV/atom on the run's scale."""

    candidate: int
    member: int
    formula: Formula
    energy_per_atom: float
    crystal: Callable[[], Crystal]  # the relaxed cell; fetched only where something of its formula is near in energy
    structure: int | None = None  # its number where it may have been compared ahead (``memory.Fits``)
    heard: Mapping[str, Heard] = field(default_factory=dict)  # by auditor, as far as any were asked


@lru_cache(maxsize=65_536)
def text_of(formula: Formula) -> str:
    """``str(formula)``, which is asked for several times of each arrival."""
    return str(formula)


@dataclass(frozen=True, slots=True)
class LogItem:
    """e_above_hull: eV/atom of a dethroned phase, right after."""

    kind: Change
    phase: int
    by: int | None
    e_above_hull: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one arrival did. phase: the number of its own phase, or of the one that it duplicates or would refine."""

    verdict: Verdict
    phase: int | None
    formation_energy_per_atom: float | None
    position: Position
    is_novel: bool | None
    reason: Reason | None = None
    sentence: str = ""
    log: tuple[LogItem, ...] = ()
    moved: Moved = NOTHING_MOVED  # the compositions whose hull moved
    awards: tuple[Award, ...] = ()
