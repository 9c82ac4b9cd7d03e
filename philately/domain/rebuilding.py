"""The hull of a run from its rows alone: the release's phases, then every phase on record with its present energy."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import TypeVar

from hull.arrays import EntryArrays
from hull.entries import Entry, Formula
from hull.store import HullStore
from philately.domain.discrepancies import Findings, Kind, phase_at
from philately.models import Phase, ReleasePhase, Run
from philately.states import PhaseStatus

CHUNK = 5000
ENERGY_TOLERANCE_EV_PER_ATOM = 1e-9

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """hull: of all phases on record. stable_at_first: numbers of what was stable before anything was placed."""

    hull: HullStore
    stable_at_first: frozenset[int]


@dataclass(frozen=True, slots=True)
class _PhaseRow:
    number: int
    status: str
    formula: str
    energy_per_atom: float
    formation_energy_per_atom: float | None
    published_number: int | None  # in the release, and so below; none for what the season found
    published_formula: str | None
    published_energy_per_atom: float | None


def rebuild(run: Run, findings: Findings, keep: Callable[[], None]) -> Rebuilt:
    """Build the hull and say which phases are not as the release has them. keep: called after some thousand rows."""
    hull = HullStore(run.scale.digest)
    references = _insert_release(run, hull, keep)
    stable_at_first = frozenset(hull.stable_entries())
    missing = bytearray(b"\1") * (run.release.n_phases + 1)  # by number, from 1
    for rows in chunked(_phase_rows(run), CHUNK):
        keep()
        for row in rows:
            _check_formation_energy(row, references, findings)
            if row.number < len(missing) and _is_of_release(row, findings):
                missing[row.number] = 0
                _change(row, hull, findings)
        hull.insert_arrays(EntryArrays.of(_found(rows)))
    for number in range(1, len(missing)):
        if missing[number]:
            findings.add(Kind.PHASE_OF_RELEASE, f"phase {number}", stored="missing", rebuilt="in the release")
            hull.withdraw(number)
    return Rebuilt(hull, stable_at_first)


def chunked(items: Iterator[_Item], size: int) -> Iterator[list[_Item]]:
    while some := list(islice(items, size)):
        yield some


def same_energy(stored: float | None, rebuilt: float | None) -> bool:
    if stored is None or rebuilt is None:
        return stored is rebuilt
    return abs(stored - rebuilt) <= ENERGY_TOLERANCE_EV_PER_ATOM


def _insert_release(run: Run, hull: HullStore, keep: Callable[[], None]) -> dict[str, float]:
    """The release as it was published; returns the elements' references (eV/atom)."""
    references: dict[str, float] = {}
    rows = ReleasePhase.objects.filter(release=run.release_id).order_by("number")
    for some in chunked(rows.values_list("number", "formula", "energy_per_atom").iterator(CHUNK), CHUNK):
        keep()
        entries = [Entry(number, Formula.parse(formula), energy) for number, formula, energy in some]
        hull.insert_arrays(EntryArrays.of(entries))
        for entry in entries:
            if entry.formula.is_element:
                symbol = entry.formula.elements[0]
                references[symbol] = min(entry.energy_per_atom, references.get(symbol, inf))
    return references


def _phase_rows(run: Run) -> Iterator[_PhaseRow]:
    names = ("number", "status", "formula", "energy_per_atom", "formation_energy_per_atom")
    published = ("release_phase__number", "release_phase__formula", "release_phase__energy_per_atom")
    for row in Phase.objects.filter(run=run).order_by("number").values_list(*names, *published).iterator(CHUNK):
        yield _PhaseRow(*row)


def _found(rows: list[_PhaseRow]) -> list[Entry]:
    """What is on record and not of the release."""
    return [
        Entry(row.number, Formula.parse(row.formula), row.energy_per_atom)
        for row in rows
        if row.published_number is None and row.status == PhaseStatus.ON_RECORD
    ]


def _check_formation_energy(row: _PhaseRow, references: dict[str, float], findings: Findings) -> None:
    fractions = Formula.parse(row.formula).fractions
    rebuilt: float | None = None
    if references.keys() >= fractions.keys():
        rebuilt = row.energy_per_atom - sum(part * references[symbol] for symbol, part in fractions.items())
    stored = row.formation_energy_per_atom
    if not same_energy(stored, rebuilt):
        findings.add(Kind.FORMATION_ENERGY, phase_at(row.formula, row.number), stored=stored, rebuilt=rebuilt)


def _is_of_release(row: _PhaseRow, findings: Findings) -> bool:
    """Whether a row with a number of the release's is that phase."""
    if (row.number, row.formula) == (row.published_number, row.published_formula):
        return True
    published = phase_at(row.published_formula, row.published_number) if row.published_number else "another phase"
    findings.add(Kind.PHASE_OF_RELEASE, phase_at(row.formula, row.number), stored=row.formula, rebuilt=published)
    return False


def _change(row: _PhaseRow, hull: HullStore, findings: Findings) -> None:
    """Where a refinement lowered a phase of the release, or it is no longer on record."""
    if row.status != PhaseStatus.ON_RECORD:
        hull.withdraw(row.number)
        return
    published = row.published_energy_per_atom
    assert published is not None  # it is of the release
    if row.energy_per_atom < published:
        hull.lower(row.number, row.energy_per_atom)
    elif row.energy_per_atom > published:  # which nothing explains
        where = phase_at(row.formula, row.number)
        findings.add(Kind.PHASE_OF_RELEASE, where, stored=row.energy_per_atom, rebuilt=published)
        hull.withdraw(row.number)
        hull.insert(Entry(row.number, Formula.parse(row.formula), row.energy_per_atom))
