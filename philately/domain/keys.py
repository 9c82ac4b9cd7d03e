"""API keys, ``philately_PREFIX_SECRET``: what programmes show in place of a password."""

import hashlib
import hmac
import secrets
from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from philately.models import ApiKey, User

MAX_KEYS = 20  # of one user, at a time
_BRAND = "philately"
_NOTED_EVERY = timedelta(minutes=1)


class KeyRefused(Exception):
    """No more keys for this user; the message says why."""


def make_key(user: User, name: str) -> str:
    """The new key's text, which nobody can see again. Raises KeyRefused."""
    if user.api_keys.filter(revoked_at=None).count() >= MAX_KEYS:
        raise KeyRefused(f"you have {MAX_KEYS} keys, which is the limit; revoke one that you need no longer")
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    ApiKey.objects.create(user=user, name=name, prefix=prefix, digest=_digest(secret))
    return f"{_BRAND}_{prefix}_{secret}"


def revoke_key(user: User, key_id: int) -> bool:
    """Whether the user had such a key still."""
    return user.api_keys.filter(pk=key_id, revoked_at=None).update(revoked_at=Now()) == 1


def user_with(text: str) -> User | None:
    """Whose key this is; None where it is nobody's, revoked, or its user may not log in."""
    brand, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    if not (prefix.isascii() and prefix.isalnum()):
        return None  # not even a question for the database
    key = ApiKey.objects.filter(prefix=prefix, revoked_at=None).select_related("user").first()
    known = key.digest if key is not None else _digest("")
    right = hmac.compare_digest(_digest(secret), known)
    if brand != _BRAND or key is None or not right or not key.user.is_active:
        return None
    _note_use(key)
    return key.user


def _digest(secret: str) -> str:
    """Of 32 random bytes, which nobody can guess: a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _note_use(key: ApiKey) -> None:
    """No statement where it was noted lately: one that changes nothing would still wait for SQLite's only writer."""
    if key.used_at is not None and key.used_at > timezone.now() - _NOTED_EVERY:
        return
    not_lately = Q(used_at=None) | Q(used_at__lt=Now() - _NOTED_EVERY)
    ApiKey.objects.filter(not_lately, pk=key.pk).update(used_at=Now())
