"""Facts made by hand: candidates in any state with energies of one's choice, and interruptions at any statement."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from ase import Atoms
from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from philately.broker import app, queue_name
from philately.domain import files, likenesses
from philately.models import (
    Batch,
    Candidate,
    CandidateDetail,
    HullPoint,
    LogEntry,
    Membership,
    Phase,
    Placement,
    RelaxationFact,
    RelaxationGeometry,
    Run,
    ScoreEntry,
    Season,
    Shard,
)
from philately.states import BatchState, CandidateState, ShardState
from validation.crystal import Crystal
from validation.matching import Description
from validation.relaxation import Stopped
from validation.rules import Rules


def add_batch(member: Membership, *, state: BatchState = BatchState.READ, sha256: str = "") -> Batch:
    return Batch.objects.create(
        season=member.season,
        owner=member,
        sha256=sha256 or hashlib.sha256(str(Batch.objects.count()).encode()).hexdigest(),
        file_name="made-up.zip",
        n_bytes=1,
        method="made up",
        licence="CC BY 4.0",
        submitted_at=timezone.now(),
        state=state,
    )


def add_shard(batch: Batch, text: bytes = b"", **fields: Any) -> Shard:
    number = batch.shards.count()
    name, sha256 = files.save_shard(batch.pk, number, text)
    return Shard.objects.create(
        batch=batch, number=number, stored_as=name, sha256=sha256, **{"state": ShardState.PARSED, **fields}
    )


def add_candidate(
    member: Membership,
    atoms: Atoms,
    energy_per_atom: float | None = None,
    *,
    state: CandidateState = CandidateState.RELAXED,
    **fields: Any,
) -> Candidate:
    """The next arrival; with an energy also its relaxation, to the very crystal that is given."""
    crystal = Crystal.from_atoms(atoms)
    season = member.season
    Season.objects.filter(pk=season.pk).update(next_arrival=F("next_arrival") + 1)
    arrival = Season.objects.values_list("next_arrival", flat=True).get(pk=season.pk) - 1
    if "shard" not in fields:
        fields["shard"] = add_shard(add_batch(member))
    shard = fields["shard"]
    candidate = Candidate.objects.create(
        season=season,
        batch=shard.batch,
        arrival=arrival,
        state=state,
        formula=str(crystal.formula),
        content_hash=crystal.content_hash,
        n_atoms=len(crystal),
        relaxation=None if energy_per_atom is None else add_fact(season, crystal, energy_per_atom, arrival),
        **fields,
    )
    CandidateDetail.objects.create(
        candidate=candidate, file=f"{arrival}.cif", offset=0, length=0, geometry=crystal.pack()
    )
    twins = Rules.from_json(season.rules).twin
    likenesses.write(season.pk, [(candidate.pk, one) for one in Description.of(crystal, twins).fingerprints])
    return candidate


def add_fact(season: Season, crystal: Crystal, energy_per_atom: float, arrival: int) -> RelaxationFact:
    fact = RelaxationFact.objects.create(
        initial_hash=hashlib.sha256(str(arrival).encode()).hexdigest(),
        scale=season.scale,
        formula=str(crystal.formula),
        n_sites=len(crystal),
        stopped=Stopped.CONVERGED,
        energy_per_atom=energy_per_atom,
        fmax_ev_per_ang=0.0,
        smax_ev_per_ang3=0.0,
        steps=0,
        seconds=0.0,
        provenance={"device": "cpu", "versions": {}},
    )
    RelaxationGeometry.objects.create(relaxation=fact, crystal=crystal.pack(), forces=b"", stress=b"", history=b"")
    return fact


def rows_of(run: Run) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that a run is, except times and primary keys of its own rows."""
    run.refresh_from_db()
    figures = ("energy_per_atom", "formation_energy_per_atom", "e_above_hull_on_arrival", "decomposition_energy")
    return {
        "run": [(run.placed_to, run.log_position, run.next_phase_number)],
        "candidates": _rows(run.season.candidates, "arrival", "state", "reason", "twin_of__arrival"),
        "placements": _rows(
            Placement.objects.filter(run=run),
            *("candidate__arrival", "verdict", "reason", "sentence", "phase__number", "log_position", *figures),
        ),
        "phases": _rows(
            Phase.objects.filter(run=run),
            *("number", "status", "formula", "energy_per_atom", "first_candidate__arrival", "candidate__arrival"),
        ),
        "log": _rows(
            LogEntry.objects.filter(run=run), "position", "kind", "phase__number", "by__number", "candidate__arrival"
        ),
        "hull": _rows(
            HullPoint.objects.filter(run=run),
            *("formula", "chemical_system", "hull_energy", "lowest_energy", "lowest_phase", "is_vertex"),
        ),
        "scores": _rows(
            ScoreEntry.objects.filter(run=run),
            *("number", "member", "points", "reason", "formula", "phase__number", "candidate__arrival"),
        ),
    }


def _rows(rows: Any, first: str, *names: str) -> list[tuple[Any, ...]]:
    return list(rows.order_by(first).values_list(first, *names))


def let_expire(leased: QuerySet[Any]) -> None:
    """As if whoever holds these had been silent for too long."""
    past = Now() - timedelta(seconds=1)
    name = "until" if any(field.name == "until" for field in leased.model._meta.fields) else "lease_until"
    leased.update(**{name: past})


def long_ago(candidates: QuerySet[Candidate], days: float = 30) -> None:
    candidates.update(changed_at=Now() - timedelta(days=days))


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


@contextmanager
def before_statement(number: int, deed: Callable[[], None]) -> Iterator[list[int]]:
    """Do something just before the so-manieth statement, from 1; gives a list that grows by one a statement."""
    seen: list[int] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not busy:
            seen.append(len(seen) + 1)
            if len(seen) == number:
                busy.append(True)
                try:
                    deed()
                finally:
                    busy.pop()
        return execute(sql, params, many, context)

    busy: list[bool] = []
    with connection.execute_wrapper(wrapper):
        yield seen


def kill() -> None:
    raise Killed


def bells(queue: str) -> list[tuple[str, int]]:
    """Takes the messages from a queue of the in-memory broker: (task, key)."""
    found = []
    with app.connection_for_read() as broker:
        waiting = broker.SimpleQueue(queue_name(queue))
        while waiting.qsize():
            message = waiting.get(block=False)
            message.ack()
            found.append((message.headers["task"].rsplit(".", 1)[1], message.payload[0][0]))
        waiting.close()
    return found
