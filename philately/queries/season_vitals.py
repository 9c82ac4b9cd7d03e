"""How each season is: its queues, its official run, and what is kept of that."""

from collections.abc import Callable, Iterable
from math import inf
from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now
from prometheus_client import Metric

from philately.models import Batch, Candidate, Dump, HullAudit, Phase, Run, Season
from philately.queries.dumps import latest_dumps, shows
from philately.queries.figures import Sample, age_of, counted, family, first, value_of
from philately.states import BatchState, CandidateState, PhaseStatus

S = CandidateState

_STAGES = {"parse": (S.RECEIVED, S.CHECKED), "relax": (S.PARSED,), "place": (S.RELAXED,)}
_WAITING = (S.RECEIVED, S.CHECKED, S.PARSED, S.RELAXED)
_COUNTED = (*_WAITING, S.RELAXING, S.FAILED, S.SET_ASIDE)
_OPEN = (S.RECEIVED, S.CHECKED, S.PARSED, S.RELAXING, S.FAILED)  # what the sequencer waits for
_UNPLACED = (*_OPEN, S.RELAXED)


def seasons_now() -> list[Season]:
    """One statement."""
    return list(with_figures())


def with_figures() -> QuerySet[Season]:
    """Seasons with what is counted of each and the ends of its queues, all of it looked up in indexes."""
    mine = Candidate.objects.filter(season=OuterRef("pk"))
    unplaced = mine.filter(arrival__gt=Coalesce(OuterRef("official_run__placed_to"), 0))
    uploaded = Batch.objects.filter(season=OuterRef("pk"), state=BatchState.UPLOADED)
    audited = HullAudit.objects.filter(run=OuterRef("official_run"))
    held = Phase.objects.filter(status=PhaseStatus.HELD, run=OuterRef("official_run")).order_by()
    columns: dict[str, Any] = {
        "now": Now(),
        "n_uploaded": counted(Batch.objects.filter(state=BatchState.UPLOADED), "season"),
        "n_batches_set_aside": counted(Batch.objects.filter(state=BatchState.SET_ASIDE), "season"),
        "since_uploaded": first(uploaded, "pk", "submitted_at"),
        "n_held": Coalesce(Subquery(held.values("run").annotate(n=Count("*")).values("n")), 0),
        **{f"n_{state}": counted(Candidate.objects.filter(state=state), "season") for state in _COUNTED},
        **{f"since_{state}": first(mine.filter(state=state), "arrival", "changed_at") for state in _WAITING},
        **{f"next_{state}": first(unplaced.filter(state=state), "arrival", "arrival") for state in _UNPLACED},
        **{
            f"audit_{name}": first(audited, "-finished_at", name)
            for name in ("finished_at", "n_differences", "placed_to", "log_position")
        },
    }
    return Season.objects.select_related("official_run").annotate(**columns).order_by("pk")


def of_seasons(seasons: list[Season]) -> list[Metric]:
    figures = [_figure(name, help_text, seasons, value) for name, help_text, value in _FIGURES]
    waiting = (
        ((one.slug, stage), float(sum(value_of(one, f"n_{state}") for state in states)))
        for one in seasons
        for stage, states in _STAGES.items()
    )
    return [
        family("candidates_waiting", _WAITING_HELP, ("season", "stage"), waiting),
        family("oldest_waiting_seconds", _OLDEST_HELP, ("season", "stage"), _oldest(seasons)),
        *figures,
        *_of_dumps(seasons),
    ]


def _of_dumps(seasons: list[Season]) -> list[Metric]:
    offered = latest_dumps(seasons)

    def age(season: Season) -> float | None:
        dump = offered.get(season.pk)
        return None if dump is None else _age_of(dump, season)

    def stale(season: Season) -> float | None:
        run, dump = season.official_run, offered.get(season.pk)
        if run is None or not run.placed_to:
            return None
        if dump is None:
            return _since_beginning(season, run)
        return 0.0 if shows(dump, run) else _age_of(dump, season)

    return [
        _figure("dump_age_seconds", "Since the dump that the season's page offers was written.", seasons, age),
        _figure("dump_stale_seconds", f"The same {_STALE_HELP} there is no dump.", seasons, stale),
    ]


