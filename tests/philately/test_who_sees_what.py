"""Every address, by everybody: what opens, and that nothing of another's is in it. A new address must be put here."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from driving import cif, ordered_alloy, run_all, season_on, submit, zipped

from philately.domain import dry_runs
from philately.domain.dry_reading import carry_out
from philately.domain.dumps import offer
from philately.domain.intake import Method
from philately.domain.keys import make_key
from philately.domain.resumable import Announced, begin
from philately.domain.seasons import join
from philately.models import ApiKey, Batch, Candidate, DryRun, ResumableUpload, Season, User, Withdrawal
from philately.states import CandidateState, Role, Visibility
from philately.urls import urlpatterns

VISITORS = ("visitor", "other", "owner", "organiser", "organiser elsewhere", "staff")
MODES = ("open", "blind", "closed")  # closed: a blind season after its close


@dataclass(frozen=True)
class World:
    """ann, of whom everything is hidden, and everybody else."""

    season: Season
    batch: Batch
    candidate: Candidate
    dry_run: DryRun
    upload: ResumableUpload
    key: ApiKey
    clients: dict[str, Client]


def everybody(*statuses: int) -> dict[str, int]:
    """One status for all, or one for each of VISITORS."""
    return dict(zip(VISITORS, statuses * (6 // len(statuses)), strict=True))


PUBLIC = everybody(200)
SIGNED_IN = everybody(302, 200, 200, 200, 200, 200)
OWNERS_AND_ORGANISERS = everybody(302, 404, 200, 200, 404, 200)
OWNERS_ALONE = everybody(302, 404, 200, 404, 404, 404)
NOT_BY_GET = everybody(405)
DEED = everybody(302, 405, 405, 405, 405, 405)
STAFF = everybody(302, 404, 404, 404, 404, 302)  # who is not enrolled is led to where that is done

# By name: the arguments, and what GET answers. Whatever differs from season to season is a function of the mode.
Expected = dict[str, int] | Callable[[str], dict[str, int]]
ADDRESSES: dict[str, tuple[Callable[[World], list[object]], Expected]] = {
    "home": (lambda w: [], PUBLIC),
    "healthz": (lambda w: [], PUBLIC),
    "readyz": (lambda w: [], PUBLIC),
    "metrics": (lambda w: [], PUBLIC),  # from this machine
    "signup": (lambda w: [], PUBLIC),
    "login": (lambda w: [], everybody(200, 302, 302, 302, 302, 302)),
    "logout": (lambda w: [], NOT_BY_GET),
    "password": (lambda w: [], SIGNED_IN),
    "second-factor": (lambda w: [], STAFF),
    "second-factor-enrol": (lambda w: [], everybody(302, 404, 404, 404, 404, 200)),
    "second-factor-recovery": (lambda w: [], DEED),
    "keys": (lambda w: [], SIGNED_IN),
    "key-revoke": (lambda w: [w.key.pk], DEED),
    "season": (lambda w: [w.season.slug], PUBLIC),
    "upload": (lambda w: [w.season.slug], SIGNED_IN),
    "tus-uploads": (lambda w: [w.season.slug], everybody(401, 412, 412, 412, 412, 412)),
    "tus-upload": (lambda w: [w.upload.token], everybody(401, 412, 412, 412, 412, 412)),
    "leaderboard": (lambda w: [w.season.slug], PUBLIC),
    "stable": (lambda w: [w.season.slug], PUBLIC),
    "dump-file": (
        lambda w: [w.season.slug, "phases.parquet"],
        lambda mode: everybody(404, 404, 404, 200, 404, 200) if mode == "blind" else PUBLIC,
    ),
    "batches": (lambda w: [], SIGNED_IN),
    "batch": (lambda w: [w.batch.pk], OWNERS_AND_ORGANISERS),
    "batch-live": (lambda w: [w.batch.pk], OWNERS_AND_ORGANISERS),
    "batch-csv": (lambda w: [w.batch.pk], OWNERS_AND_ORGANISERS),
    "batch-withdraw": (lambda w: [w.batch.pk], OWNERS_AND_ORGANISERS),
    "dry-run": (lambda w: [w.dry_run.pk], OWNERS_ALONE),
    "dry-run-live": (lambda w: [w.dry_run.pk], OWNERS_ALONE),
    "dry-run-csv": (lambda w: [w.dry_run.pk], OWNERS_ALONE),
    "dry-run-submit": (lambda w: [w.dry_run.pk], DEED),
    "candidate": (lambda w: [w.candidate.pk], OWNERS_AND_ORGANISERS),
    "candidate-withdraw": (lambda w: [w.candidate.pk], OWNERS_AND_ORGANISERS),
    "admin-login": (lambda w: [], everybody(302, 403, 403, 403, 403, 403)),
    "admin-password": (lambda w: [], everybody(302)),
    "admin:index": (lambda w: [], everybody(302, 302, 302, 302, 302, 200)),
}

FORMULA = re.compile(r"AgPd|PdAg|Ag-Pd")
FILES = re.compile(r"anns")
NAME = re.compile(r"\bann\b")


def alloy(majority: str, minority: str, lattice_ang: float, n_minority: int = 1) -> str:
    return cif(ordered_alloy(majority, minority, lattice_ang=lattice_ang, n_minority=n_minority))


@pytest.fixture(params=MODES)
def mode(request) -> str:
    return request.param


@pytest.fixture
def world(season, mode, emt_release_file) -> World:
    """A season in this mode, with finds of ann's; and another one, whose organiser is nobody here."""
    elsewhere = season_on(emt_release_file, slug="elsewhere", name="Elsewhere")
    people = {name: User.objects.create_user(name) for name in ("ann", "bob", "olga", "otto")}
    ann, bob = join(season, people["ann"]), join(season, people["bob"])
    join(season, people["olga"], Role.ORGANISER)
    join(elsewhere, people["otto"], Role.ORGANISER)
    join(season, people["otto"])
    batch = submit(ann, {"anns-AgPd.cif": alloy("Ag", "Pd", 4.0, 2), "anns-Cu3Au.cif": alloy("Cu", "Au", 3.7)})
    run_all(season)
    submit(bob, {"bobs-twin.cif": alloy("Cu", "Au", 3.7), "bobs-CuAu.cif": alloy("Cu", "Au", 3.85, 2)})
    run_all(season)
    told = Method("by hand")
    run = dry_runs.accept_dry_run(ann, SimpleUploadedFile("anns.zip", zipped({"anns.cif": "no"})), told, consent=True)
    carry_out(run.pk)
    upload = begin(ann, Announced(length=10, file_name="anns.zip", method=told, consent=True))
    season.refresh_from_db()
    offer(season)
    make_key(ann.user, "anns laptop")
    _set(season, mode)
    people["root"] = User.objects.create_user("root", is_staff=True, is_superuser=True)
    names = dict(zip(VISITORS[1:], ("bob", "ann", "olga", "otto", "root"), strict=True))
    clients = {"visitor": Client()}
    for who, name in names.items():
        clients[who] = Client()
        clients[who].force_login(people[name])
    candidate = batch.candidates.order_by("pk")[0]
    return World(season, batch, candidate, run, upload, ApiKey.objects.get(), clients)


