"""What changes a run beside its arrivals: log, points and hull after a withdrawal, a decision or a round's close."""

from collections.abc import Iterable

from django.db.models import Max

from hull.entries import Formula
from philately.domain.locks import LockLost
from philately.models import Decision, LogEntry, Phase, Round, Run, ScoreEntry, Withdrawal
from philately.queries import clock
from validation.memory import Memory
from validation.scoring import PUTS_ON_HULL, Award
from validation.verdicts import LogItem


def refuse_moved(run: Run) -> None:
    """The run is read again under the lock: it must be where the fold left it. Raises LockLost."""
    stored = Run.objects.select_for_update().get(pk=run.pk)
    if (stored.placed_to, stored.log_position) != (run.placed_to, run.log_position):
        raise LockLost(f"{run} has moved on")


def write_log(run: Run, items: Iterable[LogItem], cause: Withdrawal | Decision) -> None:
    """Takes the run's log position on in memory; saving it is the caller's."""
    items = list(items)
    numbers = {number for item in items for number in (item.phase, item.by) if number is not None}
    keys = dict(Phase.objects.filter(run=run, number__in=numbers).values_list("number", "pk"))
    entries = [
        LogEntry(
            run=run,
            position=run.log_position + index,
            kind=item.kind.value,
            phase_id=keys[item.phase],
            by_id=None if item.by is None else keys[item.by],
            withdrawal=cause if isinstance(cause, Withdrawal) else None,
            decision=cause if isinstance(cause, Decision) else None,
        )
        for index, item in enumerate(items, 1)
    ]
    LogEntry.objects.bulk_create(entries, batch_size=500)
    run.log_position += len(entries)


def write_awards(run: Run, awards: Iterable[Award], memory: Memory, *, round: Round | None = None) -> None:
    """Entries of the ledger, after the run's last; the memory learns which chemical systems they open."""
    awards = list(awards)
    last = ScoreEntry.objects.filter(run=run).aggregate(last=Max("number"))["last"] or 0
    numbers = {award.phase for award in awards}
    keys = dict(Phase.objects.filter(run=run, number__in=numbers).values_list("number", "pk"))
    now = clock.now()
    ScoreEntry.objects.bulk_create(
        (
            ScoreEntry(
                run=run,
                number=last + index,
                member_id=award.member,
                points=award.points,
                reason=award.reason,
                formula=award.formula,
                phase_id=keys[award.phase],
                candidate_id=award.candidate,
                provisional=award.provisional,
                round=round,
                log_position=run.log_position,
                written_at=now,
            )
            for index, award in enumerate(awards, 1)
        ),
        batch_size=500,
    )
    opened = (Formula.parse(award.formula) for award in awards if award.reason in PUTS_ON_HULL)
    memory.systems |= {formula.chemical_system for formula in opened}
