"""Browsers that logged in before: each has a signed cookie, so that others' wrong passwords do not count against it."""

import secrets

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from philately.models import User

_COOKIE = "__Host-known" if settings.HTTPS else "known"
_SALT = "philately.known-browser"
_KEPT_S = 180 * 86_400


def remember(answer: HttpResponse, user: User) -> None:
    """Leave the cookie with whoever has just shown the account's password."""
    told = signing.dumps([user.get_username().casefold(), secrets.token_hex(8)], salt=_SALT)
    answer.set_cookie(_COOKIE, told, max_age=_KEPT_S, httponly=True, secure=settings.HTTPS, samesite="Lax")


def told(request: HttpRequest, name: str) -> str:
    """What to count this browser's attempts by; empty where it never logged in to the account of this name."""
    try:
        known, token = signing.loads(request.COOKIES.get(_COOKIE, ""), salt=_SALT, max_age=_KEPT_S)
    except (signing.BadSignature, ValueError):
        return ""
    return f"browser:{token}" if known == name else ""
