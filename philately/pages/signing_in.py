"""Who asks: a session, or the API key of a programme."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from philately.domain import limits
from philately.domain.keys import user_with
from philately.models import User
from philately.pages.addresses import address_of
from philately.pages.limiting import too_many

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]

_SCHEME = "bearer "


def shows_key(request: HttpRequest) -> bool:
    return request.headers.get("Authorization", "")[: len(_SCHEME)].lower() == _SCHEME


def accepts_key(view: View[P]) -> View[P]:
    """Who shows a key in ``Authorization: Bearer`` is its user; a wrong one is refused, whatever session there is."""

    @wraps(view)
    def with_key(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if shows_key(request):
            try:
                request.user = _user_of_key(request)
            except limits.TooMany as refusal:
                return too_many(request, refusal)
            except _UnknownKey:
                return unauthorised("this API key is unknown, or was revoked")
        return view(request, *args, **kwargs)

    return with_key


class _UnknownKey(Exception):
    pass


def _user_of_key(request: HttpRequest) -> User:
    """Raises _UnknownKey and TooMany. Wrong keys are counted by address, right ones by user."""
    user = user_with(request.headers["Authorization"][len(_SCHEME) :].strip())
    if user is None:
        limits.spend("WRONG_KEYS", address_of(request))
        raise _UnknownKey
    user.shows_key = True
    if request.method in ("GET", "POST"):  # not the parts of an upload, which quotas bound
        limits.spend("REQUESTS_BY_KEY", f"user:{user.pk}")
    return user


def unauthorised(sentence: str) -> HttpResponse:
    answer = HttpResponse(f"{sentence}\n", status=401, content_type="text/plain; charset=utf-8")
    answer["WWW-Authenticate"] = "Bearer"
    return answer
