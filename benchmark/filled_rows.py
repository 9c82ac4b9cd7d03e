"""What becomes of each candidate of a season that is filled in bulk, and the rows of it. What costs time and is not
looked at is made up: decompositions, geometries, who finds what."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from django.db import connection, models
from numpy.typing import NDArray

from benchmark.seasons import Made
from hull.arrays import EntryArrays
from hull.entries import SYMBOLS
from hull.store import HullStore
from philately.domain import bulk, outcomes
from philately.domain.runs import hull_of
from philately.models import (
    Batch,
    Candidate,
    CandidateDetail,
    HullPoint,
    LogEntry,
    Phase,
    Placement,
    RelaxationFact,
    RelaxationGeometry,
    Run,
    ScoreEntry,
    Season,
    Shard,
)
from philately.states import CandidateState, LogKind, PhaseStatus, ShardState
from validation.placing import Verdict
from validation.relaxation import Stopped
from validation.rules import Reason
from validation.scoring import PointsFor

S = CandidateState

_SHARD = 1000
_CHUNK = 20_000
_FIRST_SHARES = ((S.REJECTED, 0.06), (S.PARKED, 0.03), (S.WITHDRAWN, 0.002), (S.SET_ASIDE, 0.001))  # not relaxed
_UNDER_WAY = 0.05  # of what came last
_WAYS = (S.RELAXED, S.PARSED, S.CHECKED, S.RECEIVED)  # in which that waits, the first of it in the first
_DUPLICATES = 0.04  # of what was placed
_REASONS = (Reason.NOT_CIF, Reason.DISORDERED, Reason.OVERLAPPING_ATOMS, Reason.TOO_MANY_ATOMS, Reason.NOT_BULK)
_STABLE_EV, _METASTABLE_EV = -0.002, 0.1  # eV/atom, on arrival
_PROVENANCE = json.dumps({"device": "cpu", "versions": {"made up": "1"}})
_FACT = (
    *("id", "initial_hash", "scale", "made_for", "formula", "n_sites", "stopped", "energy_per_atom"),
    *("fmax_ev_per_ang", "smax_ev_per_ang3", "steps", "seconds", "space_group_number", "pearson_symbol"),
    *("prototype_label", "note", "provenance", "created_at"),
)
_GEOMETRY = ("relaxation", "crystal", "forces", "stress", "history")
_CANDIDATE = (
    *("id", "season", "batch", "shard", "arrival", "state", "reason", "failed_in", "formula", "content_hash"),
    *("n_atoms", "twin_of", "relaxation", "changed_at", "attempts"),
)
_DETAIL = ("candidate", "file", "block", "line", "format", "offset", "length", "sentence")
_PHASE = (
    *("id", "run", "number", "status", "formula", "chemical_system", "energy_per_atom", "formation_energy_per_atom"),
    *("first_candidate", "candidate"),
)
_PLACEMENT = (
    *("run", "candidate", "verdict", "reason", "sentence", "phase", "energy_per_atom", "formation_energy_per_atom"),
    *(
        "e_above_hull_on_arrival",
        "decomposition_energy",
        "decomposition",
        "missing_elements",
        "log_position",
        "placed_at",
    ),
)
_LOG = ("run", "position", "kind", "phase", "candidate", "written_at")
_SCORE = (
    *("run", "number", "member", "points", "reason", "formula", "phase", "candidate", "provisional"),
    *("log_position", "written_at"),
)


class Plan:
    """What becomes of each candidate, and the rows of it."""

    def __init__(self, made: Made, season: Season, batches: list[Batch], *, all_placed: bool, seed: int) -> None:
        self.made, self.season, self.batches = made, season, batches
        self.run = season.official_run or Run()
        self._dice = np.random.default_rng([seed, 9])
        count = len(made.formulas)
        self._first = _next_key(Candidate)
        self._facts = _next_key(RelaxationFact)
        self.states = self._drawn_states(count, all_placed=all_placed)
        placed = np.flatnonzero(self.states == S.PLACED)
        share = 0.0 if all_placed else _DUPLICATES
        self._unique = placed[self._dice.random(len(placed)) >= share]
        self._owners = self._drawn_owners(count)

    def _drawn_states(self, count: int, *, all_placed: bool) -> NDArray[Any]:
        states = np.full(count, S.PLACED.value, dtype=object)
        if all_placed:
            return states
        drawn, up_to = self._dice.random(count), 0.0
        for state, share in _FIRST_SHARES:
            states[(drawn >= up_to) & (drawn < up_to + share)] = state.value
            up_to += share
        tail = np.arange(int(count * (1 - _UNDER_WAY)), count)
        for state, rows in zip(_WAYS, np.array_split(tail, len(_WAYS)), strict=True):
            waiting = rows[states[rows] == S.PLACED]
            states[waiting] = state.value
        states[0] = S.PLACED.value  # whose twins all twins are
        return states

    def _drawn_owners(self, count: int) -> NDArray[np.int64]:
        """The place of each candidate's batch in the list: a stretch of arrivals each, the largest in the middle."""
        sizes = [batch.n_counted or 0 for batch in self.batches]
        order = [*range(1, len(sizes))]
        order.insert(len(order) // 2, 0)
        owners: NDArray[np.int64] = np.repeat(order, [sizes[place] for place in order])
        return owners[:count]

    def write(self) -> None:
        """Everything, in the order in which rows name each other."""
        shards = self._write_shards()
        for rows in _in_chunks(range(len(self.states))):
            relaxed = [row for row in rows if self.states[row] in (S.PLACED, S.RELAXED)]
            bulk.insert(RelaxationFact, _FACT, [self._fact(row) for row in relaxed])
            bulk.insert(RelaxationGeometry, _GEOMETRY, [self._geometry(row) for row in relaxed])
            bulk.insert(Candidate, _CANDIDATE, [self._candidate(row, shards[row]) for row in rows])
            bulk.insert(CandidateDetail, _DETAIL, [self._detail(row) for row in rows])
        self._write_run()
        for model in (Candidate, RelaxationFact, Phase):
            _set_sequence(model)
        Season.objects.filter(pk=self.season.pk).update(next_arrival=len(self.states) + 1)

    def _write_shards(self) -> list[int]:
        """The shard of each candidate."""
        shards: list[int] = []
        edges = np.flatnonzero(np.diff(self._owners)) + 1
        for stretch in np.split(self._owners, edges):
            batch = self.batches[int(stretch[0])]
            for number, start in enumerate(range(0, len(stretch), _SHARD)):
                name = f"shards/{batch.pk}/{number}"
                shard = Shard.objects.create(
                    batch=batch, number=number, stored_as=name, sha256="", state=ShardState.PARSED
                )
                shards += [shard.pk] * min(_SHARD, len(stretch) - start)
        return shards

    # -- rows of facts

    def _fact(self, row: int) -> bulk.Row:
        energy = self.made.energies_per_atom[row]
        batch = self.batches[self._owners[row]].pk
        cost = (20 + row % 300, 1.0 + row % 17)
        symmetry = (1 + row % 230, "cP4", "")
        return (
            *(self._facts + row, f"{self._first + row:064x}", self.season.scale_id, batch, self.made.formulas[row]),
            *(self._n_atoms(row), Stopped.CONVERGED.value, energy, 0.02, 0.0005, *cost, *symmetry, "", _PROVENANCE),
            _moment(),
        )

    def _n_atoms(self, row: int) -> int:
        return int(self.made.entries.amounts[row].sum())

    def _geometry(self, row: int) -> bulk.Row:
        """A packed crystal of the right atoms at places of no meaning."""
        numbers = np.repeat(self.made.entries.atomic_numbers[row], self.made.entries.amounts[row]).astype("u1")
        n_sites = len(numbers)
        places = _PLACES[row % 1000 : row % 1000 + 3 * n_sites]
        packed = b"XT1\0" + struct.pack("<I", n_sites) + _CELL + places.tobytes() + numbers.tobytes()
        return self._facts + row, packed, b"", b"", b""

    def _candidate(self, row: int, shard: int) -> bulk.Row:
        state = self.states[row]
        unread = state == S.RECEIVED
        rejected = state == S.REJECTED
        reason = _REASONS[row % len(_REASONS)].value if rejected else Reason.TWIN.value if state == S.PARKED else ""
        has_fact = state in (S.PLACED, S.RELAXED)
        return (
            *(self._first + row, self.season.pk, self.batches[self._owners[row]].pk, shard, row + 1, state, reason, ""),
            "" if unread or rejected else self.made.formulas[row],
            "" if unread or rejected else f"{self._first + row:064x}",
            None if unread or rejected else self._n_atoms(row),
            self._first if state == S.PARKED else None,
            self._facts + row if has_fact else None,
            _moment(),
            0,
        )

    def _detail(self, row: int) -> bulk.Row:
        sentences = {S.REJECTED: "its text says something else than its sites", S.PARKED: "the same as an earlier one"}
        told = sentences.get(self.states[row], "")
        return (
            self._first + row,
            f"{row // 100}/{row}.cif",
            f"x{row}",
            1,
            "cif",
            700 * row,
            700,
            told,
        )

    # -- rows of the run

    def _write_run(self) -> None:
        """The hull is that of the energies; verdicts follow from it as in the rules, without matching."""
        run, unique, entries = self.run, self._unique, self.made.entries
        first_number, first_key = run.next_phase_number, _next_key(Phase)
        hull = hull_of(run)
        numbers = first_number + np.arange(len(unique), dtype=np.int64)
        energies = np.array(self.made.energies_per_atom)[unique]
        arrivals = EntryArrays(numbers, entries.atomic_numbers[unique], entries.amounts[unique], energies)
        found = hull.insert_arrays(arrivals)
        verdicts = _verdicts(found.e_above_hull_on_arrival)
        log_positions = np.searchsorted(found.events["step"], np.arange(len(unique)), side="right").tolist()
        distances = (found.e_above_hull_on_arrival.tolist(), found.decomposition_energy.tolist())
        placed = list(zip(range(len(unique)), verdicts, *distances, log_positions, strict=True))
        for some in _in_chunks(placed):
            bulk.insert(Phase, _PHASE, [self._phase(n, first_key, first_number) for n, *_ in some])
            bulk.insert(Placement, _PLACEMENT, [self._placement(first_key, *one) for one in some])
        self._write_duplicates(first_key)
        self._write_log(found.events, first_key, first_number)
        self._write_scores(verdicts, first_key)
        self.run.log_position = len(found.events)
        self._write_points(hull)
        waiting = np.flatnonzero(np.isin(self.states, [state.value for state in _WAYS]))
        placed_to = int(waiting[0]) if len(waiting) else len(self.states)
        now = {"log_position": len(found.events), "next_phase_number": first_number + len(unique)}
        Run.objects.filter(pk=run.pk).update(placed_to=placed_to, **now)

    def _phase(self, n: int, first_key: int, first_number: int) -> bulk.Row:
        row = int(self._unique[n])
        energy, candidate = self.made.energies_per_atom[row], self._first + row
        symbols = sorted(SYMBOLS[number - 1] for number in self.made.entries.atomic_numbers[row].tolist() if number)
        return (
            *(first_key + n, self.run.pk, first_number + n, PhaseStatus.ON_RECORD.value, self.made.formulas[row]),
            *("-".join(symbols), energy, -0.01, candidate, candidate),
        )

    def _placement(
        self, first_key: int, n: int, verdict: str, on_arrival: float, decomposition: float, position: int
    ) -> bulk.Row:
        row = int(self._unique[n])
        return (
            *(self.run.pk, self._first + row, verdict, "", "", first_key + n, self.made.energies_per_atom[row], -0.01),
            *(on_arrival, decomposition, _HALVES, "[]", position, _moment()),
        )

    def _write_duplicates(self, first_key: int) -> None:
        """Of the first phase, wherever they came from."""
        others = np.setdiff1d(np.flatnonzero(self.states == S.PLACED), self._unique)
        told = (Verdict.DUPLICATE.value, Reason.DUPLICATE.value, "the same as an earlier phase", first_key)
        for rows in _in_chunks(others.tolist()):
            bulk.insert(Placement, _PLACEMENT, [self._duplicate(row, told) for row in rows])

    def _duplicate(self, row: int, told: tuple[str, str, str, int]) -> bulk.Row:
        energies = (self.made.energies_per_atom[row], -0.01, 0.05, 0.05)
        return self.run.pk, self._first + row, *told, *energies, _HALVES, "[]", 0, _moment()

    def _write_log(self, events: NDArray[np.void], first_key: int, first_number: int) -> None:
        """Elements of the release leave the hull as well."""
        release = dict(Phase.objects.filter(run=self.run, number__lt=first_number).values_list("number", "pk"))
        kinds = (LogKind.STABLE.value, LogKind.DETHRONED.value)
        by = self._first + self._unique[events["step"]]
        rows = list(zip(events["kind"].tolist(), events["entry_id"].tolist(), by.tolist(), strict=True))
        for some in _in_chunks(list(enumerate(rows, start=1))):
            keyed = (
                (position, kinds[kind], release.get(number) or first_key + number - first_number, candidate)
                for position, (kind, number, candidate) in some
            )
            bulk.insert(LogEntry, _LOG, [(self.run.pk, *one, _moment()) for one in keyed])

    def _write_scores(self, verdicts: Sequence[str], first_key: int) -> None:
        """A point for each phase that is at most metastable, ten more for what was stable."""
        given = [(n, PointsFor.UNIQUE, 1.0) for n, verdict in enumerate(verdicts) if verdict != Verdict.UNSTABLE]
        given += [(n, PointsFor.STABLE, 10.0) for n, verdict in enumerate(verdicts) if verdict == Verdict.STABLE]
        for some in _in_chunks(list(enumerate(given, start=1))):
            bulk.insert(ScoreEntry, _SCORE, [self._score(number, first_key, *one) for number, one in some])

    def _score(self, number: int, first_key: int, n: int, reason: PointsFor, points: float) -> bulk.Row:
        row = int(self._unique[n])
        member = self.batches[self._owners[row]].owner_id
        return (
            *(self.run.pk, number, member, points, reason.value, self.made.formulas[row], first_key + n),
            *(self._first + row, reason is PointsFor.STABLE, 0, _moment()),
        )

    def _write_points(self, hull: HullStore) -> None:
        HullPoint.objects.filter(run=self.run).delete()
        for rows in _in_chunks(outcomes.point_rows(self.run, hull.point_arrays())):
            bulk.insert(HullPoint, outcomes.POINT, rows)


_PLACES = np.random.default_rng(1).random(2000).astype("<f8")
_CELL = (np.eye(3) * 7.0).astype("<f8").tobytes()
_HALVES = "[[1, 0.5], [2, 0.5]]"


@lru_cache(maxsize=1)
def _moment() -> Any:
    """One for all: nothing here depends on the time."""
    return bulk.now()


def _verdicts(on_arrival: NDArray[np.float64]) -> list[str]:
    """As the rules have it, from eV/atom above the hull on arrival."""
    below = [on_arrival <= _STABLE_EV, on_arrival <= _METASTABLE_EV]
    found = np.select(below, [Verdict.STABLE.value, Verdict.METASTABLE.value], Verdict.UNSTABLE.value)
    return [str(verdict) for verdict in found]


_ItemT = TypeVar("_ItemT")


def _in_chunks(items: Sequence[_ItemT]) -> Iterator[Sequence[_ItemT]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def _next_key(model: type[models.Model]) -> int:
    last: int | None = model._default_manager.aggregate(last=models.Max("pk"))["last"]
    return (last or 0) + 1


def _set_sequence(model: type[models.Model]) -> None:
    """PostgreSQL gives keys from where the rows end; SQLite knows by itself."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            table = model._meta.db_table
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", [table, _next_key(model)])
