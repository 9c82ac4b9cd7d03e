"""Sending through the phases again what was rejected, failed or set aside: an organiser's deed.

What order of arrival has passed over gets a new arrival number and is read again from its text; what failed and will be
tried again anyway keeps its number, and its attempts begin anew. Relaxations are facts: one that is on file stands, and
only what follows from it is decided again. Nothing of it counts against a quota twice: a structure was counted when
its batch was read, and a relaxation is a row whoever asks for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from philately.broker import ring
from philately.domain import bulk
from philately.domain.arrivals import next_arrivals
from philately.domain.audit_log import About, Deed, record
from philately.domain.bells import ring_relax
from philately.domain.organisers import DeedRefused, refuse_frozen, refuse_strangers
from philately.domain.transitions import move
from philately.models import (
    Batch,
    Candidate,
    CandidateDetail,
    DryRun,
    Opinion,
    Placement,
    Rerun,
    Season,
    Shard,
    User,
)
from philately.states import BatchState, CandidateState, DryRunState, OpinionState, ShardState, Stage
from validation.rules import Reason
from validation.verdicts import Verdict

S = CandidateState

BACK_TO = {Stage.PARSE: S.RECEIVED, Stage.RELAX: S.PARSED, Stage.PLACE: S.RELAXED}
_SETTLED = (S.REJECTED, S.SET_ASIDE)  # the order of arrival has passed over these
_MAY_BE = (S.FAILED, *_SETTLED)
_CHUNK = 2000
_OF_PLACEMENT = (Reason.FORMATION_ENERGY, Reason.DUPLICATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is to be judged again. Candidates are meant whatever became of them; of batches what failed or was set
    aside, and with ``reason_code`` what was rejected for it, in these batches or, where none is named, in the season.

    failed, set_aside: all of the season, or of ``stage`` alone. What else was set aside goes with them, unless a stage
    is named: batches, shards, dry runs and opinions of auditors.
    """

    candidates: Sequence[int] = ()
    batches: Sequence[int] = ()
    reason_code: str = ""
    failed: bool = False
    set_aside: bool = False
    stage: Stage | None = None


@dataclass(slots=True)
class Again:
    """How many of what kind are on their way again. on_file: candidates whose relaxation is a fact, which stands.
    left_out: of those selected, which cannot be judged again, for their text was not kept or another run placed them.
    """

    candidates: int = 0
    on_file: int = 0
    left_out: int = 0
    batches: int = 0
    dry_runs: int = 0
    opinions: int = 0

    @property
    def total(self) -> int:
        return self.candidates + self.batches + self.dry_runs + self.opinions


def rerun(season: Season, what: Selection, *, by: User, reason: str = "") -> Again:
    """Judge it again; what is under way already is left alone, so twice is once. A chunk a transaction: stopped in
    between, the same command goes on. Raises DeedRefused before anything has changed."""
    refuse_strangers(by, season)
    refuse_frozen(season)
    chosen = _chosen(season, what)
    again = Again(left_out=chosen.exclude(_readable()).count())
    keys = list(chosen.filter(_readable()).order_by("arrival").values_list("pk", flat=True))
    for start in range(0, len(keys), _CHUNK):
        _send(season, keys[start : start + _CHUNK], again, by=by, reason=reason)
    _others(season, what, again, by=by, reason=reason)
    return again


def _chosen(season: Season, what: Selection) -> QuerySet[Candidate]:
    """Raises DeedRefused."""
    _refuse_unknown(season, what)
    mine = Candidate.objects.filter(season=season, state__in=_MAY_BE).filter(withdrawal=None)
    wanted = Q(pk__in=list(what.candidates))
    in_batches = Q(batch__in=list(what.batches))
    if what.reason_code:
        rejected = Q(state=S.REJECTED, reason=what.reason_code)
        wanted |= rejected & in_batches if what.batches else rejected
    elif what.batches:
        wanted |= in_batches & ~Q(state=S.REJECTED)
    if what.failed:
        wanted |= Q(state=S.FAILED) & _of_stage(what.stage)
    if what.set_aside:
        wanted |= Q(state=S.SET_ASIDE) & _of_stage(what.stage)
    return mine.filter(wanted)


