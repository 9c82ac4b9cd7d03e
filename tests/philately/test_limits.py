"""How often somebody may do something: counted for all web processes together, told with 429."""

import multiprocessing
import socket
from uuid import uuid4

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory
from django.urls import reverse
from driving import first_texts, run_all, submit, zipped
from redis import Redis

from philately.domain import limits
from philately.domain.dumps import offer
from philately.domain.keys import make_key
from philately.domain.limits import TooMany, spend
from philately.models import Batch, User
from philately.pages.addresses import address_of
from philately.service.json_cache import Json
from philately.service.limit_settings import Limit, cache_at, limit_from, networks_from
from tests.flows.servers import needs

LONG_S = 10**7  # a window that no test runs over the end of
PASSWORD = "a-long-enough-one"


@pytest.fixture
def at_most(settings):
    """Sets a limit for this test."""

    def set_limit(**counts: int) -> None:
        settings.LIMITS = {**settings.LIMITS, **{name: Limit(count, LONG_S) for name, count in counts.items()}}

    return set_limit


@pytest.fixture
def redis(settings):
    """A shared cache of our own in a database of a server that others use, too."""
    needs(Redis=6379)
    address, prefix = "redis://127.0.0.1:6379/11", f"test-{uuid4().hex}"
    settings.CACHES = {**settings.CACHES, "default": cache_at(address, prefix=prefix)}
    yield
    with Redis.from_url(address) as server:
        for key in server.scan_iter(match=f"{prefix}:*"):
            server.delete(key)


def passes(name: str, who: str) -> bool:
    try:
        spend(name, who)
    except TooMany:
        return False
    return True


class TestCounting:
    def test_so_many_pass_and_then_none_of_the_same_sender(self, at_most):
        at_most(TABLES=3)

        assert [passes("TABLES", "ann") for _ in range(5)] == [True, True, True, False, False]
        assert passes("TABLES", "bob")
        assert passes("UPLOADS", "ann")

    def test_another_window_begins_from_nothing(self, at_most, settings, monkeypatch):
        settings.LIMITS = {**settings.LIMITS, "TABLES": Limit(1, 60)}
        monkeypatch.setattr(limits.time, "time", lambda: 1_000_000_019.0)  # 19 s before the end of a minute
        spend("TABLES", "ann")
        with pytest.raises(TooMany) as refusal:
            spend("TABLES", "ann")
        monkeypatch.setattr(limits.time, "time", lambda: 1_000_000_019.0 + refusal.value.retry_after_s)

        spend("TABLES", "ann")

        assert refusal.value.retry_after_s == 1  # 1,000,000,020 is a multiple of 60

    def test_a_count_of_0_is_no_limit(self, at_most):
        at_most(TABLES=0)

        assert all(passes("TABLES", "ann") for _ in range(500))

    def test_senders_may_have_any_name(self, at_most):
        at_most(TABLES=1)

        for name in ("a b\n", "\0", "ü" * 1000, "\ud800", "x" * 1000):
            assert passes("TABLES", name) and not passes("TABLES", name)


def _spend_many(_: int) -> int:
    return sum(passes("TABLES", "ann") for _ in range(40))


def test_processes_that_share_a_redis_count_together(redis, at_most):
    at_most(TABLES=100)

    with multiprocessing.get_context("fork").Pool(4) as processes:
        passed = processes.map(_spend_many, range(4))

    assert sum(passed) == 100


def test_nothing_in_a_shared_cache_is_ever_unpickled(redis):
    kept = {"text": ["ü", 1.5, None, True]}
    caches["default"].set("kept", kept, 60)

    assert caches["default"].get("kept") == kept
    assert Json().loads(b"17") == 17 and Json().dumps(17) == 17
    with pytest.raises(ValueError):
        Json().loads(b"\x80\x04\x95")  # how a pickle begins


class TestWithoutTheCache:
    @pytest.fixture(autouse=True)
    def dead(self, settings, monkeypatch):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]  # which nobody listens on
        settings.CACHES = {**settings.CACHES, "default": cache_at(f"redis://127.0.0.1:{port}/0", prefix="test")}
        monkeypatch.setattr(limits, "_aside_until", 0.0)

    def test_each_process_counts_for_itself_and_says_so_once(self, at_most, monkeypatch):
        at_most(TABLES=2)
        said = []
        monkeypatch.setattr(limits.log, "error", lambda *told: said.append(told))

        assert [passes("TABLES", "ann") for _ in range(4)] == [True, True, False, False]
        assert len(said) == 1 and "counts for itself" in said[0][0]

    def test_pages_open_and_logins_go_on_and_are_limited(self, client, db, at_most):
        at_most(LOGINS_OF_ACCOUNT=2)
        User.objects.create_user("ann", password=PASSWORD)

        assert client.get("/").status_code == 200
        assert log_in(client, "ann", "wrong").status_code == 200
        assert log_in(client, "ann", PASSWORD).status_code == 302
        assert log_in(Client(), "ann", PASSWORD).status_code == 429


