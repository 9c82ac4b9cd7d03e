"""Staff show a second factor; nothing opens to their password alone."""

import re
import time
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth import SESSION_KEY
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from driving import first_texts, submit

from philately.domain import second_factor
from philately.domain.keys import make_key
from philately.models import AuditEntry, User
from philately.service.limit_settings import Limit

PASSWORD = "a-long-enough-one"
PAGE = "/accounts/second-factor/"
ENROL, RECOVERY = f"{PAGE}enrol/", f"{PAGE}recovery/"


@pytest.fixture(autouse=True)
def _required(settings) -> None:
    settings.STAFF_SECOND_FACTOR = True


@pytest.fixture
def root(db) -> User:
    return User.objects.create_user("root", password=PASSWORD, is_staff=True, is_superuser=True)


@pytest.fixture
def staff(root, client) -> Client:
    """Logged in with the password alone."""
    client.post(reverse("login"), {"username": "root", "password": PASSWORD})
    return client


def code_of(device: TOTPDevice, *, steps: int = 0) -> str:
    """What the authenticator shows, some half minutes from now."""
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift)
    totp.time = time.time() + steps * device.step
    return f"{totp.token():06d}"


def enrolled(client: Client, user: User) -> list[str]:
    """Sets up an authenticator on the page; returns the recovery codes."""
    client.get(ENROL)
    device = TOTPDevice.objects.get(user=user, confirmed=False)
    answer = client.post(ENROL, {"code": code_of(device)})
    return re.findall(r"<li><code>([^<]+)</code>", answer.content.decode())


def ask_again() -> None:
    """As if time had passed since the last code."""
    TOTPDevice.objects.update(last_t=-1, drift=0, throttling_failure_count=0)
    StaticDevice.objects.update(throttling_failure_count=0)


class TestTheDoor:
    @pytest.mark.parametrize("address", ["/", "/batches/", "/admin/", "/accounts/keys/", "/accounts/password/"])
    def test_nothing_opens_to_the_password_alone(self, staff, address):
        answer = staff.get(address)

        assert answer.status_code == 302
        assert answer.url == f"{PAGE}?next={address.replace('/', '%2F')}"

    def test_no_deed_does_either(self, staff, root):
        assert staff.post("/accounts/keys/", {"name": "mine"}).status_code == 403
        assert staff.post(RECOVERY).status_code == 403
        assert not root.api_keys.exists() and not StaticToken.objects.exists()

    def test_the_session_may_be_left_and_monitors_answered(self, staff):
        assert staff.get("/healthz").status_code == 200
        assert staff.post(reverse("logout")).status_code == 302
        assert staff.get("/").status_code == 200

    def test_participants_need_none_and_find_no_such_pages(self, client, season, participant):
        client.force_login(participant.user)

        assert client.get("/").status_code == 200
        assert [client.get(page).status_code for page in (PAGE, ENROL)] == [404, 404]
        assert client.post(RECOVERY).status_code == 404

    def test_where_it_is_not_required_the_password_opens(self, staff, settings):
        settings.STAFF_SECOND_FACTOR = False

        assert staff.get("/admin/").status_code == 200

    def test_a_key_of_staff_opens_what_is_theirs_and_no_more(self, season, participant, root):
        batch = submit(participant, first_texts())
        key = {"Authorization": f"Bearer {make_key(root, 'laptop')}"}

        assert Client().get(reverse("batch-csv", args=[batch.pk]), headers=key).status_code == 404


