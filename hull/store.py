"""The hull store: every entry so far, the convex hull of their energies, every distance current."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hull.entries import Formula

LP_TOLERANCE = 1e-10  # eV/atom: below it two energies are the same to the linear programme
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
    """Where an energy at a composition sits; distances are None where `missing` names an element without a reference."""

    e_above_hull: float | None  # eV/atom, >= 0 for an entry of the store, pymatgen's meaning
    e_above_hull_on_arrival: float | None  # eV/atom, signed, against everything in the store incl. own polymorphs
    decomposition_energy: float | None  # eV/atom, signed, against all other compositions; None for an element
    decomposition: tuple[tuple[int, float], ...]  # (entry id, fraction of the atoms) of the competing phases
    chemical_potentials: tuple[tuple[str, float], ...]  # eV/atom of each element, the dual solution
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
    moved: tuple[Formula, ...]  # compositions whose HullPoint changed, the entry's own included
