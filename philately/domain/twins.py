"""Twins: what is the same initial structure as an earlier one is parked, in order of arrival.

One process at a time looks, and only as far as everything earlier has been read, so that which of two twins is the
original does not depend on which worker was faster.
"""

import logging
from collections.abc import Mapping, Sequence

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from philately.broker import ring
from philately.domain import likenesses
from philately.domain.arrivals import next_arrivals
from philately.domain.bells import ring_relax
from philately.domain.caution import Caution
from philately.domain.files import chunks
from philately.domain.locks import Hold, LockLost, lock
from philately.domain.transitions import SESSION_LOST, WorkerDied, fail, ids, move, say
from philately.logs import carries
from philately.models import Candidate, Placement, Scale, Season
from philately.states import CandidateState, Stage
from validation.answers import Read
from validation.crystal import Crystal
from validation.fingerprint import Limits
from validation.matching import is_match
from validation.rules import Reason, Rules

log = logging.getLogger(__name__)

_CHUNK = 500
_ASKED = 5000  # keys a statement
_FALLEN = (CandidateState.CHECKED, CandidateState.WITHDRAWN, CandidateState.SET_ASIDE)  # no original, or not yet


@carries("season")
def settle(season_id: int) -> int:
    """Decide on the twins of everything whose turn it is; says how many candidates went on to relaxation."""
    season = Season.objects.select_related("scale").get(pk=season_id)
    rules = Rules.from_json(season.rules)
    released = 0
    with lock(f"twins:{season_id}") as hold:
        caution = Caution(_CHUNK, hold.deaths if hold is not None else 0)
        while hold is not None and (waiting := _whose_turn_it_is(season, caution.size)):
            released += _settle_carefully(season, waiting, rules, hold, caution)
    if released:
        ring_relax(season.scale)
    ring("place", season.pk, queue="place")  # rejections and twins let the sequencer pass
    return released


def first_due(season: Season) -> int | None:
    """The arrival number of the first that waits here and for nothing else."""
    first = _whose_turn_it_is(season, 1)
    return first[0].arrival if first else None


def _settle_carefully(season: Season, waiting: list[Candidate], rules: Rules, hold: Hold, caution: Caution) -> int:
    """What fails, or killed whoever was here before, is looked at in smaller and smaller chunks, at last alone; and
    then it is to blame."""
    alone = waiting[0] if caution.alone else None
    if alone is not None and not _may_try(alone):
        return 0
    try:
        released = _settle_chunk(season, waiting, rules, hold)
    except (LockLost, *SESSION_LOST):
        raise
    except Exception as error:
        log.exception("looking for twins of %s candidates from arrival %s failed", len(waiting), waiting[0].arrival)
        if alone is not None:
            fail(alone, Stage.SETTLE, error)
        caution.fell()
        return 0
    caution.passed(len(waiting))
    return released


def _may_try(candidate: Candidate) -> bool:
    """Note the attempt, for this process may die of it; after three such it failed."""
    if candidate.attempts >= settings.MAX_ATTEMPTS:
        fail(candidate, Stage.SETTLE, WorkerDied("looking for its twins stopped the worker"))
        return False
    candidate.attempts += 1
    mine = Candidate.objects.filter(pk=candidate.pk, state=CandidateState.CHECKED)
    return mine.update(attempts=candidate.attempts) == 1


def _whose_turn_it_is(season: Season, size: int) -> list[Candidate]:
    """Checked candidates before the first that is unread, or failed here. The horizon comes first, as it does in
    phase 3."""
    failed = Q(content_hash="") | Q(failed_in=Stage.SETTLE)
    unread = Q(state=CandidateState.RECEIVED), Q(failed, state=CandidateState.FAILED)
    candidates = Candidate.objects.filter(season=season)
    horizon = candidates.order_by("arrival").values_list("arrival", flat=True).last() or 0
    candidates = candidates.filter(arrival__lte=horizon)
    mine = Candidate.objects.filter(season=OuterRef("pk"), arrival__lte=horizon).order_by("arrival")
    firsts = (Subquery(mine.filter(one).values("arrival")[:1]) for one in unread)  # one look into the index each
    found = Season.objects.values_list(*firsts).get(pk=season.pk)  # in one statement: what is tried again is in one
    frontier = min((arrival for arrival in found if arrival is not None), default=None)
    checked = candidates.filter(state=CandidateState.CHECKED)
    if frontier is not None:
        checked = checked.filter(arrival__lt=frontier)
    return list(checked.order_by("arrival").select_related("detail")[:size])


