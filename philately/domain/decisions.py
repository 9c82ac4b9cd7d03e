"""Organisers decide on what is held.

A decision is a fact with an arrival number: the sequencer of each run comes to it when everything with a lower number
is settled, so that another run of the same facts, and a replay, come to the same hull and points. It speaks of what is
held in that run when its turn comes, and of nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from hull.entries import Formula
from philately.broker import ring
from philately.domain.amendments import write_awards, write_log
from philately.domain.arrivals import next_arrivals
from philately.domain.audit_log import About, Deed, record
from philately.domain.organisers import DeedRefused, refuse_frozen, refuse_strangers, refuse_without_reason
from philately.domain.outcomes import write_hull
from philately.domain.recall import finds_and_ledger, kept_phase, relaxed_crystal
from philately.models import Candidate, Decision, Phase, Placement, Run, Season, User
from philately.states import PhaseStatus
from validation.memory import Memory
from validation.placing import Fold, Outcome
from validation.scoring import Ledger
from validation.verdicts import Arrival, Verdict

_OUTSIDE = (PhaseStatus.HELD, PhaseStatus.REFUSED)


@dataclass(frozen=True, slots=True)
class Decided:
    """How many decisions are new, and how many had been made like this before."""

    new: int
    before: int


def decide(season: Season, candidates: Sequence[int], *, accepted: bool, by: User, reason: str) -> Decided:
    """Accept or refuse what is held, all of it or, where something cannot be decided on, nothing: then DeedRefused.

    What was refused may be accepted later. What was accepted counts; ``disqualify`` takes it out.
    """
    refuse_strangers(by, season)
    refuse_without_reason(reason)
    with transaction.atomic():
        wanted = sorted(set(candidates))
        locked = Season.objects.select_for_update(of=("self",))  # so that nobody else decides meanwhile
        season = locked.select_related("official_run").get(pk=season.pk)
        refuse_frozen(season)
        _refuse_unknown(season, wanted)
        last = _last_decisions(wanted)
        known = {key for key in wanted if key in last and last[key].accepted == accepted}
        new = [key for key in wanted if key not in known]
        _refuse_undecidable(season, new, last)
        first = next_arrivals(season.pk, len(new)) if new else 0
        for number, key in enumerate(new, start=first):
            Decision.objects.create(
                season=season, arrival=number, candidate_id=key, accepted=accepted, reason=reason, by=by
            )
            about = About(season=season, candidate=Candidate.objects.get(pk=key))
            outcome = {"decision": "accepted" if accepted else "refused", "arrival": number}
            record(Deed.DECIDE, about, by=by, reason=reason, parameters={"candidate": key}, outcome=outcome)
        if new:
            ring("place", season.pk, queue="place")
    return Decided(len(new), len(known))


def decidable(run: Run) -> QuerySet[Placement]:
    """What the run holds and nobody has accepted: a phase of its own, or a lower energy of one that is on record."""
    whole = Q(phase__status__in=_OUTSIDE, phase__first_candidate=F("candidate"))
    refining = Q(phase__status=PhaseStatus.ON_RECORD, verdict=Verdict.HELD)
    open_ones = Q(decision=None) | Q(decision__accepted=False)
    return Placement.objects.filter(open_ones, whole | refining, run=run, withdrawn_after=None)


def held(run: Run) -> QuerySet[Placement]:
    """The same without what was refused, and without what is decided and waits for its turn; in order of arrival."""
    told = Decision.objects.filter(candidate=OuterRef("candidate"), arrival__gt=run.placed_to)
    return decidable(run).filter(~Exists(told), decision=None).order_by("candidate__arrival")


def apply(run: Run, fold: Fold, decision: Decision) -> None:
    """Let the decision's turn come in a run. Takes ``run``, whose saving is the caller's, and the fold along.

    Belongs into a transaction that holds the run's row.
    """
    rows = decidable(run).select_related("candidate__batch", "candidate__relaxation")
    placement = rows.filter(candidate=decision.candidate).first()
    if placement is None:
        return  # withdrawn meanwhile, or this run did not hold it
    phase = Phase.objects.select_related("first_candidate__batch", "candidate").get(placements=placement)
    if decision.accepted:
        _admit(run, fold, decision, placement, phase)
    elif phase.status in _OUTSIDE:
        phase.status = PhaseStatus.REFUSED
        phase.save(update_fields=["status"])
    placement.decision = decision
    placement.save(update_fields=["decision"])


def _admit(run: Run, fold: Fold, decision: Decision, placement: Placement, phase: Phase) -> None:
    kept, arrival = kept_phase(phase), _arrival(placement)
    systems, rules = fold.memory.systems, fold.rules
    fold.memory = Memory(Ledger(rules.points), systems, {kept.formula: [kept]}, {kept.number: kept.find})
    outcome = fold.admit(kept, arrival)
    _rewrite(phase, placement, outcome)
    fold.memory.finds, fold.memory.ledger = finds_and_ledger(run, [(arrival, outcome)], fold.memory.finds, rules)
    awards = fold.award(arrival, outcome)
    write_log(run, outcome.log, decision)
    write_awards(run, awards, fold.memory)
    write_hull(run, fold.hull, [outcome.moved])


def _rewrite(phase: Phase, placement: Placement, outcome: Outcome) -> None:
    if outcome.verdict is Verdict.REFINED:
        phase.energy_per_atom = placement.energy_per_atom
        phase.formation_energy_per_atom = outcome.formation_energy_per_atom
        phase.candidate_id = placement.candidate_id
    phase.status = PhaseStatus.ON_RECORD
    phase.save(update_fields=["status", "energy_per_atom", "formation_energy_per_atom", "candidate"])


def _arrival(placement: Placement) -> Arrival:
    candidate = placement.candidate
    crystal = partial(relaxed_crystal, candidate.pk)
    formula = Formula.parse(candidate.formula)
    relaxation = candidate.relaxation_id
    return Arrival(candidate.pk, candidate.batch.owner_id, formula, placement.energy_per_atom, crystal, relaxation)


def _refuse_unknown(season: Season, wanted: Sequence[int]) -> None:
    if not wanted:
        raise DeedRefused("say which candidates")
    known = set(Candidate.objects.filter(season=season, pk__in=wanted).values_list("pk", flat=True))
    if unknown := [str(key) for key in wanted if key not in known]:
        raise DeedRefused(f"{season} has no candidate {', '.join(unknown)}")


def _last_decisions(wanted: Sequence[int]) -> dict[int, Decision]:
    rows = Decision.objects.filter(candidate__in=wanted).order_by("arrival")
    return {decision.candidate_id: decision for decision in rows}


def _refuse_undecidable(season: Season, new: Sequence[int], last: dict[int, Decision]) -> None:
    for key in new:
        if key in last and last[key].accepted:
            raise DeedRefused(f"candidate {key} was accepted on {last[key].decided_at:%Y-%m-%d}; disqualify it instead")
    run = season.official_run
    open_ones = set() if run is None else set(decidable(run).filter(candidate__in=new).values_list("candidate_id"))
    if strange := [str(key) for key in new if (key,) not in open_ones]:
        raise DeedRefused(f"nothing is held of candidate {', '.join(strange)}")