def _of_stage(stage: Stage | None) -> Q:
    """What held up others was set aside without having failed: unread it belongs to the first stage, read to the
    second."""
    if stage is None:
        return Q()
    unread = {Stage.PARSE: Q(failed_in="", content_hash=""), Stage.RELAX: Q(failed_in="") & ~Q(content_hash="")}
    return Q(failed_in=stage) | unread.get(stage, Q(pk__in=[]))


def _readable() -> Q:
    """Its text is in its shard, and no other run gave it a verdict under the number that it has."""
    refused_unread = Q(content_hash="", detail__length=0)
    placed = Q(Exists(Placement.objects.filter(candidate=OuterRef("pk"))))
    return ~refused_unread & (Q(state=S.FAILED) | ~placed)


def _refuse_unknown(season: Season, what: Selection) -> None:
    if not (what.candidates or what.batches or what.reason_code or what.failed or what.set_aside):
        raise DeedRefused("say what is to be judged again")
    states = dict(Candidate.objects.filter(season=season, pk__in=what.candidates).values_list("pk", "state"))
    if unknown := sorted(set(what.candidates) - states.keys()):
        raise DeedRefused(f"{season} has no candidate {', '.join(map(str, unknown))}")
    known = set(Batch.objects.filter(season=season, pk__in=what.batches).values_list("pk", flat=True))
    if missing := sorted(set(what.batches) - known):
        raise DeedRefused(f"{season} has no batch {', '.join(map(str, missing))}")
    for key, state in sorted(states.items()):
        if why := _WHY_NOT.get(CandidateState(state)):
            raise DeedRefused(f"candidate {key} {why}")
    if what.reason_code:
        _refuse_code(what.reason_code)


_WHY_NOT = {
    S.PLACED: "is placed: a verdict is made again by another run (new_run)",
    S.PARKED: "is a twin, and shares the fate of its original",
    S.WITHDRAWN: "was withdrawn",
}


def _refuse_code(code: str) -> None:
    codes = sorted(set(Reason) - {*_OF_PLACEMENT, Reason.TWIN})
    if code in (*_OF_PLACEMENT, *Verdict):
        raise DeedRefused(f"{code} is decided at placement, which another run makes again (new_run)")
    if code not in codes:
        raise DeedRefused(f"nothing is rejected for {code}; reasons are {', '.join(codes)}")


def _send(season: Season, keys: Sequence[int], again: Again, *, by: User, reason: str) -> None:
    """What of them still stands where it did is on its way again, all or nothing, and written down."""
    with transaction.atomic():
        _lock_shards(keys)
        rows = Candidate.objects.select_for_update(of=("self",)).filter(pk__in=keys, state__in=_MAY_BE)
        candidates = list(rows.select_related("detail").order_by("arrival"))
        if not candidates:
            return
        _write(candidates, by, reason)
        _renumber(season, [one for one in candidates if one.state in _SETTLED])
        shards = {one.shard_id for one in candidates if _goes_back_to(one) == S.RECEIVED}
        Shard.objects.filter(pk__in=shards).update(state=ShardState.WAITING, attempts=0, problem="")
        for source in _MAY_BE:
            for target in BACK_TO.values():
                mine = [one.pk for one in candidates if one.state == source and _goes_back_to(one) == target]
                if mine:
                    fresh = {"reason": "", "failed_in": "", "attempts": 0, "twin_of": None, "is_rerun": True}
                    move(Candidate.objects.filter(pk__in=mine), source, target, **fresh)
        CandidateDetail.objects.filter(candidate__in=[one.pk for one in candidates]).update(sentence="")
        again.candidates += len(candidates)
        again.on_file += sum(one.relaxation_id is not None for one in candidates)
        told = {"candidates": [one.pk for one in candidates]}
        only = candidates[0] if len(candidates) == 1 else None
        batches = {one.batch_id for one in candidates}
        batch = Batch.objects.get(pk=batches.pop()) if len(batches) == 1 else None
        about = About(season=season, batch=batch, candidate=only)
        record(Deed.RERUN, about, by=by, reason=reason, parameters=told, outcome={"candidates": len(candidates)})
        for shard in sorted(shards):
            ring("parse", shard, queue="parse")
        transaction.on_commit(partial(ring_relax, season.scale))
        ring("place", season.pk, queue="place")