def _set(season: Season, mode: str) -> None:
    visibility = Visibility.OPEN if mode == "open" else Visibility.BLIND
    closes_at = timezone.now() - timedelta(seconds=1) if mode == "closed" else None
    Season.objects.filter(pk=season.pk).update(visibility=visibility, closes_at=closes_at)


def names_of_addresses() -> set[str]:
    named = {pattern.name for pattern in urlpatterns if hasattr(pattern, "name")}
    spaces = {f"{pattern.namespace}:index" for pattern in urlpatterns if hasattr(pattern, "namespace")}
    return named | spaces


def test_every_address_is_here():
    assert names_of_addresses() == set(ADDRESSES)


def test_everybody_opens_what_is_theirs_and_sees_nothing_of_anothers(world, mode):
    for name, (arguments, expected) in ADDRESSES.items():
        statuses = expected(mode) if callable(expected) else expected
        for who, client in world.clients.items():
            if name == "login" and who == "visitor":
                client = Client()  # a form: its token is not for the other pages
            answer = client.get(reverse(name, args=arguments(world)))
            assert answer.status_code == statuses[who], (name, who)
            text = text_of(answer)
            found = [what.pattern for what in hidden_from(who, mode, name, world) if what.search(text)]
            assert not found, (name, who, found)


def hidden_from(who: str, mode: str, name: str, world: World) -> list[re.Pattern[str]]:
    """What may stand nowhere in the answer."""
    if who in ("owner", "organiser", "staff"):
        return []
    told_by_id = [
        re.compile(rf"/batches/{world.batch.pk}\b"),
        re.compile(rf"/dry-runs/{world.dry_run.pk}\b"),
        *(re.compile(rf"/candidates/{pk}\b") for pk in world.batch.candidates.values_list("pk", flat=True)),
        re.compile(re.escape(world.upload.token)),
    ]
    if name in ("login", "admin-login") or answerless(name):
        told_by_id = []  # what was asked for is repeated as where to go on
    dumped = name == "dump-file" and mode != "blind"
    finds = [FORMULA, NAME] if mode == "blind" else []
    return [] if dumped else [FILES, *told_by_id, *finds]


