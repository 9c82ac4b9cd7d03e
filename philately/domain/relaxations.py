"""Relaxations are facts that every season shares: how they are written, and what follows for one candidate."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from philately.domain import comparisons
from philately.domain.judges import settings_of
from philately.domain.symmetry import symmetry_columns
from philately.domain.transitions import ids, move, say
from philately.models import Candidate, Opinion, RelaxationFact, RelaxationGeometry
from philately.states import CandidateState
from validation.acceptance import accept_relaxed
from validation.crystal import Crystal
from validation.matching import Description
from validation.relaxation import Relaxation, Stopped
from validation.rules import Rejected, Rules

log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Another worker has the structure by now."""


def known_facts(scale_id: int, initial_hashes: Iterable[str]) -> dict[str, RelaxationFact]:
    """By initial structure: made for another season, or by a worker that died before it could say so."""
    known = RelaxationFact.objects.filter(initial_hash__in=list(initial_hashes), scale_id=scale_id)
    return {fact.initial_hash: fact for fact in known.select_related("geometry", "scale")}


def known_hashes(scale_id: int, initial_hashes: Iterable[str]) -> set[str]:
    """Those of them whose relaxation is a fact."""
    known = RelaxationFact.objects.filter(initial_hash__in=list(initial_hashes), scale_id=scale_id)
    return set(known.values_list("initial_hash", flat=True))


def save(candidate: Candidate, result: Relaxation, provenance: Mapping[str, object]) -> RelaxationFact:
    """Write a fact, which counts for the candidate's owner; where another worker wrote the same one first, theirs
    stands."""
    season = candidate.season
    with transaction.atomic():
        made_for = {"formula": candidate.formula, "made_for_id": candidate.batch_id}
        fact, is_new = _written(result, season.scale_id, {**made_for, "provenance": provenance})
        if is_new and result.stopped is not Stopped.EXPLODED:
            described = Description.of(result.crystal, Rules.from_json(season.rules).duplicate)
            comparisons.write_fingerprints(fact.pk, described)
    return fact


def save_opinion(opinion: Opinion, result: Relaxation, provenance: Mapping[str, object]) -> RelaxationFact:
    """The same of what an auditor was asked; it counts for nobody and is compared with nothing."""
    with transaction.atomic():
        return _written(result, opinion.scale_id, {"formula": opinion.relaxation.formula, "provenance": provenance})[0]


def _written(result: Relaxation, scale_id: int, whose: Mapping[str, Any]) -> tuple[RelaxationFact, bool]:
    """The fact with its geometry, and whether it is new."""
    figures = {} if result.stopped is Stopped.EXPLODED else _figures(result)
    fact, is_new = RelaxationFact.objects.get_or_create(
        initial_hash=result.initial_hash,
        scale_id=scale_id,
        defaults={
            **whose,
            "n_sites": len(result.crystal),
            "stopped": result.stopped,
            "steps": result.steps,
            "seconds": result.seconds,
            "note": result.note,
            **figures,
        },
    )
    if is_new:
        RelaxationGeometry.objects.create(
            relaxation=fact,
            crystal=result.crystal.pack(),
            forces=result.forces.tobytes(),
            stress=result.stress.tobytes(),
            history=result.history.tobytes(),
            magmoms=_packed(result.magmoms),
            charges=_packed(result.charges),
        )
    return fact, is_new


def _figures(result: Relaxation) -> dict[str, object]:
    """What has no meaning where a relaxation exploded."""
    return {
        "energy_per_atom": result.energy_per_atom,
        "fmax_ev_per_ang": result.fmax_ev_per_ang,
        "smax_ev_per_ang3": result.smax_ev_per_ang3,
        "rmsd_ang": result.rmsd_ang,
        "volume_change": result.volume_change,
        **symmetry_columns(result.crystal),
    }


def _packed(values: NDArray[np.float64] | None) -> bytes | None:
    return None if values is None else values.astype(np.float32).tobytes()


def commit(candidate: Candidate, fact: RelaxationFact) -> None:
    """Move the candidate on, by the rules of its season, while its lease holds. Raises LeaseLost."""
    try:
        accept_relaxed(
            Crystal.unpack(candidate.detail.geometry or b""),
            Crystal.unpack(fact.geometry.crystal),
            fact,
            rules=Rules.from_json(candidate.season.rules),
            settings=settings_of(fact.scale),
        )
    except Rejected as rejection:
        _move_on(candidate, CandidateState.REJECTED, rejection.detail, reason=rejection.reason, relaxation=fact)
        return
    _move_on(candidate, CandidateState.RELAXED, "", relaxation=fact, attempts=0)
    _compare(candidate)


def _move_on(candidate: Candidate, target: CandidateState, sentence: str, **fields: Any) -> None:
    mine = Candidate.objects.filter(pk=candidate.pk, lease=candidate.lease)
    with transaction.atomic():
        if not move(mine, CandidateState.RELAXING, target, **fields):
            raise LeaseLost
        say(candidate.pk, sentence)
    log.debug("candidate %s is %s: %s", candidate.pk, target, sentence or "within the rules", extra=ids(candidate))


def _compare(candidate: Candidate) -> None:
    """Make the fits that the sequencer would have to make; what fails here fails there again, and is recorded then."""
    run = candidate.season.official_run
    if run is None:
        return
    try:
        comparisons.compare(run, candidate.pk)
    except Exception:
        log.exception("comparing candidate %s ahead of its turn failed", candidate.pk, extra=ids(candidate))
