"""What a run says of itself, compared with its rows: positions, numbers, scores and placements."""

from collections.abc import Callable
from typing import Any

from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery, Sum

from philately.domain.decisions import decidable
from philately.domain.discrepancies import SHOWN_OF_A_KIND, Findings, Kind, phase_at
from philately.models import Candidate, Decision, LogEntry, Phase, Placement, Run, RunExclusion, ScoreEntry
from philately.states import CandidateState, LogKind

_ROUNDING = 1e-9  # points


def check_record(run: Run, findings: Findings) -> None:
    """Each check is one query, and another where it finds something."""
    _check_run(run, findings)
    _check_scores(run, findings)
    _check_placements(run, findings)
    _check_first_positions(run, findings)
    _check_decisions(run, findings)
    _check_rounds(run, findings)


def _check_run(run: Run, findings: Findings) -> None:
    last = LogEntry.objects.filter(run=run).aggregate(last=Max("position"))["last"] or 0
    if run.log_position != last:
        findings.add(Kind.RUN, f"{run}, log position", stored=run.log_position, rebuilt=last)
    following = (Phase.objects.filter(run=run).aggregate(last=Max("number"))["last"] or 0) + 1
    if run.next_phase_number != following:
        findings.add(Kind.RUN, f"{run}, next phase number", stored=run.next_phase_number, rebuilt=following)


def _check_scores(run: Run, findings: Findings) -> None:
    scores = ScoreEntry.objects.filter(run=run)
    found = scores.aggregate(n=Count("pk"), last=Max("number"))
    if found["n"] != (found["last"] or 0):
        findings.add(Kind.SCORE, "numbers of the score entries", stored=found["last"], rebuilt=found["n"])

    def beyond(row: ScoreEntry) -> None:
        where = f"score entry {row.number} ({row.formula})"
        findings.add(Kind.SCORE, where, stored=row.log_position, rebuilt=f"at most {run.log_position}")

    _each(scores.filter(log_position__gt=run.log_position).order_by("number"), beyond, Kind.SCORE, findings)


def _check_placements(run: Run, findings: Findings) -> None:
    """Every candidate that is placed has a verdict in the run, unless it is left out; that there are not two is a
    constraint of the database."""
    placements = Placement.objects.filter(run=run)
    left_out = RunExclusion.objects.filter(run=run)
    placed = Candidate.objects.filter(season=run.season_id, state=CandidateState.PLACED, arrival__lte=run.placed_to)
    verdict, exclusion = (Exists(rows.filter(candidate=OuterRef("pk"))) for rows in (placements, left_out))

    def missing(row: Candidate) -> None:
        findings.add(Kind.PLACEMENT, _candidate(row), stored="missing", rebuilt="placed")

    _each(placed.filter(~verdict, ~exclusion).order_by("arrival"), missing, Kind.PLACEMENT, findings)
    joined = placements.select_related("candidate").order_by("candidate__arrival")

    def not_placed(row: Placement) -> None:
        findings.add(Kind.PLACEMENT, _candidate(row.candidate), stored=row.verdict, rebuilt=row.candidate.state)

    _each(joined.exclude(candidate__state__in=_states(run)), not_placed, Kind.PLACEMENT, findings)

    def not_taken_out(row: Placement) -> None:
        findings.add(Kind.PLACEMENT, _candidate(row.candidate), stored=row.verdict, rebuilt="withdrawn")

    if run.season.official_run_id == run.pk:
        _each(
            joined.filter(candidate__state=CandidateState.WITHDRAWN, withdrawn_after=None),
            not_taken_out,
            Kind.PLACEMENT,
            findings,
        )

    def unwanted(row: Placement) -> None:
        findings.add(Kind.PLACEMENT, _candidate(row.candidate), stored=row.verdict, rebuilt="left out of the run")

    _each(joined.filter(candidate__in=left_out.values("candidate")), unwanted, Kind.PLACEMENT, findings)

    def ahead(row: Placement) -> None:
        where, rebuilt = _candidate(row.candidate), f"the run has placed up to arrival {run.placed_to}"
        findings.add(Kind.PLACEMENT, where, stored=row.verdict, rebuilt=rebuilt)

    _each(joined.filter(candidate__arrival__gt=run.placed_to), ahead, Kind.PLACEMENT, findings)