def answerless(name: str) -> bool:
    return name.startswith(("batch-", "candidate", "dry-run")) or name in ("batch", "tus-upload")


def text_of(answer) -> str:
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    text = re.sub(r"<su[bp]>|</su[bp]>", "", body.decode(errors="replace"))
    return "\n".join([text, *(f"{key}: {value}" for key, value in answer.headers.items())])


@pytest.mark.parametrize("mode", ["blind"], indirect=True)
class TestHostileIds:
    """By id a thing of another's is not to be told from one that does not exist."""

    NAMES = (
        *("batch", "batch-live", "batch-csv", "batch-withdraw", "candidate", "candidate-withdraw"),
        *("dry-run", "dry-run-live", "dry-run-csv", "dry-run-submit", "key-revoke"),
    )
    BY_POST = ("dry-run-submit", "key-revoke", "batch-withdraw", "candidate-withdraw")

    @pytest.mark.parametrize("who", ["other", "organiser elsewhere", "visitor"])
    def test_anothers_is_answered_as_nobodys(self, world, who):
        client = world.clients[who]
        for name in self.NAMES:
            arguments = ADDRESSES[name][0](world)
            for ask in (client.get, client.post):
                anothers, nobodys = (ask(reverse(name, args=[key])) for key in (arguments[0], 987_654_321))
                assert anothers.status_code == nobodys.status_code, name
                assert plain(anothers, arguments[0]) == plain(nobodys, 987_654_321), name
                assert dict(anothers.headers) == {
                    **dict(nobodys.headers),
                    **{h: anothers[h] for h in ("Location", "Content-Length", "X-Request-ID") if h in anothers},
                }, name

    def test_no_deed_of_anothers_changes_anything(self, world):
        for name in self.BY_POST:
            for who in ("other", "organiser elsewhere"):
                answer = world.clients[who].post(reverse(name, args=ADDRESSES[name][0](world)), {"reason": "mine"})
                assert answer.status_code == 404, (name, who)

        assert not Withdrawal.objects.exists()
        assert not Candidate.objects.filter(state=CandidateState.WITHDRAWN).exists()
        assert ApiKey.objects.get().revoked_at is None
        assert DryRun.objects.get().batch is None

    def test_no_deed_is_done_without_the_forms_token(self, world):
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(world.batch.owner.user)
        for name in (*self.BY_POST, "keys", "logout", "password", "second-factor-recovery"):
            answer = strict.post(reverse(name, args=ADDRESSES[name][0](world)), {"reason": "x", "name": "x"})
            assert answer.status_code == 403, name

        assert not Withdrawal.objects.exists() and ApiKey.objects.count() == 1
        assert "_auth_user_id" in strict.session

    @pytest.mark.parametrize("method", ["head", "patch", "delete"])
    def test_an_upload_is_its_owners_alone(self, world, method):
        address = reverse("tus-upload", args=[world.upload.token])
        told = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        answers = [
            getattr(world.clients[who], method)(address, headers=told)
            for who in ("other", "organiser", "organiser elsewhere", "staff")
        ]

        assert {answer.status_code for answer in answers} == {404}
        assert ResumableUpload.objects.get().offset == 0

    def test_numbers_beyond_the_databases_are_not_found_either(self, world):
        for name in self.NAMES[:3]:
            answer = world.clients["other"].get(reverse(name, args=[10**30]))
            assert answer.status_code == 404, name

    def test_a_key_is_never_more_than_a_participants(self, world):
        """It has no second factor, and lies on machines: an organiser's and a staff member's open their own alone."""
        address = reverse("batch-csv", args=[world.batch.pk])
        for name, expected in (("olga", 404), ("root", 404), ("ann", 200)):
            key = make_key(User.objects.get(username=name), "laptop")
            assert Client().get(address, headers={"Authorization": f"Bearer {key}"}).status_code == expected


def plain(answer, key: int) -> str:
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    text = re.sub(r'name="csrfmiddlewaretoken" value="[^"]+"', "", body.decode())
    own = re.compile(rf"(?<=/){key}(?=/)")
    return own.sub("…", text) + own.sub("…", answer.headers.get("Location", ""))