def _settle_chunk(season: Season, waiting: list[Candidate], rules: Rules, hold: Hold) -> int:
    """All fits are made before the transaction; what stands in this chunk counts as earlier for the rest of it.

    Where an original fell away meanwhile nothing is decided, and the chunk's turn comes again.
    """
    near = _near(season, waiting, rules)
    standing = _standing(season, {other for others in near.values() for other in others})
    crystals = {pk: Crystal.unpack(one.detail.geometry or b"") for pk, one in standing.items()}
    originals: dict[int, Candidate | None] = {}
    for candidate in waiting:
        hold.keep()
        earlier = [standing[pk] for pk in near.get(candidate.pk, ()) if pk in standing]
        earlier = sorted((one for one in earlier if one.arrival < candidate.arrival), key=lambda one: one.arrival)
        crystal = Crystal.unpack(candidate.detail.geometry or b"")
        original = _first_twin(crystal, earlier, crystals, rules)
        originals[candidate.pk] = original
        if original is None:
            standing[candidate.pk], crystals[candidate.pk] = candidate, crystal
    with transaction.atomic():
        hold.confirm()
        if not _all_stand({original.pk for original in originals.values() if original is not None}, waiting):
            return 0
        alone = [pk for pk, original in originals.items() if original is None]
        released = move(
            Candidate.objects.filter(pk__in=alone), CandidateState.CHECKED, CandidateState.PARSED, attempts=0
        )
        for candidate in waiting:
            if (original := originals[candidate.pk]) is not None:
                _park(candidate, original)
        _hand_on({one: original for one, original in originals.items() if original is not None})
    told = (waiting[0].arrival, waiting[-1].arrival, released, len(waiting) - released)
    log.info("arrivals %s to %s are compared: %s to be relaxed, %s others", *told)
    return released


def _hand_on(originals: Mapping[int, Candidate]) -> None:
    """Who is parked under one that is a twin itself now, as it was judged again, follows it to its original."""
    followed = Candidate.objects.filter(twin_of__in=list(originals), state=CandidateState.PARKED)
    for key in set(followed.values_list("twin_of", flat=True)):
        followed.filter(twin_of=key).update(twin_of=originals[key or 0])


def _near(season: Season, waiting: list[Candidate], rules: Rules) -> dict[int, list[int]]:
    """By candidate: the others of the season whose fingerprints are near its own."""
    wanted = likenesses.of_candidates({candidate.pk: candidate.formula for candidate in waiting})
    return likenesses.candidates_near(season.pk, wanted, Limits.of(rules.twin))


def _first_twin(
    crystal: Crystal, earlier: Sequence[Candidate], crystals: Mapping[int, Crystal], rules: Rules
) -> Candidate | None:
    """The first of the earlier ones that the crystal is a twin of; equal content is looked for first."""
    for other in earlier:
        if other.content_hash == crystal.content_hash:
            return other
    return next((other for other in earlier if is_match(crystal, crystals[other.pk], rules.twin)), None)


def _all_stand(originals: set[int], waiting: list[Candidate]) -> bool:
    """Whether the originals still stand, and what waits here, too; they do until this transaction ends, and whoever
    fells one finds its twins."""
    here = {candidate.pk for candidate in waiting}
    rows = Candidate.objects.select_for_update().filter(pk__in=originals | here).order_by("pk")
    states = dict(rows.values_list("pk", "state"))
    return all(state == CandidateState.CHECKED if pk in here else state not in _FALLEN for pk, state in states.items())


