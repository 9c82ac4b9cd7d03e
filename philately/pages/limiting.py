"""Limits of how often, as pages tell them: 429, when to come again, one sentence."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from philately.domain import limits
from philately.pages.addresses import address_of
from philately.templatetags.show import sentence

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def limited(name: str) -> Callable[[View[P]], View[P]]:
    """So often and no more for each account, or address where there is none."""

    def limiting(view: View[P]) -> View[P]:
        @wraps(view)
        def counted(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            try:
                limits.spend(name, sender_of(request))
            except limits.TooMany as refusal:
                return too_many(request, refusal)
            return view(request, *args, **kwargs)

        return counted

    return limiting


def sender_of(request: HttpRequest) -> str:
    return f"user:{request.user.pk}" if request.user.pk is not None else f"address:{address_of(request)}"


def too_many(request: HttpRequest, refusal: limits.TooMany) -> HttpResponse:
    """As a page for people, as text for programmes."""
    told = sentence(str(refusal))
    if "Authorization" in request.headers:
        answer = HttpResponse(f"{told}\n", status=429, content_type="text/plain; charset=utf-8")
    else:
        answer = render(request, "429.html", {"refusal": told}, status=429)
    answer["Retry-After"] = str(refusal.retry_after_s)
    return answer
