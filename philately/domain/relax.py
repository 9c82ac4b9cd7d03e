"""Phase 2: claim, relax, save each structure as it finishes. Relaxations are facts that every season shares."""

import logging
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from philately.broker import ring
from philately.domain import comparisons
from philately.domain.alarms import alarm
from philately.domain.symmetry import symmetry_columns
from philately.domain.transitions import begin, claim, fail, move, renew, say
from philately.models import Candidate, RelaxationFact, RelaxationGeometry, Scale
from philately.states import CandidateState, Stage
from validation.acceptance import accept_relaxed
from validation.canary import CanaryDied, CanaryResult, check
from validation.crystal import Crystal
from validation.matching import Description
from validation.potentials import Judge, load_judge
from validation.relaxation import Relaxation, Stopped, relax
from validation.rules import Rejected, RelaxationSettings, Rules
from validation.scales import scale_digest, scale_of

log = logging.getLogger(__name__)

_GRACE_S = 30.0  # a relaxation that heeds its limit has ended by then


class WrongScale(Exception):
    """The judge that was loaded is not the one whose scale the season uses."""


class LeaseLost(Exception):
    """Another worker has the structure by now."""


class ToldToStop(Exception):
    """The worker is ending; what it did not finish goes back."""


@lru_cache(maxsize=2)
def judge_of(scale_id: int) -> tuple[Judge, CanaryResult]:
    """The scale's judge, loaded once a process and believed only after its canary. Raises CanaryDied or WrongScale."""
    scale = Scale.objects.get(pk=scale_id)
    judge = load_judge(scale.judge, scale.model, threads=settings.RELAX_THREADS)
    result = check(judge)
    found = scale_digest(scale_of(judge, settings_of(scale)))
    if found != scale.digest:
        raise WrongScale(
            f"the weights loaded for {scale} have the scale {found[:12]}, the season's is {scale.digest[:12]}"
        )
    return judge, result


def settings_of(scale: Scale) -> RelaxationSettings:
    return RelaxationSettings(**scale.identity["relaxation"])


def relax_some(scale_id: int, *, stop: Callable[[], bool] = lambda: False) -> bool:
    """Claim one helping of atoms on this scale and relax it; says whether there may be more to do.

    Raises what loading the judge raised, after writing it down where an organiser sees it; nothing is claimed then.
    """
    if not _waiting(scale_id).exists():
        return False
    judge, canary = _loaded(scale_id)
    mine = _claim_helping(scale_id)
    for candidate in mine:
        if stop():
            _give_back(candidate)
        elif begin(candidate):
            _relax_one(candidate, judge, canary, stop)
    return bool(mine)


def _loaded(scale_id: int) -> tuple[Judge, CanaryResult]:
    try:
        loaded = judge_of(scale_id)
    except Exception as error:
        Scale.objects.filter(pk=scale_id).update(problem=f"{type(error).__name__}: {error}")
        raise
    Scale.objects.filter(pk=scale_id).exclude(problem="").update(problem="")
    return loaded


def _waiting(scale_id: int) -> QuerySet[Candidate]:
    return Candidate.objects.filter(season__scale_id=scale_id, state=CandidateState.PARSED)


def _claim_helping(scale_id: int) -> list[Candidate]:
    """At least one candidate, and as many more as the budget of atoms allows, in order of arrival."""
    waiting = _waiting(scale_id).order_by("arrival").values_list("pk", "n_atoms")
    helping: list[int] = []
    atoms = 0
    for pk, n_atoms in waiting[:64]:
        atoms += n_atoms or 1
        if helping and atoms > settings.RELAX_CLAIM_ATOMS:
            break
        helping.append(pk)
    token = claim(helping, CandidateState.PARSED, CandidateState.RELAXING)
    held = Candidate.objects.filter(lease=token).select_related("detail", "season__scale")
    return list(held.order_by("arrival"))


def _relax_one(candidate: Candidate, judge: Judge, canary: CanaryResult, stop: Callable[[], bool]) -> None:
    """One structure from its beginning to its commit: the only place where a fault of this phase is caught."""
    try:
        initial = Crystal.unpack(candidate.detail.geometry or b"")
        fact = _known_fact(candidate) or _save(candidate, _relaxed(candidate, initial, judge, stop), judge, canary)
        if _commit(candidate, initial, fact):
            _compare(candidate)
        ring("place", candidate.season_id, queue="place")
    except ToldToStop:
        candidate.attempts -= 1
        _give_back(candidate)
    except LeaseLost:
        log.warning("candidate %s was taken over by another worker", candidate.pk)
    except Exception as error:
        log.exception("relaxing candidate %s failed", candidate.pk)
        fail(candidate, Stage.RELAX, error, token=candidate.lease)