class TestSettingItUp:
    def test_a_code_of_the_new_authenticator_opens_everything(self, staff, root):
        assert staff.get(PAGE).url == ENROL
        codes = enrolled(staff, root)

        assert staff.get("/admin/").status_code == 200
        assert len(set(codes)) == second_factor.N_RECOVERY_CODES
        assert TOTPDevice.objects.get().confirmed

    def test_the_secret_is_shown_as_text_and_as_a_picture_that_the_policy_allows(self, staff):
        text = staff.get(ENROL).content.decode()

        secret = re.search(r'id="secret">([A-Z2-7 ]+)<', text)[1].replace(" ", "")
        assert len(secret) == 32  # 20 bytes in Base32
        assert "<svg" in text and "<path" in text
        assert not re.search(r"<style|\sstyle=|<script>|\son[a-z]+=", text)
        assert staff.get(ENROL).content.decode().count(secret[:4]) >= 1  # the same one until it is confirmed
        assert TOTPDevice.objects.count() == 1

    def test_a_wrong_code_sets_up_nothing(self, staff):
        staff.get(ENROL)
        wrong = f"{(int(code_of(TOTPDevice.objects.get())) + 1) % 10**6:06d}"

        answer = staff.post(ENROL, {"code": wrong})

        assert "This code is wrong" in answer.content.decode()
        assert not TOTPDevice.objects.get().confirmed
        assert staff.get("/admin/").status_code == 302

    def test_whoever_has_an_authenticator_cannot_be_given_another_by_a_password(self, staff, root):
        enrolled(staff, root)
        thief = Client()
        thief.post(reverse("login"), {"username": "root", "password": PASSWORD})

        assert thief.get(ENROL).url == PAGE
        assert thief.post(ENROL, {"code": "123456"}).url == PAGE
        assert TOTPDevice.objects.count() == 1

    def test_another_one_takes_the_place_of_the_first(self, staff, root):
        enrolled(staff, root)
        first = TOTPDevice.objects.get()
        enrolled(staff, root)

        assert TOTPDevice.objects.get().pk != first.pk
        assert staff.get("/admin/").status_code == 200

    def test_recovery_codes_are_kept_as_hashes(self, staff, root):
        codes = enrolled(staff, root)

        kept = " ".join(StaticToken.objects.values_list("token", flat=True))
        assert not any(code in kept or code.replace("-", "") in kept for code in codes)


class TestLoggingIn:
    @pytest.fixture
    def codes(self, staff, root):
        codes = enrolled(staff, root)
        ask_again()
        staff.post(reverse("logout"))
        staff.post(reverse("login"), {"username": "root", "password": PASSWORD})
        return codes

    def test_a_code_leads_to_where_staff_were_going(self, codes, staff):
        given = {"code": code_of(TOTPDevice.objects.get()), "next": "/admin/"}

        assert staff.post(PAGE, given).url == "/admin/"
        assert staff.get("/admin/").status_code == 200

    def test_and_nowhere_else(self, codes, staff):
        given = {"code": code_of(TOTPDevice.objects.get()), "next": "https://elsewhere.example/"}

        assert staff.post(PAGE, given).url == PAGE

    def test_the_session_gets_another_key_and_ends_within_hours(self, codes, staff, settings):
        before = staff.session.session_key

        staff.post(PAGE, {"code": code_of(TOTPDevice.objects.get())})

        assert staff.session.session_key != before
        assert staff.session.get_expiry_age() <= settings.STAFF_SESSION_S

    def test_a_code_is_taken_once(self, codes, staff):
        code = code_of(TOTPDevice.objects.get())
        staff.post(PAGE, {"code": code})
        other = Client()
        other.post(reverse("login"), {"username": "root", "password": PASSWORD})

        assert "This code is wrong" in other.post(PAGE, {"code": code}).content.decode()
        assert other.get("/admin/").status_code == 302

    def test_a_recovery_code_opens_once_however_it_is_typed(self, codes, staff):
        typed = codes[0].upper().replace("-", " ")

        assert staff.post(PAGE, {"code": typed}).status_code == 302
        assert "9 recovery codes are left" in staff.get(PAGE).content.decode()
        other = Client()
        other.post(reverse("login"), {"username": "root", "password": PASSWORD})
        assert other.post(PAGE, {"code": codes[0]}).status_code == 200

    def test_new_recovery_codes_void_the_old(self, codes, staff, root):
        staff.post(PAGE, {"code": codes[0]})
        new = re.findall(r"<li><code>([^<]+)</code>", staff.post(RECOVERY).content.decode())

        assert len(new) == second_factor.N_RECOVERY_CODES and not set(new) & set(codes)
        assert second_factor.verify(root, codes[1]) is None
        ask_again()
        assert second_factor.verify(root, new[1]) is not None

    def test_recovery_codes_outlive_a_change_of_the_secret_key_while_the_older_one_is_told(self, codes, root, settings):
        settings.SECRET_KEY, older = "another one " * 5, settings.SECRET_KEY
        assert second_factor.verify(root, codes[0]) is None
        ask_again()

        settings.SECRET_KEY_FALLBACKS = [older]
        assert second_factor.verify(root, codes[0]) is not None
        assert second_factor.verify(root, codes[0]) is None  # it is used up
        ask_again()
        new = second_factor.new_recovery_codes(root)
        settings.SECRET_KEY_FALLBACKS = []
        assert second_factor.verify(root, new[0]) is not None

    def test_anothers_code_is_wrong(self, codes, db):
        eve = User.objects.create_user("eve", is_staff=True)
        second_factor.new_recovery_codes(eve)

        assert second_factor.verify(eve, codes[0]) is None
        assert second_factor.verify(eve, code_of(TOTPDevice.objects.get())) is None

    def test_wrong_codes_make_the_device_wait_and_then_the_right_one_opens(self, codes, staff):
        for _ in range(3):
            answer = staff.post(PAGE, {"code": "000000"})
            TOTPDevice.objects.update(throttling_failure_timestamp=timezone.now())
        assert "The next one is looked at from" in answer.content.decode()
        assert staff.post(PAGE, {"code": code_of(TOTPDevice.objects.get())}).status_code == 200  # too early

        TOTPDevice.objects.update(throttling_failure_timestamp=timezone.now() - timedelta(minutes=1))
        assert staff.post(PAGE, {"code": code_of(TOTPDevice.objects.get())}).status_code == 302

    def test_codes_are_tried_so_often(self, codes, staff, settings):
        settings.LIMITS = {**settings.LIMITS, "CODES": Limit(2, 10**7)}

        assert [staff.post(PAGE, {"code": "0"}).status_code for _ in range(3)] == [200, 200, 429]