def _age_of(dump: Dump, season: Season) -> float:
    assert dump.whole_at is not None  # nothing else is offered
    return max(0.0, float((value_of(season, "now") - dump.whole_at).total_seconds()))


def _oldest(seasons: list[Season]) -> Iterable[Sample]:
    for one in seasons:
        yield (one.slug, "intake"), age_of(one, "since_uploaded")
        for stage, states in _STAGES.items():
            yield (one.slug, stage), max(age_of(one, f"since_{state}") for state in states)


def _overdue(season: Season) -> float:
    turn = value_of(season, f"next_{S.RELAXED}")
    blocking = [value_of(season, f"next_{state}") for state in _OPEN if value_of(season, f"next_{state}") is not None]
    return 0.0 if turn is None or min(blocking, default=inf) < turn else age_of(season, f"since_{S.RELAXED}")


def _behind(season: Season) -> float | None:
    run = season.official_run
    return None if run is None else season.next_arrival - 1 - run.placed_to


def _audit_age(season: Season) -> float | None:
    return None if value_of(season, "audit_finished_at") is None else age_of(season, "audit_finished_at")


def _unaudited(season: Season) -> float | None:
    """For how long the official run may be wrong and nobody looked."""
    run = season.official_run
    if run is None or not run.placed_to:
        return None
    if value_of(season, "audit_finished_at") is None:
        return _since_beginning(season, run)
    at = (value_of(season, "audit_placed_to"), value_of(season, "audit_log_position"))
    return 0.0 if at == (run.placed_to, run.log_position) else age_of(season, "audit_finished_at")


def _since_beginning(season: Season, run: Run) -> float:
    return max(0.0, float((value_of(season, "now") - run.created_at).total_seconds()))


def _column(name: str) -> Callable[[Season], float | None]:
    return lambda season: value_of(season, name)


def _figure(name: str, help_text: str, seasons: list[Season], value: Callable[[Season], float | None]) -> Metric:
    """A sample a season; none where there is nothing to tell."""
    found = ((one.slug, value(one)) for one in seasons)
    return family(
        name, help_text, ("season",), (((slug,), float(figure)) for slug, figure in found if figure is not None)
    )


_WAITING_HELP = "Structures that wait to be read and compared (parse), relaxed or placed."
_OLDEST_HELP = "How long the first in line has waited at a stage; 0 where none does."
_STALE_HELP = "where the run has moved since, else 0; from the run's beginning where"
_FIGURES: tuple[tuple[str, str, Callable[[Season], float | None]], ...] = (
    ("batches_waiting", "Batches that wait to be read.", _column("n_uploaded")),
    ("batches_set_aside", "Batches whose reading failed three times.", _column("n_batches_set_aside")),
    ("candidates_relaxing", "Structures in relax workers' hands.", _column("n_relaxing")),
    ("candidates_failed", "Structures that failed by our fault and will be tried again.", _column("n_failed")),
    (
        "candidates_set_aside",
        "Structures that failed three times or held up the others; an organiser decides.",
        _column("n_set_aside"),
    ),
    ("finds_held", "Finds of the official run that an organiser has not decided on.", _column("n_held")),
    ("sequencer_arrivals_behind", "Arrivals that the official run has not passed yet.", _behind),
    (
        "sequencer_overdue_seconds",
        "Where a relaxed structure's turn has come: how long it is relaxed already; else 0.",
        _overdue,
    ),
    (
        "hull_audit_differences",
        "What the latest audit of the official run's hull found.",
        _column("audit_n_differences"),
    ),
    ("hull_audit_age_seconds", "Since the latest audit of the official run's hull.", _audit_age),
    ("hull_audit_stale_seconds", f"The same {_STALE_HELP} none was made.", _unaudited),
)