def _relaxed(candidate: Candidate, initial: Crystal, judge: Judge, stop: Callable[[], bool]) -> Relaxation:
    renewed = time.monotonic()

    def heartbeat(step: int) -> None:
        nonlocal renewed
        if stop():
            raise ToldToStop
        if time.monotonic() - renewed > settings.LEASE_S / 4:
            if not renew(str(candidate.lease)):
                raise LeaseLost
            renewed = time.monotonic()

    how = settings_of(candidate.season.scale)
    with _killed_after(settings.RELAX_LIMIT_S + _GRACE_S):
        return relax(initial, judge, how, time_limit_s=settings.RELAX_LIMIT_S, on_step=heartbeat)


def _killed_after(seconds: float) -> AbstractContextManager[None]:
    """End this process where a single step hangs in compiled code, which no exception reaches.

    The pool starts another one, and the sweeper takes the structure back.
    """
    return alarm(seconds, signal.SIG_DFL)


def _known_fact(candidate: Candidate) -> RelaxationFact | None:
    """The relaxation of the same structure for another season, or by a worker that died before it could say so."""
    return RelaxationFact.objects.filter(
        initial_hash=candidate.content_hash, scale_id=candidate.season.scale_id
    ).first()


def _save(candidate: Candidate, result: Relaxation, judge: Judge, canary: CanaryResult) -> RelaxationFact:
    """Write a fact; where another worker wrote the same one first, theirs stands."""
    exploded = result.stopped is Stopped.EXPLODED
    with transaction.atomic():
        fact, created = RelaxationFact.objects.get_or_create(
            initial_hash=result.initial_hash,
            scale_id=candidate.season.scale_id,
            defaults={
                "formula": candidate.formula,
                "n_sites": len(result.crystal),
                "stopped": result.stopped,
                "energy_per_atom": None if exploded else result.energy_per_atom,
                "fmax_ev_per_ang": None if exploded else result.fmax_ev_per_ang,
                "smax_ev_per_ang3": None if exploded else result.smax_ev_per_ang3,
                "steps": result.steps,
                "seconds": result.seconds,
                **({} if exploded else symmetry_columns(result.crystal)),
                "note": result.note,
                "provenance": _provenance(judge, canary),
            },
        )
        if created:
            RelaxationGeometry.objects.create(
                relaxation=fact,
                crystal=result.crystal.pack(),
                forces=result.forces.tobytes(),
                stress=result.stress.tobytes(),
                history=result.history.tobytes(),
            )
            if not exploded:
                described = Description.of(result.crystal, Rules.from_json(candidate.season.rules).duplicate)
                comparisons.write_fingerprints(fact.pk, described)
    return fact


def _provenance(judge: Judge, canary: CanaryResult) -> dict[str, object]:
    return {
        "device": judge.device,
        "versions": judge.versions,
        "canary": {
            row.crystal: {"lattice_ang": row.found.lattice_ang, "energy_per_atom": row.found.energy_per_atom}
            for row in canary.rows
        },
    }


def _commit(candidate: Candidate, initial: Crystal, fact: RelaxationFact) -> bool:
    """Move the candidate on while the lease holds; says whether it waits for its turn now. Raises LeaseLost."""
    mine = Candidate.objects.filter(pk=candidate.pk, lease=candidate.lease)
    try:
        accept_relaxed(
            initial,
            Crystal.unpack(fact.geometry.crystal),
            fact,
            rules=Rules.from_json(candidate.season.rules),
            settings=settings_of(fact.scale),
        )
    except Rejected as rejection:
        with transaction.atomic():
            if not move(
                mine, CandidateState.RELAXING, CandidateState.REJECTED, reason=rejection.reason, relaxation=fact
            ):
                raise LeaseLost from None
            say(candidate.pk, rejection.detail)
        return False
    with transaction.atomic():
        if not move(mine, CandidateState.RELAXING, CandidateState.RELAXED, relaxation=fact, attempts=0):
            raise LeaseLost
        say(candidate.pk, "")
    return True


def _compare(candidate: Candidate) -> None:
    """Make the fits that the sequencer would have to make; what fails here fails there again, and is recorded then."""
    run = candidate.season.official_run
    if run is None:
        return
    try:
        comparisons.compare(run, candidate.pk)
    except Exception:
        log.exception("comparing candidate %s ahead of its turn failed", candidate.pk)


def _give_back(candidate: Candidate) -> None:
    """An unfinished structure goes back without counting as an attempt."""
    mine = Candidate.objects.filter(pk=candidate.pk, lease=candidate.lease)
    move(mine, CandidateState.RELAXING, CandidateState.PARSED, attempts=candidate.attempts)


__all__ = ["CanaryDied", "LeaseLost", "WrongScale", "judge_of", "relax_some", "settings_of"]
