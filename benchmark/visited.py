"""What is asked for beside a season's rows, and who asks: a dry run of the largest size with its table, a dump to
download, an upload under way, an API key; sessions as browsers have them, of staff with their second factor."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.test import Client
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.plugins.otp_totp.models import TOTPDevice

from benchmark.addresses import FINE, MONITOR, ORGANISER, PARTICIPANT, PROGRAMME, STAFF, VISITOR, Address
from benchmark.filled import Filled
from philately.domain import dry_tables, files, staging
from philately.domain.keys import make_key
from philately.models import (
    Batch,
    Candidate,
    CandidateDetail,
    DryRun,
    Dump,
    HullPoint,
    LogEntry,
    Membership,
    Phase,
    Placement,
    ReleasePhase,
    ResumableUpload,
    ScoreEntry,
    Season,
    Shard,
    User,
)
from philately.queries import clock
from philately.queries.dry_runs import DryRow
from philately.queries.positions import on_hull
from philately.states import CandidateState, DryRunState, Visibility
from validation.rules import Reason

Headers = dict[str, str]

LARGEST_DRY_RUN = 1_000_000  # structures, which is as many as an upload may have; none has more than its season
_DRY_REASON = Reason.NOT_BULK  # of one row in a hundred thousand, and of the last
_LEAD = 5  # rows before the last that waits to be placed; after it come those that wait to be relaxed
_DUMPED = "manifest.json"
_ROOM = {"uploads_unfinished": 1_000_000, "uploads_a_day": 1_000_000}  # the participant begins one at each visit


def prepare(filled: Filled) -> None:
    """Let a participant own what is looked at, and have what is not among the season's rows. May be called again, in
    another process with other folders: what was there before is replaced."""
    member = filled.largest.owner
    Membership.objects.filter(pk=member.pk).update(own_limits=_ROOM)
    Batch.objects.filter(pk=_waiting(filled).batch_id).update(owner=member)
    ResumableUpload.objects.filter(owner=member).delete()
    DryRun.objects.filter(owner=member).delete()
    Dump.objects.filter(season=filled.season).delete()
    member.user.api_keys.all().delete()
    _dry_run(member, min(LARGEST_DRY_RUN, filled.season.next_arrival - 1))
    _dump(filled.season)
    _upload(member)
    make_key(member.user, "a laptop")


def _waiting(filled: Filled) -> Candidate:
    """The last that waits to be placed: its batch is to be relaxed from there on, however many rows there are."""
    return Candidate.objects.filter(season=filled.season, state=CandidateState.RELAXED).order_by("-arrival")[0]


def _dry_run(member: Membership, n_rows: int) -> None:
    now = clock.now()
    run = DryRun.objects.create(
        owner=member,
        sha256="",
        file_name="dry.zip",
        n_bytes=700 * n_rows,
        stored_as="dry-runs/none",
        method="made up",
        created_at=now,
        expires_at=now + timedelta(days=7),
        state=DryRunState.DONE,
        n_done=n_rows,
        n_total=n_rows,
        n_atoms=8 * n_rows,
    )
    counts = {"": n_rows - 1 - n_rows // 100_000, str(_DRY_REASON): 1 + n_rows // 100_000}
    with dry_tables.table() as table:
        for number in range(1, n_rows + 1):
            table.add(_dry_row(number, refused=number % 100_000 == 0 or number == n_rows))
        table_as = table.store(f"dry-runs/tables/{run.pk}/made-up.parquet")
    DryRun.objects.filter(pk=run.pk).update(counts=counts, table_as=table_as)


def _dry_row(number: int, *, refused: bool) -> DryRow:
    return DryRow(
        number=number,
        file=f"{number // 100}/{number}.cif",
        block=f"x{number}",
        line=1,
        formula="" if refused else "NaCl",
        n_atoms=None if refused else 8,
        reason=_DRY_REASON if refused else "",
        sentence="its sites lie in one plane" if refused else "",
    )


def _dump(season: Season) -> None:
    """Of one small file: how long a large one takes is the network's affair."""
    run = season.official_run
    told = {"run": {"number": run.number if run else 0, "log_position": run.log_position if run else 0}}
    folder = f"dumps/{season.slug}/made-up"
    files.put_bytes(f"{folder}/{_DUMPED}", b"{}")
    sizes = {_DUMPED: 2, "phases.parquet": 1, "checksums.txt": 1}
    Dump.objects.create(season=season, stored_in=folder, manifest=told, files=sizes, whole_at=clock.now())


def _upload(member: Membership) -> None:
    now = clock.now()
    ResumableUpload.objects.create(
        token=staging.begin(),
        owner=member,
        file_name="under-way.zip",
        method="made up",
        length=10,
        created_at=now,
        expires_at=now + timedelta(days=1),
    )


