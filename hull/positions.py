"""What the hull answers: positions, points, and the events of a change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hull.entries import Formula
from hull.moved import Moved

STABLE_TOLERANCE = 1e-8  # eV/atom: stable := e_above_hull <= this


class EventKind(StrEnum):
    STABLE = "stable"  # the entry came onto the hull
    DETHRONED = "dethroned"  # the entry left the hull because of `by`
    RESTORED = "restored"  # the entry came back because another was withdrawn


@dataclass(frozen=True, slots=True)
class Event:
    kind: EventKind
    entry_id: int
    by: int | None = None  # the entry whose arrival or withdrawal caused it


@dataclass(frozen=True, slots=True)
class Position:
    """Where an energy at a composition sits; distances are None where `missing` names elements without a reference."""

    e_above_hull: float | None  # eV/atom, >= 0, pymatgen's meaning: once the entry itself is in the store
    e_above_hull_on_arrival: float | None  # eV/atom, signed, against everything in the store incl. own polymorphs
    decomposition_energy: float | None  # eV/atom, signed, against all other compositions; None for an element
    decomposition: tuple[tuple[int, float], ...]  # (entry id, fraction of the atoms) of the competing phases
    chemical_potentials: tuple[tuple[str, float], ...]  # eV/atom by element, the duals of H
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HullPoint:
    """The state of one composition: what phases there are measured against."""

    formula: Formula
    hull_energy: float | None  # eV/atom of the hull there, leave-one-out; None for an element or a missing reference
    lowest_energy: float  # eV/atom of the lowest polymorph there
    lowest_entry: int
    is_vertex: bool


@dataclass(frozen=True, slots=True)
class Insertion:
    """What one insertion did."""

    on_arrival: Position
    events: tuple[Event, ...]
    moved: Moved  # compositions whose HullPoint changed, the entry's own included


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What one withdrawal did. A withdrawn entry that was stable is itself among the dethroned, by itself."""

    events: tuple[Event, ...]
    moved: Moved  # compositions whose HullPoint changed or that are gone (``point`` is None)
