"""What a chunk of placements leaves in the database, in a handful of statements however large the chunk is."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce, Now

from hull.arrays import PointArrays
from hull.moved import Moved
from hull.store import HullStore
from philately.domain import bulk
from philately.models import HullPoint, LogEntry, Phase, Placement, Run, ScoreEntry
from philately.states import PhaseStatus
from validation.placing import Arrival, Outcome, Verdict
from validation.scoring import Award
from validation.verdicts import text_of

_STATUS = {Verdict.HELD: PhaseStatus.HELD.value, Verdict.UNDEFINED: PhaseStatus.UNDEFINED.value}
_PHASE = (
    *("id", "run", "number", "status", "formula", "chemical_system", "energy_per_atom", "formation_energy_per_atom"),
    *("first_candidate", "candidate"),
)
_REFINED = ("energy_per_atom", "formation_energy_per_atom", "candidate")
_LOG = ("run", "position", "kind", "phase", "by", "candidate", "written_at")
_SCORE = (
    *("run", "number", "member", "points", "reason", "formula", "phase", "candidate", "provisional"),
    *("log_position", "written_at"),
)
_PLACEMENT = (
    *("run", "candidate", "verdict", "reason", "sentence", "phase", "energy_per_atom", "formation_energy_per_atom"),
    *("e_above_hull_on_arrival", "decomposition_energy", "decomposition", "missing_elements", "is_novel"),
    *("log_position", "placed_at"),
)
_NOTHING = "[]"
POINT = (
    *("run", "formula", "chemical_system", "hull_energy", "lowest_energy", "lowest_phase", "is_vertex"),
    "log_position",
)

Placed = tuple[Arrival, Outcome, tuple[Award, ...]]  # the points of the outcome's own ``awards`` are not looked at


def write(run: Run, hull: HullStore, placed: Sequence[Placed]) -> None:
    """Phases, log, points and placements of a chunk, numbered on from where the run stands, and the hull's new state.
    hull: as it is after the chunk.

    Belongs into a transaction that holds the run's row. Takes ``run`` on in memory; saving it is the caller's.
    """
    last = ScoreEntry.objects.filter(run=OuterRef("pk")).order_by("-number").values("number")[:1]
    scores, now = Run.objects.values_list(Coalesce(Subquery(last), 0), Now()).get(pk=run.pk)
    rows = _Rows(run, *_keys_of_phases(run, placed), bulk.moment(now), scores)
    for arrival, outcome, awards in placed:
        rows.take(arrival, outcome, awards)
    bulk.insert(Phase, _PHASE, list(rows.phases.values()))
    bulk.update(Phase, _REFINED, list(rows.refined.values()))
    bulk.insert(LogEntry, _LOG, rows.log)
    bulk.insert(ScoreEntry, _SCORE, rows.scores)
    bulk.insert(Placement, _PLACEMENT, rows.placements)
    write_hull(run, hull, (outcome.moved for _, outcome, _ in placed))
    run.next_phase_number = max([run.next_phase_number, *(number + 1 for number in rows.phases)])


def write_hull(run: Run, hull: HullStore, moved: Iterable[Moved]) -> None:
    """The states of the compositions whose hull moved, as they are now; those that are gone are deleted."""
    points = hull.point_arrays(moved)
    bulk.upsert(HullPoint, POINT, point_rows(run, points), unique=("run", "formula"))
    if points.gone:
        HullPoint.objects.filter(run=run, formula__in=points.gone).delete()


def point_rows(run: Run, points: PointArrays) -> list[bulk.Row]:
    """The fields POINT of each, in the order of the index by formula."""
    hull_energies = points.hull_energies.astype(object)
    hull_energies[np.isnan(points.hull_energies)] = None
    columns = (
        [run.pk] * len(points),
        points.formulas,
        points.chemical_systems,
        hull_energies.tolist(),
        points.lowest_energies.tolist(),
        points.lowest_entries.tolist(),
        points.is_vertex.tolist(),
        [run.log_position] * len(points),
    )
    return sorted(zip(*columns, strict=True), key=itemgetter(POINT.index("formula")))


def _keys_of_phases(run: Run, placed: Iterable[Placed]) -> tuple[dict[int, int], set[int]]:
    """Primary keys by number of every phase that the outcomes speak of, reserved for new ones; and which are new."""
    spoken_of = _phases_of(placed)
    new = {number for number in spoken_of if number >= run.next_phase_number}
    keys = dict(Phase.objects.filter(run=run, number__in=spoken_of - new).values_list("number", "pk"))
    return keys | dict(zip(sorted(new), bulk.reserve_ids(Phase, len(new)), strict=True)), new


def _phases_of(placed: Iterable[Placed]) -> set[int]:
    numbers: set[int | None] = set()
    for _, outcome, awards in placed:
        numbers.add(outcome.phase)
        for item in outcome.log:
            numbers.add(item.phase)
            numbers.add(item.by)
        for award in awards:
            numbers.add(award.phase)
    return {number for number in numbers if number is not None}


@dataclass(slots=True)
class _Rows:
    """The rows of a chunk as they pile up. keys: of phases by number; n_scores: entries of the ledger so far."""

    run: Run
    keys: dict[int, int]
    new: set[int]
    now: Any
    n_scores: int
    phases: dict[int, list[Any]] = field(default_factory=dict)  # new ones, by number
    refined: dict[int, list[Any]] = field(default_factory=dict)  # older ones
    log: list[tuple[Any, ...]] = field(default_factory=list)
    scores: list[tuple[Any, ...]] = field(default_factory=list)
    placements: list[tuple[Any, ...]] = field(default_factory=list)

    def take(self, arrival: Arrival, outcome: Outcome, awards: Iterable[Award]) -> None:
        if outcome.verdict is Verdict.REFINED:
            self._refine(arrival, outcome)
        elif outcome.phase in self.new and outcome.phase not in self.phases:
            self._found(arrival, outcome, outcome.phase)
        self._log(arrival, outcome)
        self._score(awards)
        self._place(arrival, outcome)

    def _found(self, arrival: Arrival, outcome: Outcome, number: int) -> None:
        """A phase of its own for a new structure."""
        self.phases[number] = [
            self.keys[number],
            self.run.pk,
            number,
            _STATUS.get(outcome.verdict, PhaseStatus.ON_RECORD.value),
            text_of(arrival.formula),
            arrival.formula.chemical_system,
            arrival.energy_per_atom,
            outcome.formation_energy_per_atom,
            arrival.candidate,
            arrival.candidate,
        ]

    def _refine(self, arrival: Arrival, outcome: Outcome) -> None:
        """A lower energy and another representative for the phase."""
        number = outcome.phase
        assert number is not None
        figures = [arrival.energy_per_atom, outcome.formation_energy_per_atom]
        if number in self.phases:
            self.phases[number][6:8] = figures
            self.phases[number][-1] = arrival.candidate
        else:
            self.refined[number] = [*figures, arrival.candidate, self.keys[number]]

    def _log(self, arrival: Arrival, outcome: Outcome) -> None:
        for item in outcome.log:
            self.run.log_position += 1
            phase, by = self.keys[item.phase], None if item.by is None else self.keys[item.by]
            row = (self.run.pk, self.run.log_position, item.kind.value, phase, by, arrival.candidate, self.now)
            self.log.append(row)

    def _score(self, awards: Iterable[Award]) -> None:
        """Entries of the ledger; the candidate is the one whose find moved."""
        for award in awards:
            self.n_scores += 1
            self.scores.append(
                (
                    self.run.pk,
                    self.n_scores,
                    award.member,
                    award.points,
                    award.reason.value,
                    award.formula,
                    self.keys[award.phase],
                    award.candidate,
                    award.provisional,
                    self.run.log_position,
                    self.now,
                )
            )

    def _place(self, arrival: Arrival, outcome: Outcome) -> None:
        position = outcome.position
        defined = outcome.formation_energy_per_atom is not None
        self.placements.append(
            (
                self.run.pk,
                arrival.candidate,
                outcome.verdict.value,
                outcome.reason.value if outcome.reason else "",
                outcome.sentence,
                None if outcome.phase is None else self.keys[outcome.phase],
                arrival.energy_per_atom,
                outcome.formation_energy_per_atom,
                position.e_above_hull_on_arrival if defined else None,
                position.decomposition_energy if defined else None,
                _json_of(position.decomposition if defined else ()),
                json.dumps(position.missing) if position.missing else _NOTHING,
                outcome.is_novel,
                self.run.log_position,
                self.now,
            )
        )


def _json_of(decomposition: Iterable[tuple[int, float]]) -> str:
    """As ``json.dumps`` has it, in a fifth of the time."""
    return f"[{', '.join([f'[{number}, {fraction!r}]' for number, fraction in decomposition])}]"
