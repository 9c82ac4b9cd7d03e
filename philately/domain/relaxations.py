"""Relaxations are facts that every season shares: how they are written, and what follows for one candidate."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from django.db import transaction
from django.db.models import OuterRef, Subquery
from numpy.typing import NDArray

from philately.domain import bulk, comparisons
from philately.domain.judges import settings_of
from philately.domain.symmetry import symmetry_columns
from philately.domain.transitions import ids, move, say_all
from philately.models import Candidate, Opinion, RelaxationFact, RelaxationGeometry, Season
from philately.states import CandidateState
from validation.acceptance import accept_relaxed
from validation.crystal import Crystal
from validation.fingerprint import Fingerprint
from validation.matching import Description
from validation.relaxation import Relaxation, Stopped
from validation.rules import Rejected, RelaxationSettings, Rules, Tolerances

log = logging.getLogger(__name__)

_FACT = (
    *("id", "initial_hash", "scale", "made_for", "formula", "n_sites", "stopped", "steps", "seconds", "note"),
    *("energy_per_atom", "fmax_ev_per_ang", "smax_ev_per_ang3", "rmsd_ang", "volume_change"),
    *("space_group_number", "pearson_symbol", "prototype_label", "provenance", "created_at"),
)
_GEOMETRY = ("relaxation", "crystal", "forces", "stress", "history", "magmoms", "charges")


def known_facts(scale_id: int, initial_hashes: Iterable[str]) -> dict[str, RelaxationFact]:
    """By initial structure: made for another season, or by a worker that died before it could say so."""
    known = RelaxationFact.objects.filter(initial_hash__in=list(initial_hashes), scale_id=scale_id)
    return {fact.initial_hash: fact for fact in known.select_related("geometry", "scale")}


def known_hashes(scale_id: int, initial_hashes: Iterable[str]) -> set[str]:
    """Those of them whose relaxation is a fact."""
    known = RelaxationFact.objects.filter(initial_hash__in=list(initial_hashes), scale_id=scale_id)
    return set(known.values_list("initial_hash", flat=True))


def save(
    made: Sequence[tuple[Candidate, Relaxation]], scale_id: int, provenance: Mapping[str, object]
) -> list[RelaxationFact]:
    """Write facts, each of which counts for its candidate's owner, and return them in this order; where another worker
    wrote the same one first, theirs stands."""
    policies = {season.pk: Rules.from_json(season.rules).duplicate for season in _seasons_of(one for one, _ in made)}
    new = [
        _New(
            result,
            candidate.formula,
            candidate.batch_id,
            () if result.stopped is Stopped.EXPLODED else _fingerprints(result, policies[candidate.season_id]),
        )
        for candidate, result in made
    ]
    return _written(new, scale_id, provenance)


def save_opinions(
    made: Sequence[tuple[Opinion, Relaxation]], scale_id: int, provenance: Mapping[str, object]
) -> list[RelaxationFact]:
    """The same of what an auditor was asked; it counts for nobody and is compared with nothing."""
    return _written([_New(result, opinion.relaxation.formula) for opinion, result in made], scale_id, provenance)


@dataclass(frozen=True, slots=True)
class _New:
    """What is to become a fact. made_for: a batch."""

    result: Relaxation
    formula: str
    made_for: int | None = None
    fingerprints: tuple[Fingerprint, ...] = ()


def _fingerprints(result: Relaxation, policy: Tolerances) -> tuple[Fingerprint, ...]:
    return Description.of(result.crystal, policy).fingerprints


def _written(new: Sequence[_New], scale_id: int, provenance: Mapping[str, object]) -> list[RelaxationFact]:
    """In a handful of statements. By order of hash, so that two workers that write the same ones wait for each other
    and not both at once."""
    ordered = sorted(new, key=lambda one: one.result.initial_hash)
    hashes = [one.result.initial_hash for one in ordered]
    figures = [_figures(one.result) for one in ordered]  # before the transaction begins: it takes a while
    said = json.dumps(provenance)
    with transaction.atomic():
        now, keys = bulk.now(), bulk.reserve_ids(RelaxationFact, len(ordered))
        rows = [
            (key, one.result.initial_hash, scale_id, one.made_for, one.formula, *columns, said, now)
            for key, one, columns in zip(keys, ordered, figures, strict=True)
        ]
        bulk.insert_missing(RelaxationFact, _FACT, rows, unique=("initial_hash", "scale"))
        stored = RelaxationFact.objects.filter(initial_hash__in=hashes, scale_id=scale_id).values_list("pk", flat=True)
        is_new = set(stored) & set(keys)
        written = [(key, one) for key, one in zip(keys, ordered, strict=True) if key in is_new]
        bulk.insert(RelaxationGeometry, _GEOMETRY, [_geometry(key, one.result) for key, one in written])
        comparisons.write_fingerprints((key, one.fingerprints) for key, one in written)
    facts = known_facts(scale_id, hashes)
    return [facts[one.result.initial_hash] for one in new]


def _figures(result: Relaxation) -> tuple[object, ...]:
    """How it ended; most of it has no meaning where the relaxation exploded."""
    how = (len(result.crystal), result.stopped.value, result.steps, result.seconds, result.note)
    if result.stopped is Stopped.EXPLODED:
        return (*how, None, None, None, None, None, None, "", "")
    moved = (result.fmax_ev_per_ang, result.smax_ev_per_ang3, result.rmsd_ang, result.volume_change)
    return (*how, result.energy_per_atom, *moved, *symmetry_columns(result.crystal).values())


def _geometry(key: int, result: Relaxation) -> tuple[object, ...]:
    arrays = (result.forces.tobytes(), result.stress.tobytes(), result.history.tobytes())
    return (key, result.crystal.pack(), *arrays, _packed(result.magmoms), _packed(result.charges))


def _packed(values: NDArray[np.float64] | None) -> bytes | None:
    return None if values is None else values.astype(np.float32).tobytes()


def commit(ended: Sequence[tuple[Candidate, RelaxationFact]]) -> set[int]:
    """Move the candidates on, each by the rules of its season, while its lease holds; the keys of those that moved.

    The facts are those of the candidates' content hashes, on the scale of their seasons.
    """
    judged = _judged(ended)
    with transaction.atomic():
        mine = _still_mine([candidate for candidate, _, _ in judged])
        moving = [one for one in judged if one[0].pk in mine]
        _move_on(moving)
    for candidate, _, rejection in moving:
        sentence = rejection.detail if rejection else "within the rules"
        log.debug("candidate %s is relaxed: %s", candidate.pk, sentence, extra=ids(candidate))
    _compare([candidate for candidate, _, rejection in moving if rejection is None])
    return mine


_Judged = tuple[Candidate, RelaxationFact, Rejected | None]


def _judged(ended: Sequence[tuple[Candidate, RelaxationFact]]) -> list[_Judged]:
    rules = {season.pk: Rules.from_json(season.rules) for season in _seasons_of(one for one, _ in ended)}
    scales = {scale.pk: settings_of(scale) for scale in {fact.scale_id: fact.scale for _, fact in ended}.values()}
    return [
        (candidate, fact, _rejection(candidate, fact, rules[candidate.season_id], scales[fact.scale_id]))
        for candidate, fact in ended
    ]


def _rejection(
    candidate: Candidate, fact: RelaxationFact, rules: Rules, settings: RelaxationSettings
) -> Rejected | None:
    initial, relaxed = Crystal.unpack(candidate.detail.geometry or b""), Crystal.unpack(fact.geometry.crystal)
    try:
        accept_relaxed(initial, relaxed, fact, rules=rules, settings=settings)
    except Rejected as rejection:
        return rejection
    return None


def _still_mine(candidates: Sequence[Candidate]) -> set[int]:
    """Keys of those whose leases hold; on PostgreSQL nobody takes them before the transaction ends."""
    leases = {candidate.pk: candidate.lease for candidate in candidates}
    relaxing = Candidate.objects.filter(pk__in=leases, state=CandidateState.RELAXING).order_by("pk")
    return {pk for pk, lease in relaxing.select_for_update().values_list("pk", "lease") if lease == leases[pk]}


def _move_on(judged: Sequence[_Judged]) -> None:
    """In a statement for all that pass, and one for each reason why others do not."""
    scales = {fact.scale_id for _, fact, _ in judged}
    mine = RelaxationFact.objects.filter(initial_hash=OuterRef("content_hash"), scale__in=scales)
    relaxation = Subquery(mine.values("pk")[:1])
    for reason in sorted({rejection.reason for _, _, rejection in judged if rejection}):
        rejected = [candidate.pk for candidate, _, rejection in judged if rejection and rejection.reason == reason]
        changes = {"reason": reason, "relaxation": relaxation}
        move(Candidate.objects.filter(pk__in=rejected), CandidateState.RELAXING, CandidateState.REJECTED, **changes)
    passed = Candidate.objects.filter(pk__in=[candidate.pk for candidate, _, rejection in judged if rejection is None])
    move(passed, CandidateState.RELAXING, CandidateState.RELAXED, relaxation=relaxation, attempts=0)
    say_all([(candidate.pk, rejection.detail if rejection else "") for candidate, _, rejection in judged])


def _seasons_of(candidates: Iterable[Candidate]) -> Iterable[Season]:
    """Each once; one object stands for the candidates of a season as long as they were claimed together."""
    return {candidate.season_id: candidate.season for candidate in candidates}.values()


def _compare(candidates: Sequence[Candidate]) -> None:
    """Make the fits that the sequencer would have to make; what fails here fails there again, and is recorded then."""
    runs = {season.pk: season.official_run for season in _seasons_of(candidates)}
    for season, run in runs.items():
        mine = [candidate.pk for candidate in candidates if candidate.season_id == season]
        try:
            if run is not None:
                comparisons.compare(run, mine)
        except Exception:
            log.exception("comparing %s candidates ahead of their turn failed", len(mine), extra={"season": season})
