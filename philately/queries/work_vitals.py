"""How the work is: scales and their judges, locks, and what all processes counted."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from django.db.models import OuterRef, QuerySet
from django.db.models.functions import Now
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily

from philately.models import (
    Candidate,
    DryRun,
    Lock,
    Opinion,
    RelaxationFact,
    ResumableUpload,
    Scale,
    Season,
    Shard,
    Tally,
    Withdrawal,
)
from philately.queries.figures import age_of, counted, family, first, value_of
from philately.states import CandidateState, DryRunState, OpinionState, ShardState

S = CandidateState


def of_scales(seasons: list[Season]) -> list[Metric]:
    """One statement."""
    columns: dict[str, Any] = {
        "now": Now(),
        "last": first(RelaxationFact.objects.filter(scale=OuterRef("pk")), "-created_at", "created_at"),
        "n_waiting": counted(Opinion.objects.filter(state=OpinionState.WAITING), "scale"),
        "n_set_aside": counted(Opinion.objects.filter(state=OpinionState.SET_ASIDE), "scale"),
    }
    scales = list(Scale.objects.annotate(**columns).order_by("pk"))
    waited: dict[int, float] = {}
    for season in seasons:
        waited[season.scale_id] = max(waited.get(season.scale_id, 0.0), age_of(season, f"since_{S.PARSED}"))

    def idle(scale: Scale) -> float:
        since_last = inf if value_of(scale, "last") is None else age_of(scale, "last")
        return min(waited.get(scale.pk, 0.0), since_last)

    return [
        _by_scale("relaxation_paused", "1 where the judge was refused when it was loaded last.", scales, _paused),
        _by_scale(
            "relaxation_idle_seconds",
            "How long structures have waited for relaxation without one being finished; 0 where none waits.",
            scales,
            idle,
        ),
        _by_scale("opinions_waiting", "Finds that an auditor is to relax.", scales, _column("n_waiting")),
        _by_scale(
            "opinions_set_aside",
            "Finds that an auditor failed on three times, which are held for it.",
            scales,
            _column("n_set_aside"),
        ),
    ]


def _column(name: str) -> Callable[[Scale], float]:
    return lambda scale: value_of(scale, name)


def _paused(scale: Scale) -> float:
    return float(bool(scale.problem))


def of_locks() -> list[Metric]:
    held = list(Lock.objects.exclude(token="").exclude(until=None).annotate(now=Now()).order_by("name"))
    return [
        family(
            "lock_held_seconds",
            "Since a lock's holder took it; place:… is the sequencer of a season.",
            ("lock",),
            (((one.name,), age_of(one, "taken_at")) for one in held),
        ),
        family(
            "lock_lease_left_seconds",
            "Until a lock is free, unless its holder prolongs it as it always should; negative: the holder is gone.",
            ("lock",),
            (((one.name,), (one.until - value_of(one, "now")).total_seconds()) for one in held if one.until),
        ),
    ]


def of_tallies() -> list[Metric]:
    """One statement. A sweeper that never ran is infinitely long ago."""
    tallies = list(Tally.objects.annotate(now=Now()).order_by("name", "label"))
    of_sweeps = [one for one in tallies if one.name == "sweeps"]
    return [
        family(
            "last_sweep_age_seconds",
            "Since a sweeper ended a round; +Inf where none ever did.",
            (),
            [((), min((age_of(one, "changed_at") for one in of_sweeps), default=inf))],
        ),
        _counter("sweeps", "Rounds of all sweepers.", (), tallies, always=("",)),
        _counter(
            "leases_expired",
            "Work that the sweeper took from workers that had fallen silent.",
            ("kind",),
            tallies,
            always=("candidate", "opinion"),
        ),
        _counter("bells_rung", "Messages that were handed to the broker.", ("task",), tallies),
        _counter("bells_failed", "Messages that the broker did not take.", ("task",), tallies),
        _counter("tasks", "Tasks that ended in workers.", ("task", "outcome"), tallies),
    ]


def of_the_rest() -> list[Metric]:
    """A statement each."""
    overdue = Candidate.objects.filter(state=S.RELAXING, lease_until__lt=Now())
    dry_runs = DryRun.objects.filter(state=DryRunState.WAITING)
    single: list[tuple[str, str, QuerySet[Any]]] = [
        ("leases_overdue", "Structures whose worker fell silent and that no sweeper has taken yet.", overdue),
        ("shards_set_aside", "Shards whose reading failed.", Shard.objects.filter(state=ShardState.SET_ASIDE)),
        ("dry_runs_waiting", "Dry runs that wait or are under way.", dry_runs),
        ("dry_runs_set_aside", "Dry runs that failed.", DryRun.objects.filter(state=DryRunState.SET_ASIDE)),
        ("uploads_unfinished", "Uploads under way.", ResumableUpload.objects.filter(finished_at=None)),
        ("withdrawals_open", "Withdrawals that are not carried out yet.", Withdrawal.objects.filter(done_at=None)),
    ]
    return [family(name, help_text, (), [((), float(rows.count()))]) for name, help_text, rows in single]


def _by_scale(name: str, help_text: str, scales: list[Scale], value: Callable[[Scale], float]) -> Metric:
    """The digest tells scales of one name apart."""
    samples = (((one.name, one.digest[:12]), float(value(one))) for one in scales)
    return family(name, help_text, ("scale", "digest"), samples)


def _counter(
    name: str, help_text: str, labels: tuple[str, ...], tallies: Sequence[Tally], *, always: tuple[str, ...] = ()
) -> Metric:
    """always: labels that are 0 where nothing was counted, so that a first event is seen as an increase."""
    counts = dict.fromkeys(always, 0) | {one.label: one.count for one in tallies if one.name == name}
    counter = CounterMetricFamily(f"philately_{name}", help_text, labels=labels)
    for label, number in counts.items():
        counter.add_metric(label.split(":", len(labels) - 1) if labels else (), number)
    return counter