def _standing(season: Season, keys: set[int], owner_id: int | None = None) -> dict[int, Candidate]:
    """Those of the candidates that stand for themselves in the official run: twins of what it leaves out, too. Of one
    owner alone also those that are parked: under what is not to be told."""
    stand = Q(twin_of__isnull=True) | Q(Exists(_placements(season)), state=CandidateState.PARKED)
    wanted = stand if owner_id is None else Q(batch__owner=owner_id)
    found: dict[int, Candidate] = {}
    for some in chunks(sorted(keys), _ASKED):
        rows = (
            Candidate.objects.filter(wanted, pk__in=some)
            .exclude(state__in=_FALLEN)
            .exclude(exclusions__run=season.official_run_id)
            .select_related("detail", "batch")
        )
        found |= {row.pk: row for row in rows}
    return found


def _park(candidate: Candidate, original: Candidate) -> None:
    mine = Candidate.objects.filter(pk=candidate.pk)
    parked = {"twin_of": original, "reason": Reason.TWIN, "relaxation": None}  # its own, where it is judged again
    move(mine, CandidateState.CHECKED, CandidateState.PARKED, attempts=0, **parked)
    log.debug("candidate %s is a twin of candidate %s", candidate.pk, original.pk, extra=ids(candidate))
    own = original.batch_id == candidate.batch_id
    say(
        candidate.pk,
        f"the same initial structure as {original.detail.file} of this batch"
        if own
        else "the same initial structure as one submitted earlier; the first finder keeps the find",
    )


def promote(original: Candidate) -> None:
    """The earliest twin of a candidate that fell away takes its place, with a new arrival number; the others follow it.

    Belongs into the transaction in which the original falls away.
    """
    season = Season.objects.get(pk=original.season_id)
    parked = _parked_with(original, season).order_by("arrival")
    if standing := parked.filter(Exists(_placements(season))).first():
        parked.exclude(pk=standing.pk).update(twin_of=standing)  # it stood for itself already
        return
    heir = parked.exclude(exclusions__run=season.official_run_id).first()
    if heir is None:
        return
    arrival = next_arrivals(heir.season_id)
    parked.exclude(pk=heir.pk).update(twin_of=heir)
    mine = Candidate.objects.filter(pk=heir.pk)
    move(mine, CandidateState.PARKED, CandidateState.PARSED, twin_of=None, reason="", arrival=arrival)
    say(heir.pk, "")
    ring_relax(Scale.objects.get(seasons=heir.season_id))


def _placements(season: Season) -> QuerySet[Placement]:
    """In the official run, of the candidate at hand."""
    return Placement.objects.filter(run=season.official_run_id, candidate=OuterRef("pk"), withdrawn_after=None)


def _parked_with(original: Candidate, season: Season) -> QuerySet[Candidate]:
    """Twins of a candidate; where it is itself one that stood in for what the official run leaves out, of that, too."""
    twins = Q(twin_of=original)
    if original.twin_of_id is not None and Placement.objects.filter(run=season.official_run_id, candidate=original):
        twins |= Q(twin_of=original.twin_of_id)
    return Candidate.objects.filter(twins, state=CandidateState.PARKED).exclude(pk=original.pk)


def originals_of(season: Season, arriving: Mapping[int, Read], *, owner_id: int | None = None) -> dict[int, Candidate]:
    """By number: the earliest candidate, with batch and detail, that a crystal arriving now would be a twin of.

    arriving: what was read with its fingerprints. owner_id: a membership beside whose structures nothing is looked at.
    """
    rules = Rules.from_json(season.rules)
    wanted = [(-number, one) for number, read in arriving.items() for one in read.fingerprints]  # no candidate's key
    near = likenesses.candidates_near(season.pk, wanted, Limits.of(rules.twin))
    standing = _standing(season, {other for others in near.values() for other in others}, owner_id)
    crystals = {pk: Crystal.unpack(one.detail.geometry or b"") for pk, one in standing.items()}
    found = {}
    for number, read in arriving.items():
        earlier = [standing[pk] for pk in near.get(-number, ()) if pk in standing]
        if read.crystal is not None and earlier:
            earlier.sort(key=lambda one: one.arrival)
            original = _first_twin(read.crystal, earlier, crystals, rules)
            if original is not None:
                found[number] = original
    return found
