"""The second factor of staff: an authenticator (TOTP, RFC 6238), and recovery codes for when it is lost.

Wrong codes make the device wait, twice as long each time (django_otp). Recovery codes are kept as keyed hashes.
"""

import base64
import logging
import secrets
from datetime import datetime

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from philately.domain.audit_log import Deed, record
from philately.models import User

log = logging.getLogger(__name__)

N_RECOVERY_CODES = 10
_CODE_BYTES = 10  # 80 bits: nobody tries them all, so a quick hash will do
_HASH_CHARACTERS = 16  # what a token's column holds


def is_enrolled(user: User) -> bool:
    return bool(TOTPDevice.objects.filter(user=user, confirmed=True).exists())


def recovery_codes_left(user: User) -> int:
    return int(StaticToken.objects.filter(device__user=user).count())


def begin(user: User) -> TOTPDevice:
    """The authenticator that the user is about to set up: the same one until it is confirmed."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # of two requests one makes it
        device = TOTPDevice.objects.filter(user=user, confirmed=False).first()
        return device or TOTPDevice.objects.create(user=user, name="authenticator", confirmed=False)


def confirm(user: User, code: str) -> TOTPDevice | None:
    """The authenticator once its first code is right; it takes the place of an older one."""
    with transaction.atomic():
        waiting = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=False).first()
        if waiting is None or not waiting.verify_token(_digits(code)):
            return None
        TOTPDevice.objects.filter(user=user).exclude(pk=waiting.pk).delete()
        TOTPDevice.objects.filter(pk=waiting.pk).update(confirmed=True)
        waiting.confirmed = True
    log.info("user %s set up a second factor", user.pk)
    return waiting


def verify(user: User, code: str) -> Device | None:
    """The device whose code this is: six digits of the authenticator, or a recovery code, which is used up by it."""
    digits = _digits(code)
    with transaction.atomic():
        if digits.isdigit():
            authenticator = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=True).first()
            return authenticator if authenticator is not None and authenticator.verify_token(digits) else None
        codes = StaticDevice.objects.select_for_update().filter(user=user, confirmed=True).first()
        if codes is None or not codes.verify_token(_as_kept(codes, user, code)):
            return None
    log.warning("user %s used a recovery code", user.pk)
    return codes


def waits_until(user: User) -> datetime | None:
    """When a device takes codes again after wrong ones; None where all do now."""
    waits = []
    for device in (*TOTPDevice.objects.filter(user=user), *StaticDevice.objects.filter(user=user)):
        is_allowed, why = device.verify_is_allowed()
        if not is_allowed:
            waits.append(why["locked_until"])
    return max(waits, default=None)


def new_recovery_codes(user: User) -> list[str]:
    """Their texts, which nobody can see again; older ones are void."""
    codes = [_code() for _ in range(N_RECOVERY_CODES)]
    with transaction.atomic():
        StaticDevice.objects.filter(user=user).delete()
        device = StaticDevice.objects.create(user=user, name="recovery codes")
        StaticToken.objects.bulk_create(StaticToken(device=device, token=_hashed(user, code)) for code in codes)
    return codes


def reset(user: User, *, reason: str) -> int:
    """Forget the user's devices and end their sessions; says how many sessions. At the next login they set one up."""
    with transaction.atomic():
        TOTPDevice.objects.filter(user=user).delete()
        StaticDevice.objects.filter(user=user).delete()
        ended = [session.pk for session in _sessions() if session.get_decoded().get("_auth_user_id") == str(user.pk)]
        Session.objects.filter(pk__in=ended).delete()
        whose, outcome = {"user": user.username}, {"sessions_ended": len(ended)}
        record(Deed.RESET_SECOND_FACTOR, by=None, reason=reason, parameters=whose, outcome=outcome)
    log.warning("the second factor of user %s is reset: %r", user.pk, reason)
    return len(ended)


def _sessions() -> list[Session]:
    return list(Session.objects.filter(expire_date__gt=timezone.now()))


def _digits(code: str) -> str:
    return "".join(code.split())


def _code() -> str:
    text = base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _as_kept(codes: StaticDevice, user: User, code: str) -> str:
    """Its hash by the key with which it was made, which may be an older one."""
    older = [_hashed(user, code, key) for key in settings.SECRET_KEY_FALLBACKS]
    kept = codes.token_set.filter(token__in=older).values_list("token", flat=True).first()
    return _hashed(user, code) if kept is None else str(kept)


def _hashed(user: User, code: str, key: str | None = None) -> str:
    """key: SECRET_KEY unless told."""
    plain = "".join(code.lower().replace("-", " ").split())
    digest = salted_hmac("philately.recovery", f"{user.pk}:{plain}", secret=key, algorithm="sha256")
    return digest.hexdigest()[:_HASH_CHARACTERS]
