"""What became of a candidate beside its verdict: taken back by its owner, or left out by the official run."""

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from philately.models import Candidate, Placement, Run, RunExclusion
from philately.states import CandidateState

DISQUALIFIED = "disqualified"
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
    when = "when its relaxation has ended" if candidate.state == CandidateState.RELAXING else "in a moment"
    return "", f"to be {_withdrawal(candidate)}, {when}"


def _withdrawal(candidate: Candidate) -> str:
    wish = getattr(candidate, "withdrawal", None)
    if wish is None or wish.by_id == candidate.batch.owner.user_id:
        return _with_reason("withdrawn by its owner", wish.reason if wish else "")
    return _with_reason(f"withdrawn by {wish.by.username} on its owner's behalf", wish.reason)


def _with_reason(sentence: str, reason: str) -> str:
    return f"{sentence}: {reason}" if reason else sentence
