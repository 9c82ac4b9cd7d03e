"""Files and rows that should belong together: uploads, shards and tables of dry runs in storage, staged uploads, facts.

It may look while work goes on: files are listed before rows are read, what is young counts for nothing, and what is
missing is asked for once more.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import Exists, F, Model, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from philately.domain import dry_runs, files, staging
from philately.models import (
    Batch,
    Candidate,
    CandidateDetail,
    DryRun,
    Dump,
    HullPoint,
    LogEntry,
    Membership,
    Opinion,
    Phase,
    Placement,
    RelaxationFact,
    RelaxationGeometry,
    ResumableUpload,
    Run,
    ScoreEntry,
    Season,
    Shard,
)
from philately.states import BatchState, CandidateState, ShardState
from philately.storage import storage

_FOLDERS = ("uploads", "shards", "dumps", dry_runs.FOLDER)
_SHOWN = 5  # keys or names in a sentence
_FORGOTTEN = 3  # leases: what ran out so long ago nobody takes back


@dataclass(frozen=True, slots=True)
class StorageAudit:
    """problems: a sentence each. strays: files in storage that belong to nothing, which may be removed."""

    problems: tuple[str, ...]
    strays: tuple[str, ...] = ()
    n_files: int = 0
    n_rows: int = 0

    @property
    def sentences(self) -> tuple[str, ...]:
        return (*self.problems, *_told("files in storage belong to no row", self.strays))

    @property
    def summary(self) -> str:
        return f"{self.n_files} files and {self.n_rows} rows with files, {len(self.sentences)} findings"


@dataclass(slots=True)
class _Named:
    """Names in storage: those that must be there, and those that may be."""

    wanted: set[str] = field(default_factory=set)
    allowed: set[str] = field(default_factory=set)
    of_shards: set[str] = field(default_factory=set)  # what names of the indexes of shards begin with
    open_folders: set[str] = field(default_factory=set)  # of what is being written


def audit_storage(*, older_than_s: float | None = None, checksums: bool = False) -> StorageAudit:
    """Compare. older_than_s: how old a file without a row must be to count, else UPLOAD_EXPIRES_S. checksums: read
    every shard, too."""
    older_than_s = settings.UPLOAD_EXPIRES_S if older_than_s is None else older_than_s
    present = {name for folder in _FOLDERS for name in storage().names_below(folder)}
    staged = staging.strays((), older_than_s=older_than_s)
    named = _named()
    missing = sorted(name for name in named.wanted - present if not storage().exists(name))
    strays = tuple(sorted(_old(_unnamed(present, named), older_than_s)))
    problems = [
        *_told("files that rows name are missing in storage", missing),
        *(_damaged() if checksums else ()),
        *_staged(staged),
        *_forgotten_leases(),
        *_torn_rows(),
        *_lone_rows(),
    ]
    return StorageAudit(tuple(problems), strays, len(present), len(named.wanted))


def remove(strays: Iterable[str]) -> int:
    """Delete what an audit found to belong to nothing and what still does; says how many files."""
    gone = sorted(_unnamed(set(strays), _named()))
    for name in gone:
        storage().delete(name)
    return len(gone)


def _named() -> _Named:
    named = _Named()
    batches = Batch.objects.values_list("pk", "state", "stored_as")
    for batch, state, stored_as in batches.iterator():
        named.wanted |= {stored_as} - {""}
        named.allowed.add(files.list_name(batch))
        if state != BatchState.READ:
            named.open_folders.add(f"shards/{batch}/")
    for batch, number, stored_as in Shard.objects.values_list("batch", "number", "stored_as").iterator():
        named.wanted |= {stored_as} - {""}
        named.of_shards.add(files.shard_name(batch, number, "").removesuffix(".gz"))
    for run in DryRun.objects.only("pk", "stored_as", "table_as").iterator():
        named.wanted |= {run.stored_as, run.table_as} - {""}
        named.open_folders.add(f"{dry_runs.tables_of(run)}/")
    for dump in Dump.objects.only("stored_in", "files", "whole_at").iterator():
        if dump.whole_at is None:
            named.open_folders.add(f"{dump.stored_in}/")
        named.wanted |= {f"{dump.stored_in}/{name}" for name in dump.files}
    return named


def _unnamed(names: set[str], named: _Named) -> set[str]:
    unnamed = names - named.wanted - named.allowed
    unnamed = {name for name in unnamed if not (name.endswith(".index.gz") and _before_hash(name) in named.of_shards)}
    return {name for name in unnamed if f"{name.rpartition('/')[0]}/" not in named.open_folders}


def _before_hash(name: str) -> str:
    head, dash, _ = name.rpartition("-")
    return head + dash


def _old(names: Iterable[str], older_than_s: float) -> Iterator[str]:
    before = timezone.now() - timedelta(seconds=older_than_s)
    for name in names:
        try:
            if default_storage.get_modified_time(name) <= before:
                yield name
        except FileNotFoundError:
            continue


def _damaged() -> Iterator[str]:
    broken = []
    for name, sha256 in Shard.objects.exclude(stored_as="").values_list("stored_as", "sha256").iterator():
        try:
            files.check(name, sha256)
        except files.DamagedShard:
            broken.append(name)
    return _told("shards are not as they were written", broken)


def _staged(names: Iterable[str]) -> Iterator[str]:
    """Bytes of unfinished uploads. A finished one has handed its file over."""
    known = dict(ResumableUpload.objects.filter(finished_at=None).values_list("token", "offset"))
    yield from _told("staged files belong to no upload", sorted(set(names) - known.keys()))
    lost = [token for token in known if not staging.is_there(token)]
    still = ResumableUpload.objects.filter(finished_at=None, token__in=lost)
    yield from _told("unfinished uploads have no file", sorted(still.values_list("token", flat=True)))


def _forgotten_leases() -> Iterator[str]:
    """What is held by nobody alive, and nobody took back."""
    long_ago = Now() - timedelta(seconds=_FORGOTTEN * settings.LEASE_S + settings.SWEEP_EVERY_S)
    for name, rows, busy in (
        ("candidates", Candidate.objects.all(), CandidateState.RELAXING),
        ("shards", Shard.objects.all(), ShardState.WAITING),
        ("opinions", Opinion.objects.all(), None),
    ):
        held = rows.filter(lease__isnull=False)
        yield from _found(f"{name} are held by leases that ran out long ago", held.filter(lease_until__lt=long_ago))
        if busy is not None:
            yield from _found(f"{name} have a lease and nothing to be done", held.exclude(state=busy))


def _torn_rows() -> Iterator[str]:
    """Rows that come in one transaction with others, without these."""
    read = Q(state__in=[CandidateState.CHECKED, CandidateState.PARSED, CandidateState.RELAXED, CandidateState.PLACED])
    without_detail = Candidate.objects.filter(~_there(CandidateDetail, candidate=OuterRef("pk")))
    yield from _found("candidates have no detail", without_detail)
    without_geometry = Candidate.objects.filter(read, detail__isnull=False, detail__geometry=None)
    yield from _found("candidates were read and have no geometry", without_geometry)
    alone = RelaxationFact.objects.filter(~_there(RelaxationGeometry, relaxation=OuterRef("pk")))
    yield from _found("relaxations have no geometry", alone)
    elsewhere = Candidate.objects.exclude(batch=F("shard__batch"))
    yield from _found("candidates are of another batch than their shard", elsewhere)
    empty = Shard.objects.filter(~_there(Candidate, shard=OuterRef("pk")))
    yield from _found("shards have no candidates", empty)
    unread = Batch.objects.filter(~_there(Shard, batch=OuterRef("pk")), state=BatchState.READ, n_found__gt=0)
    yield from _found("batches were read and have no shards", unread)
    reused = Season.objects.filter(candidates__arrival__gte=F("next_arrival")).distinct()
    yield from _found("seasons would give an arrival number twice", reused)
    yield from _unplaced()


def _unplaced() -> Iterator[str]:
    """What has passed the official run has a placement there, unless the run leaves it out."""
    run = OuterRef("season__official_run")
    placed = Candidate.objects.filter(state=CandidateState.PLACED)
    passed = placed.filter(arrival__lte=F("season__official_run__placed_to"))
    without = passed.filter(~_there(Placement, run=run, candidate=OuterRef("pk")))
    yield from _found("placed candidates have no placement", without.exclude(exclusions__run=F("season__official_run")))
    ahead = placed.exclude(season__official_run=None).filter(arrival__gt=F("season__official_run__placed_to"))
    yield from _found("candidates are placed ahead of their run", ahead)


def _lone_rows() -> Iterator[str]:
    """Of tables whose foreign keys PostgreSQL does not check."""
    for model in (Phase, Placement, HullPoint, LogEntry, ScoreEntry):
        lone = model._default_manager.filter(~_there(Run, pk=OuterRef("run")))
        yield from _found(f"{model._meta.verbose_name_plural} belong to no run", lone)
    for name, owner in (("member", Membership), ("candidate", Candidate)):
        lone = ScoreEntry.objects.filter(~_there(owner, pk=OuterRef(name)))
        yield from _found(f"score entries belong to no {name}", lone)


def _there(model: type[Model], **owner: OuterRef) -> Exists:
    return Exists(model._default_manager.filter(**owner))


def _found(what: str, rows: QuerySet[Model]) -> Iterator[str]:
    keys = list(rows.order_by("pk").values_list("pk", flat=True)[: _SHOWN + 1])
    if len(keys) > _SHOWN:
        yield f"{rows.count()} {what}: {', '.join(map(str, keys[:_SHOWN]))}, …"
    elif keys:
        yield f"{len(keys)} {what}: {', '.join(map(str, keys))}"


def _told(what: str, names: list[str] | tuple[str, ...]) -> Iterator[str]:
    if names:
        more = ", …" if len(names) > _SHOWN else ""
        yield f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{more}"