def log_in(client: Client, name: str, password: str, **headers):
    return client.post(reverse("login"), {"username": name, "password": password}, **headers)


class TestLogins:
    @pytest.fixture(autouse=True)
    def ann(self, db):
        return User.objects.create_user("ann", password=PASSWORD)

    def test_an_account_has_so_many_attempts_and_the_answer_says_when_to_come_again(self, at_most):
        at_most(LOGINS_OF_ACCOUNT=2)
        for _ in range(2):
            log_in(Client(), "ann", "wrong")

        answer = log_in(Client(), "ANN", PASSWORD)

        assert answer.status_code == 429
        assert 0 < int(answer["Retry-After"]) <= LONG_S
        assert "please try again in" in answer.content.decode()
        assert "_auth_user_id" not in answer.wsgi_request.session

    def test_an_address_has_so_many_for_all_accounts(self, at_most):
        at_most(LOGINS_FROM_ADDRESS=3)
        for number in range(3):
            log_in(Client(), f"somebody {number}", "wrong")

        assert log_in(Client(), "ann", PASSWORD).status_code == 429
        assert log_in(Client(), "ann", PASSWORD, REMOTE_ADDR="192.0.2.7").status_code == 302

    def test_whoever_guesses_does_not_lock_out_a_browser_that_was_logged_in_before(self, client, at_most):
        log_in(client, "ann", PASSWORD)
        client.post(reverse("logout"))
        at_most(LOGINS_OF_ACCOUNT=2)
        for _ in range(5):
            log_in(Client(), "ann", "guess")
        assert log_in(Client(), "ann", PASSWORD).status_code == 429

        assert log_in(client, "ann", PASSWORD).status_code == 302

    def test_that_browser_has_so_many_attempts_itself_and_none_for_other_accounts(self, client, at_most):
        User.objects.create_user("bob", password=PASSWORD)
        log_in(client, "ann", PASSWORD)
        client.post(reverse("logout"))
        at_most(LOGINS_OF_ACCOUNT=2)
        for _ in range(2):
            log_in(Client(), "bob", "guess")

        assert log_in(client, "bob", PASSWORD).status_code == 429
        assert [log_in(client, "ann", "guess").status_code for _ in range(3)] == [200, 200, 429]

    def test_a_cookie_that_we_did_not_sign_is_none(self, at_most):
        at_most(LOGINS_OF_ACCOUNT=1)
        log_in(Client(), "ann", "guess")
        forger = Client()
        forger.cookies["known"] = '["ann","0123456789abcdef"]:1tXXXX:signature'

        assert log_in(forger, "ann", PASSWORD).status_code == 429

    def test_the_administrations_own_login_is_not_there(self, client):
        answer = client.post("/admin/login/?next=/admin/", {"username": "ann", "password": PASSWORD})

        assert answer.status_code == 302 and answer.url.startswith(reverse("login"))
        assert "_auth_user_id" not in client.session

    def test_old_passwords_are_guessed_as_slowly(self, client, ann, at_most):
        at_most(LOGINS_OF_ACCOUNT=2)
        client.force_login(ann)
        given = {"old_password": "guess", "new_password1": "another-long-one", "new_password2": "another-long-one"}

        assert [client.post(reverse("password"), given).status_code for _ in range(3)] == [200, 200, 429]


def test_an_address_makes_so_many_accounts(client, db, at_most):
    at_most(SIGNUPS_FROM_ADDRESS=1)
    given = {"password1": PASSWORD, "password2": PASSWORD}

    statuses = [Client().post(reverse("signup"), {"username": name, **given}).status_code for name in ("ann", "bob")]

    assert statuses == [302, 429]
    assert User.objects.count() == 1


