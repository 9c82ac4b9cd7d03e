"""What became of a candidate beside its verdict: taken back by its owner, or left out by the official run."""

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from philately.models import Candidate, Placement, Run, RunExclusion
from philately.states import CandidateState
from validation.placing import Verdict

DISQUALIFIED = "disqualified"
ACCEPTED = "accepted"  # these two: what was held, once an organiser decided on it
REFUSED = "refused"
MAY_BE_PLACED = (CandidateState.PLACED, CandidateState.PARKED)


def with_fate(candidates: QuerySet[Candidate], run: Run | None) -> QuerySet[Candidate]:
    """Candidates with all that ``fate_of`` asks for, in the query at hand."""
    left_out = RunExclusion.objects.filter(run=run, candidate=OuterRef("pk"))
    return candidates.select_related("withdrawal__by", "batch__owner").annotate(
        left_out=Exists(left_out), left_out_because=Subquery(left_out.values("reason")[:1])
    )


def left_out(run: Run | None) -> Q:
    """Disqualified in this run, and not withdrawn as well."""
    excluded = RunExclusion.objects.filter(run=run, candidate=OuterRef("pk"))
    return Q(Exists(excluded)) & ~Q(state=CandidateState.WITHDRAWN)


def placed(run: Run | None) -> Q:
    """With a verdict in this run. A parked twin has one where the run leaves out its original."""
    verdicts = Placement.objects.filter(run=run, candidate=OuterRef("pk"), withdrawn_after=None)
    return Q(Exists(verdicts), state__in=MAY_BE_PLACED)


def with_verdict(candidates: QuerySet[Candidate], run: Run | None) -> QuerySet[Candidate]:
    """Candidates with ``verdict``, ``verdict_reason`` and ``accepted`` (what was decided on it) in this run, to filter.

    A candidate's own verdict is asked for, not whether there is one like it: for that PostgreSQL reads all verdicts of
    the run first. Nulls where there is none.
    """
    verdicts = Placement.objects.filter(run=run, candidate=OuterRef("pk"), withdrawn_after=None)
    return candidates.alias(
        verdict=Subquery(verdicts.values("verdict")[:1]),
        verdict_reason=Subquery(verdicts.values("reason")[:1]),
        accepted=Subquery(verdicts.values("decision__accepted")[:1]),
    )


def judged(outcome: str) -> Q | None:
    """This verdict, undecided, or this decision on what was held; None where it is neither. For ``with_verdict``."""
    if outcome in (ACCEPTED, REFUSED):
        return Q(accepted=outcome == ACCEPTED)
    return Q(verdict=outcome, accepted__isnull=True) if outcome in set(Verdict) else None


def decision_on(placement: Placement) -> tuple[str, str]:
    """(what an organiser made of what was held, a sentence), both empty where nobody decided. Needs ``decision``."""
    decision = placement.decision
    if decision is None:
        return "", ""
    outcome = ACCEPTED if decision.accepted else REFUSED
    why = f"{outcome} by an organiser: {decision.reason}"
    return outcome, f"{placement.sentence}; {why}" if placement.sentence else why


def fate_of(candidate: Candidate) -> tuple[str, str]:
    """(what it is instead of what its state and verdict say, a sentence); both are empty where nothing happened to it,
    the first where it is about to be withdrawn. Needs ``with_fate``."""
    if candidate.state == CandidateState.WITHDRAWN:
        return CandidateState.WITHDRAWN, _withdrawal(candidate)
    if candidate.left_out:  # type: ignore[attr-defined]  # annotated
        because = candidate.left_out_because  # type: ignore[attr-defined]  # annotated
        return DISQUALIFIED, _with_reason("disqualified by an organiser", because)
    if not hasattr(candidate, "withdrawal"):
        return "", ""
    if candidate.withdrawal.attempts >= settings.MAX_ATTEMPTS:
        return "", f"to be {_withdrawal(candidate)}; that failed by a fault of ours, and an organiser looks at it"
    when = "when its relaxation has ended" if candidate.state == CandidateState.RELAXING else "in a moment"
    return "", f"to be {_withdrawal(candidate)}, {when}"


def _withdrawal(candidate: Candidate) -> str:
    wish = getattr(candidate, "withdrawal", None)
    if wish is None or wish.by_id == candidate.batch.owner.user_id:
        return _with_reason("withdrawn by its owner", wish.reason if wish else "")
    return _with_reason(f"withdrawn by {wish.by.username} on its owner's behalf", wish.reason)


def _with_reason(sentence: str, reason: str) -> str:
    return f"{sentence}: {reason}" if reason else sentence
