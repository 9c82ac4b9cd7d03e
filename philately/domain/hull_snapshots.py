"""The hull of a run on disk, so that a sequencer that starts need not build it again.

The rows are the truth. A snapshot says which state of the run it stands for; what the rows have beyond that is
replayed, and one that does not belong to these rows, or is not as it was written, is not used. So nothing is lost by a
crash at any point, nor by a lost snapshot.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings

from hull import snapshot
from hull.atomic import atomic_file
from hull.entries import Entry, Formula, HullError
from hull.store import HullStore
from hull.texts import entries_of_rows
from philately.domain.releases import file_sha256
from philately.models import LogEntry, Phase, Placement, Run
from philately.states import LogKind, PhaseStatus

log = logging.getLogger(__name__)

_CHUNK = 2000


class Unusable(Exception):
    """There is no snapshot, or it does not fit the rows; the message says why."""


@dataclass(frozen=True, slots=True)
class Stand:
    """The state of a run that a snapshot stands for. last: what tells this history from another of the same run, which
    there is where a database was restored from a backup and went another way."""

    run: int
    scale: str
    release: str  # SHA-256
    placed_to: int
    log_position: int
    next_phase_number: int
    last: str

    @classmethod
    def of(cls, run: Run) -> "Stand":
        """As the run stands in memory; its rows must be in the database."""
        last = _last(run.pk, run.log_position, run.next_phase_number)
        digests = (run.scale.digest, run.release.sha256)
        return cls(run.pk, *digests, run.placed_to, run.log_position, run.next_phase_number, last)


def save(run: Run, hull: HullStore) -> None:
    """Write the hull of a run whose rows are committed as far as the hull goes; the caller holds the sequencer's lock.

    The description names the checksum of the hull beside it and is written last.
    """
    arrays, description = _paths(run)
    arrays.parent.mkdir(parents=True, exist_ok=True)
    snapshot.save(hull, arrays, log_position=run.log_position)
    content = {**asdict(Stand.of(run)), "sha256": file_sha256(arrays)}
    with atomic_file(description) as file:
        file.write(json.dumps(content, indent=2).encode())


def save_when_due(run: Run, hull: HullStore) -> bool:
    """The same where the rows have gone far beyond the last snapshot, or are behind it; says whether it was written."""
    try:
        stand, _ = _read_description(run)
    except Unusable:
        changes = run.next_phase_number + run.log_position  # all of them
    else:
        changes = run.next_phase_number - stand.next_phase_number + run.log_position - stand.log_position
    return not 0 <= changes < settings.HULL_SNAPSHOT_EVERY and _saved(run, hull)


def save_at_end(run: Run, hull: HullStore) -> bool:
    """The same where the last snapshot stands for anything but the run as it is now; says whether it was written."""
    try:
        if _read_description(run)[0] == Stand.of(run):
            return False
    except Unusable as problem:
        log.info("the snapshot of %s is written anew: the last one %s", run, problem, extra={"run": run.pk})
    return _saved(run, hull)


def _saved(run: Run, hull: HullStore) -> bool:
    """Whether the disk took it; placing goes on without."""
    try:
        save(run, hull)
    except OSError as error:
        log.error("the hull of %s could not be kept for a fast start: %s", run, error, extra={"run": run.pk})
        return False
    return True


def load_or_rebuild(
    run: Run, rebuild: Callable[[], HullStore], *, keep: Callable[[], None] = lambda: None
) -> HullStore:
    """The run's hull as its rows have it: the snapshot and what came later, else ``rebuild``.

    keep: called again and again meanwhile, so that a lock can be kept.
    """
    try:
        return _load(run, keep)
    except Unusable as problem:
        if run.placed_to:  # before that there is none
            log.warning(
                "the hull of %s is built again from the rows: its snapshot %s", run, problem, extra={"run": run.pk}
            )
    return rebuild()


def _load(run: Run, keep: Callable[[], None]) -> HullStore:
    arrays, _ = _paths(run)
    stand, sha256 = _read_description(run)
    _check(stand, run)
    try:
        if file_sha256(arrays) != sha256:
            raise Unusable("is not the one that was described last")
        keep()
        hull, log_position = snapshot.load(arrays)
    except (snapshot.DamagedSnapshot, OSError) as error:
        raise Unusable(f"cannot be read: {error}") from error
    keep()
    if (hull.scale, log_position) != (stand.scale, stand.log_position):
        raise Unusable("is not the one that was described")
    try:
        _replay_tail(run, stand, hull, keep)
    except HullError as error:
        raise Unusable(f"does not go on as the rows do: {error}") from error
    on_record = Phase.objects.filter(run=run, status=PhaseStatus.ON_RECORD, number__lt=run.next_phase_number).count()
    if len(hull) != on_record:
        raise Unusable(f"gives {len(hull)} phases, the rows {on_record}")
    return hull


def _read_description(run: Run) -> tuple[Stand, str]:
    _, description = _paths(run)
    try:
        content = json.loads(description.read_bytes())
        sha256 = str(content.pop("sha256"))
        return Stand(**content), sha256
    except FileNotFoundError as error:
        raise Unusable("is missing") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unusable(f"has a description that cannot be read: {error}") from error


def _check(stand: Stand, run: Run) -> None:
    """Raises Unusable where a snapshot is not of an earlier state of this run."""
    if (stand.run, stand.scale, stand.release) != (run.pk, run.scale.digest, run.release.sha256):
        raise Unusable("is of another run, scale or release")
    reached = (stand.placed_to, stand.log_position, stand.next_phase_number)
    now = (run.placed_to, run.log_position, run.next_phase_number)
    if any(there > here for there, here in zip(reached, now, strict=True)):
        raise Unusable(f"is ahead of the rows: (arrival, log position, next phase) {reached}, they are at {now}")
    if stand.last != _last(run.pk, stand.log_position, stand.next_phase_number):
        raise Unusable("is of another history of this run than the rows")


def _last(run_id: int, log_position: int, next_phase_number: int) -> str:
    """The last entry of the log and the last phase, with the times at which they were written."""
    entry = LogEntry.objects.filter(run=run_id, position=log_position).values_list("candidate", "written_at")
    phase = Phase.objects.filter(run=run_id, number=next_phase_number - 1)
    mine = Placement.objects.filter(run=run_id, phase__in=phase.filter(release_phase=None)).order_by("pk")
    placement = mine.values_list("candidate", "placed_at")[:1]  # its finder now may be another, after a withdrawal
    found = [*entry, *phase.values_list("number", "formula"), *placement]
    return " ".join(str(value) for row in found for value in row)


def _replay_tail(run: Run, stand: Stand, hull: HullStore, keep: Callable[[], None]) -> None:
    """What the rows have beyond the snapshot: withdrawals, refinements, what was held and is accepted, new phases, each
    with the energy it has now."""
    phases = Phase.objects.filter(run=run)
    known = phases.filter(number__lt=stand.next_phase_number)
    for number in known.exclude(status=PhaseStatus.ON_RECORD).values_list("number", flat=True).iterator(_CHUNK):
        if number in hull:
            hull.withdraw(number)
    keep()
    tail = LogEntry.objects.filter(run=run, position__gt=stand.log_position, position__lte=run.log_position)
    kinds = (LogKind.REFINED, LogKind.REPLACED, LogKind.ACCEPTED)
    changed = known.filter(pk__in=tail.filter(kind__in=kinds).values("phase"), status=PhaseStatus.ON_RECORD)
    for number, formula, energy in changed.order_by("number").values_list("number", "formula", "energy_per_atom"):
        keep()
        if number in hull:  # refined, or back at the energy of what an owner left: higher or lower
            hull.withdraw(number)
        hull.insert(Entry(number, Formula.parse(formula), energy))  # also where it was held before
    last = stand.next_phase_number - 1
    new = phases.filter(status=PhaseStatus.ON_RECORD, number__lt=run.next_phase_number).order_by("number")
    while rows := list(new.filter(number__gt=last).values_list("number", "formula", "energy_per_atom")[:_CHUNK]):
        keep()
        hull.insert_arrays(entries_of_rows(rows))
        last = rows[-1][0]


def _paths(run: Run) -> tuple[Path, Path]:
    """Of the arrays and of what they stand for."""
    folder = Path(settings.HULL_DIR)
    return folder / f"run-{run.pk}.npz", folder / f"run-{run.pk}.json"