class TestUploads:
    def test_are_begun_so_often_by_whatever_way(self, client, season, participant, at_most):
        at_most(UPLOADS=2)
        client.force_login(participant.user)
        address = reverse("upload", args=[season.slug])

        def form(number: int):
            file = SimpleUploadedFile("x.zip", zipped({"x.txt": str(number)}))
            return client.post(address, {"file": file, "method": "x", "consent": "on"})

        assert [form(number).status_code for number in range(3)] == [302, 302, 429]
        assert "Back" in form(4).content.decode() and "Retry-After" in form(5)
        told = {"Tus-Resumable": "1.0.0", "Upload-Length": "3"}
        part, address = "application/offset+octet-stream", reverse("tus-uploads", args=[season.slug])
        told["Upload-Metadata"] = "filename eA==,method eA==,consent eWVz"
        begun = client.post(address, b"", content_type=part, headers=told)
        assert begun.status_code == 429 and begun["Retry-After"] and begun["Tus-Resumable"] == "1.0.0"
        assert Batch.objects.count() == 2

    def test_tables_and_dumps_too(self, client, season, participant, at_most):
        at_most(TABLES=1, DUMPS=1)
        batch = submit(participant, first_texts())
        run_all(season)
        season.refresh_from_db()
        offer(season)
        dump = reverse("dump-file", args=[season.slug, "manifest.json"])
        client.force_login(participant.user)

        assert [client.get(reverse("batch-csv", args=[batch.pk])).status_code for _ in range(2)] == [200, 429]
        assert [Client().get(dump).status_code for _ in range(2)] == [200, 429]


class TestKeys:
    def test_a_key_asks_so_often_and_is_told_in_plain_text(self, season, participant, at_most):
        at_most(REQUESTS_BY_KEY=1)
        batch = submit(participant, first_texts())
        key = {"Authorization": f"Bearer {make_key(participant.user, 'laptop')}"}
        answers = [Client().get(reverse("batch-csv", args=[batch.pk]), headers=key) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [200, 429]
        assert answers[1]["Content-Type"].startswith("text/plain") and answers[1]["Retry-After"]

    def test_wrong_keys_are_tried_so_often_from_an_address(self, season, at_most):
        at_most(WRONG_KEYS=2)
        wrong = {"Authorization": "Bearer philately_0123456789ab_secret"}

        statuses = [Client().get("/batches/1/", headers=wrong).status_code for _ in range(3)]

        assert statuses == [401, 401, 429]


class TestAddresses:
    @pytest.mark.parametrize(
        ("trusted", "speaker", "told", "address"),
        [
            ([], "192.0.2.1", "", "192.0.2.1"),
            ([], "192.0.2.1", "198.51.100.9", "192.0.2.1"),  # nobody is trusted: anybody may write that
            (["10.0.0.0/8"], "10.0.0.3", "198.51.100.9", "198.51.100.9"),
            (["10.0.0.0/8"], "10.0.0.3", "203.0.113.5, 198.51.100.9", "198.51.100.9"),  # the first is its sender's word
            (["10.0.0.0/8"], "10.0.0.3", "203.0.113.5, 198.51.100.9, 10.0.0.4", "198.51.100.9"),
            (["10.0.0.0/8"], "10.0.0.3", "", "10.0.0.3"),
            (["10.0.0.0/8"], "192.0.2.1", "10.0.0.9", "192.0.2.1"),
            (["unix"], "", "198.51.100.9", "198.51.100.9"),
            ([], "", "198.51.100.9", ""),
            (["10.0.0.3"], "10.0.0.3", "nonsense", "nonsense"),
            (["10.0.0.3"], "10.0.0.3", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ([], "::ffff:192.0.2.1", "", "192.0.2.1"),
        ],
    )
    def test_are_believed_of_trusted_proxies_alone(self, settings, trusted, speaker, told, address):
        settings.TRUSTED_PROXIES, settings.TRUSTED_NETWORKS = trusted, networks_from(trusted)
        request = RequestFactory().get("/", REMOTE_ADDR=speaker, HTTP_X_FORWARDED_FOR=told)

        assert address_of(request) == address


class TestSettings:
    def test_limits_read_so_many_in_so_many_seconds(self):
        assert limit_from("LIMIT_X", "10/300") == Limit(10, 300)
        assert limit_from("LIMIT_X", "0").count == 0
        for nonsense in ("ten", "-1/60", "10/0", "10/x", ""):
            with pytest.raises(ImproperlyConfigured, match="LIMIT_X"):
                limit_from("LIMIT_X", nonsense)

    def test_unknown_caches_and_proxies_are_refused(self):
        with pytest.raises(ImproperlyConfigured, match="CACHE_URL"):
            cache_at("memcached://x", prefix="x")
        with pytest.raises(ImproperlyConfigured, match="TRUSTED_PROXIES"):
            networks_from(["proxy.example"])