def _states(run: Run) -> set[CandidateState]:
    """In which a candidate may be that has a verdict: a run that is not official leaves states alone."""
    states = {CandidateState.PLACED, CandidateState.WITHDRAWN}
    if run.exclusions.exists():
        states.add(CandidateState.PARKED)  # twins of what it leaves out
    return states if run.season.official_run_id == run.pk else states | {CandidateState.RELAXED}


def _check_first_positions(run: Run, findings: Findings) -> None:
    """Nothing is in the log before it arrived, nor after the placement that caused it."""
    log = LogEntry.objects.filter(run=run).select_related("phase").order_by("position")
    inherited = LogEntry.objects.filter(run=run, kind=LogKind.INHERITED).values("phase")  # by one that came later
    early = log.filter(candidate__arrival__lt=F("phase__first_candidate__arrival")).exclude(phase__in=inherited)

    def too_early(row: LogEntry) -> None:
        where = phase_at(row.phase.formula, row.phase.number)
        findings.add(Kind.FIRST_POSITION, where, stored=row.position, rebuilt="later: it had not arrived then")

    _each(early, too_early, Kind.FIRST_POSITION, findings)
    late = log.filter(candidate__placements__run=run, candidate__placements__log_position__lt=F("position"))

    def too_late(row: LogEntry) -> None:
        where = phase_at(row.phase.formula, row.phase.number)
        findings.add(Kind.LOG_POSITION, where, stored=row.position, rebuilt="earlier: its cause was placed before")

    _each(late, too_late, Kind.LOG_POSITION, findings)


def _check_decisions(run: Run, findings: Findings) -> None:
    """What was decided on before the run came here left its mark on what is held."""
    last = Decision.objects.filter(candidate=OuterRef("candidate"), arrival__lte=run.placed_to).order_by("-arrival")
    decided = Q(Exists(last.values("pk")[:1])) & (Q(decision=None) | ~Q(decision=Subquery(last.values("pk")[:1])))

    def not_decided(row: Placement) -> None:
        findings.add(Kind.PLACEMENT, _candidate(row.candidate), stored=row.verdict, rebuilt="decided on")

    rows = decidable(run).filter(decided, candidate__arrival__lte=run.placed_to).select_related("candidate")
    _each(rows.order_by("candidate__arrival"), not_decided, Kind.PLACEMENT, findings)


def _check_rounds(run: Run, findings: Findings) -> None:
    """The last close left nothing provisional."""
    scores = ScoreEntry.objects.filter(run=run)
    closed = scores.filter(round__isnull=False).aggregate(last=Max("number"))["last"] or 0
    owed = scores.filter(number__lte=closed, provisional=True).order_by("candidate").values("candidate", "formula")
    left = owed.annotate(points=Sum("points")).filter(Q(points__gt=_ROUNDING) | Q(points__lt=-_ROUNDING))

    def not_settled(row: dict[str, Any]) -> None:
        where = f"provisional points of candidate {row['candidate']} ({row['formula']}) at the last close"
        findings.add(Kind.SCORE, where, stored=row["points"], rebuilt=0)

    _each(left, not_settled, Kind.SCORE, findings)


def _each(rows: QuerySet[Any], add: Callable[[Any], None], kind: Kind, findings: Findings) -> None:
    """Add the first rows and count the others."""
    shown = list(rows[: SHOWN_OF_A_KIND + 1])
    for row in shown[:SHOWN_OF_A_KIND]:
        add(row)
    if len(shown) > SHOWN_OF_A_KIND:
        findings.add_more(kind, rows.count() - SHOWN_OF_A_KIND)


def _candidate(candidate: Candidate) -> str:
    return f"candidate {candidate.pk} ({candidate.formula}), arrival {candidate.arrival}"
