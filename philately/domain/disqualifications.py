"""Disqualification: another run of a season, in which an organiser's choice of candidates was never accepted."""

from collections.abc import Iterable
from dataclasses import dataclass

from philately.domain.audit_log import Deed
from philately.domain.evaluations import EvaluationRefused, Plan, changed_rules, open_evaluation
from philately.models import Batch, Candidate, Membership, Run, Season, User
from philately.states import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What is disqualified why: candidates and batches by key, participants with all that they submitted so far."""

    reason: str
    candidates: Iterable[int] = ()
    batches: Iterable[int] = ()
    members: Iterable[str] = ()  # names of users
    by: User | None = None


def open_without(season: Season, charge: Charge) -> Run:
    """A run as the official one without what is disqualified; nothing is placed in it yet. Raises EvaluationRefused."""
    official = season.official_run
    if official is None:
        raise EvaluationRefused(f"{season} has no official run to begin with")
    if not charge.reason.strip():
        raise EvaluationRefused("say why; the reason is shown to whom it concerns")
    keys = charged(season, charge)
    if not keys - set(official.exclusions.values_list("candidate", flat=True)):
        raise EvaluationRefused("nothing to disqualify: the official run leaves all of it out already")
    rules, deed = changed_rules(official, {}), Deed.DISQUALIFY
    plan = Plan(release=official.release, rules=rules, without=keys, reason=charge.reason, by=charge.by, deed=deed)
    return open_evaluation(season, plan)


def charged(season: Season, charge: Charge) -> set[int]:
    """Keys of all candidates that are meant. Raises EvaluationRefused where the season has no such batch or member."""
    keys = set(charge.candidates)
    for batch in charge.batches:
        if not Batch.objects.filter(season=season, pk=batch).exists():
            raise EvaluationRefused(f"{season} has no batch {batch}")
        keys |= _keys(season, batch=batch)
    for name in charge.members:
        if not Membership.objects.filter(season=season, user__username=name, role=Role.PARTICIPANT).exists():
            raise EvaluationRefused(f"{season} has no participant {name!r}")
        keys |= _keys(season, batch__owner__user__username=name)
    return keys


def _keys(season: Season, **which: object) -> set[int]:
    return set(Candidate.objects.filter(season=season, **which).values_list("pk", flat=True))