def _lock_shards(keys: Sequence[int]) -> None:
    """Shards before candidates before the season, as parse workers and the sweeper have it, or they would deadlock."""
    shards = Candidate.objects.filter(pk__in=keys).values("shard")
    list(Shard.objects.select_for_update().filter(pk__in=shards).order_by("pk").values_list("pk"))


def _goes_back_to(candidate: Candidate) -> CandidateState:
    """What is settled is read again; what failed goes on where it failed."""
    return S.RECEIVED if candidate.state in _SETTLED else BACK_TO[Stage(candidate.failed_in)]


def _write(candidates: Sequence[Candidate], by: User, reason: str) -> None:
    Rerun.objects.bulk_create(
        [
            Rerun(
                candidate=one,
                arrival_before=one.arrival,
                state_before=one.state,
                reason_before=one.reason,
                sentence_before=one.detail.sentence,
                by=by,
                reason=reason,
            )
            for one in candidates
        ],
        batch_size=500,
    )


def _renumber(season: Season, settled: Sequence[Candidate]) -> None:
    """In the order in which they arrived first. Raises DeedRefused where the season was frozen meanwhile."""
    if settled:
        first = next_arrivals(season.pk, len(settled))
        refuse_frozen(Season.objects.get(pk=season.pk))
        numbers = [(number, one.pk) for number, one in enumerate(settled, start=first)]
        bulk.update(Candidate, ("arrival",), numbers)


def _others(season: Season, what: Selection, again: Again, *, by: User, reason: str) -> None:
    """Batches, dry runs and opinions that were set aside."""
    whole = what.set_aside and what.stage is None
    with transaction.atomic():
        batches = Batch.objects.filter(season=season, state=BatchState.SET_ASIDE)
        batches = batches if whole else batches.filter(pk__in=what.batches)
        again.batches = batches.update(state=BatchState.UPLOADED, attempts=0, problem="")
        if whole:
            runs = DryRun.objects.filter(owner__season=season, state=DryRunState.SET_ASIDE)
            dry = list(runs.values_list("pk", flat=True))
            fresh = {"state": DryRunState.WAITING, "attempts": 0, "problem": "", "n_done": 0}
            again.dry_runs = DryRun.objects.filter(pk__in=dry, state=DryRunState.SET_ASIDE).update(**fresh)
            for key in dry:
                ring("dry_run", key, queue="parse")
            again.opinions = _opinions(season)
        told = {"batches": again.batches, "dry_runs": again.dry_runs, "opinions": again.opinions}
        if any(told.values()):
            record(Deed.RERUN, About(season=season), by=by, reason=reason, outcome=told)
        if again.batches:
            ring("intake", season.pk, queue="parse")


def _opinions(season: Season) -> int:
    """Auditors are asked again. Verdicts that were made without them go on resting on their silence."""
    run = season.official_run
    if run is None:
        return 0
    scales = list(run.auditors.values_list("release__scale", flat=True))
    mine = Candidate.objects.filter(season=season, relaxation=OuterRef("relaxation"))
    set_aside = Opinion.objects.filter(Exists(mine), scale__in=scales, state=OpinionState.SET_ASIDE)
    placed = Placement.objects.filter(candidate__relaxation=OuterRef("relaxation"))
    count = 0
    for opinion in set_aside.annotate(rests=Exists(placed)).select_related("scale"):
        silence = opinion.silence or (opinion.problem if opinion.rests else "")
        fresh = {"state": OpinionState.WAITING, "attempts": 0, "silence": silence, "problem": ""}
        count += Opinion.objects.filter(pk=opinion.pk, state=OpinionState.SET_ASIDE).update(**fresh)
        transaction.on_commit(partial(ring_relax, opinion.scale))
    return count