def named(filled: Filled) -> dict[str, Any]:
    """What the paths name, of the largest batch above all, and of its owner; and the system of the latest find on the
    hull, so that each season's page has one. Needs ``prepare``."""
    season, largest, member = filled.season, filled.largest, filled.largest.owner
    run = season.official_run
    waiting = _waiting(filled)
    placed = Candidate.objects.filter(batch=largest, state=CandidateState.PLACED).order_by("arrival")[0]
    found = on_hull(run).filter(first_candidate__isnull=False).order_by("-number")[0]
    middle = Phase.objects.filter(run=run).order_by("-number")[0]
    dry_run, upload = DryRun.objects.filter(owner=member).get(), _upload_of(member)
    return {
        "slug": season.slug,
        "candidate": placed.pk,
        "arrival": placed.arrival + (largest.n_counted or 0) // 2,
        "waiting": waiting.pk,
        "waiting_batch": waiting.batch_id,
        "before_waiting": waiting.arrival - _LEAD,
        "mark": _mark(member.user, waiting.batch_id),
        "system": found.chemical_system,
        "formula": middle.formula,
        "dump_file": _DUMPED,
        "dry_run": dry_run.pk,
        "dry_row": (dry_run.n_total or 0) // 2,
        "dry_reason": _DRY_REASON,
        "upload": upload.token,
        "user_name": member.user.username,
        **_rows(filled, placed),
        "dryrun": dry_run.pk,
        "resumableupload": upload.pk,
    }


def _upload_of(member: Membership) -> ResumableUpload:
    return ResumableUpload.objects.filter(owner=member).order_by("pk")[0]


def _rows(filled: Filled, placed: Candidate) -> dict[str, Any]:
    """A row of each table whose rows staff look at, by the table's name."""
    season, member = filled.season, filled.largest.owner
    run = season.official_run
    assert run is not None  # the season is filled
    latest = (Dump, HullPoint, LogEntry, Phase, ReleasePhase, ScoreEntry, Shard)
    return {
        **{model._meta.model_name or "": model._default_manager.order_by("-pk")[0].pk for model in latest},
        "apikey": member.user.api_keys.order_by("-pk")[0].pk,
        "batch": filled.largest.pk,
        "candidatedetail": CandidateDetail.objects.get(pk=placed.pk).pk,
        "membership": member.pk,
        "placement": Placement.objects.get(run=run, candidate=placed).pk,
        "release": run.release_id,
        "relaxationfact": placed.relaxation_id,
        "relaxationgeometry": placed.relaxation_id,
        "run": run.pk,
        "scale": season.scale_id,
        "season": season.pk,
        "user": member.user_id,
    }


def _mark(user: User, batch_id: int) -> str:
    """What a page that follows a batch says that it has seen."""
    page = ask(Address("batch_in_line", PARTICIPANT, f"/batches/{batch_id}/"), {**_session(user), **_FROM_THE_PROXY})
    found = re.search(r"mark=(\w+)", page.content.decode())
    if found is None:
        raise RuntimeError(f"batch {batch_id} is not under way")
    return found[1]


_FROM_THE_PROXY = {"X-Forwarded-Proto": "https"} if settings.HTTPS else {}


def headers_of(filled: Filled) -> dict[str, Headers]:
    """What each of them shows. The participant owns what is looked at; the organiser is no staff. Called anew, it gives
    others, which hold as well."""
    member = filled.largest.owner
    staff, _ = User.objects.get_or_create(
        username=f"{filled.season.slug}-staff", defaults={"is_staff": True, "is_superuser": True}
    )
    told = {"filename": "made-up.zip", "method": "made up", "consent": "yes", "dry_run": "no"}
    by_tus = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "10",
        "Upload-Metadata": ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in told.items()),
    }
    key = make_key(member.user, "a programme")
    shown: dict[str, Headers] = {
        VISITOR: {},
        PARTICIPANT: _session(member.user),
        ORGANISER: _session(filled.organiser),
        STAFF: _session(staff),
        PROGRAMME: {"Authorization": f"Bearer {key}", **by_tus},
        MONITOR: {"Authorization": f"Bearer {settings.METRICS_TOKEN}"},
    }
    return {who: {**headers, **_FROM_THE_PROXY} for who, headers in shown.items()}


def _session(user: User) -> Headers:
    """Of somebody who has logged in, as members of the staff do with an authenticator's code."""
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    if user.is_staff:
        device, _ = TOTPDevice.objects.get_or_create(user=user, confirmed=True)
        session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    session.save()
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session.session_key}"}


def ask(page: Address, headers: Headers) -> Any:
    """The answer, made in this process. Raises RuntimeError where it is a refusal."""
    answer = Client(SERVER_NAME="localhost").generic(page.method, page.path, headers=headers)
    if answer.status_code not in FINE:
        raise RuntimeError(f"{page.method} {page.path} answered {answer.status_code}")
    return answer


@contextmanager
def blind(filled: Filled) -> Iterator[None]:
    """Meanwhile the season is."""
    seasons = Season.objects.filter(pk=filled.season.pk)
    seasons.update(visibility=Visibility.BLIND)
    try:
        yield
    finally:
        seasons.update(visibility=Visibility.OPEN)
