"""Who asks: a session, or the API key of a programme."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from philately.domain.keys import user_with

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
            user = user_with(request.headers["Authorization"][len(_SCHEME) :].strip())
            if user is None:
                return unauthorised("this API key is unknown, or was revoked")
            request.user = user
        return view(request, *args, **kwargs)

    return with_key


def unauthorised(sentence: str) -> HttpResponse:
    answer = HttpResponse(f"{sentence}\n", status=401, content_type="text/plain; charset=utf-8")
    answer["WWW-Authenticate"] = "Bearer"
    return answer