class TestReset:
    def test_devices_are_forgotten_and_sessions_end(self, staff, root):
        enrolled(staff, root)
        ann = Client()
        ann.force_login(User.objects.create_user("ann"))
        out = StringIO()

        call_command("reset_second_factor", "root", "--reason", "lost phone, asked on the phone", stdout=out)

        assert "sessions ended: 1" in out.getvalue()
        assert not TOTPDevice.objects.exists() and not StaticDevice.objects.exists()
        assert staff.get("/batches/").url.startswith(reverse("login"))
        assert ann.get("/batches/").status_code == 200
        entry = AuditEntry.objects.get(deed="reset_second_factor")
        assert (entry.reason, entry.parameters) == ("lost phone, asked on the phone", {"user": "root"})
        assert entry.outcome == {"sessions_ended": 1}

    def test_it_needs_an_account_and_a_reason(self, root):
        with pytest.raises(CommandError, match="no account 'eve'"):
            call_command("reset_second_factor", "eve", "--reason", "x")
        with pytest.raises(CommandError, match="--reason"):
            call_command("reset_second_factor", "root")


class TestSessions:
    def test_logging_in_gives_the_session_another_key(self, client, db):
        User.objects.create_user("ann", password=PASSWORD)
        client.get(reverse("login"))
        session = client.session
        session["kept"] = "before"
        session.save()
        before = session.session_key

        client.cookies["sessionid"] = before
        client.post(reverse("login"), {"username": "ann", "password": PASSWORD})

        assert client.session.session_key != before

    def test_a_changed_password_ends_every_other_session(self, client, db):
        ann = User.objects.create_user("ann", password=PASSWORD)
        elsewhere = Client()
        for one in (client, elsewhere):
            one.post(reverse("login"), {"username": "ann", "password": PASSWORD})
        new = "another-long-enough-one"

        answer = client.post(
            reverse("password"), {"old_password": PASSWORD, "new_password1": new, "new_password2": new}, follow=True
        )

        assert "logged out everywhere else" in answer.content.decode()
        assert client.get("/batches/").status_code == 200
        assert elsewhere.get("/batches/").status_code == 302
        assert SESSION_KEY not in elsewhere.session
        ann.refresh_from_db()
        assert ann.check_password(new)


def test_secrets_are_nowhere_in_the_administration(staff, root):
    from django.contrib import admin

    enrolled(staff, root)

    assert not {TOTPDevice, StaticDevice} & set(admin.site._registry)
    assert "OTP" not in staff.get("/admin/").content.decode()
