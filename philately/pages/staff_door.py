"""Staff see nothing of the site before they have shown their second factor."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

_OPEN = frozenset({"healthz", "readyz", "metrics", "login", "logout", "second-factor", "second-factor-enrol"})


class StaffDoor:
    """Leads staff whose session showed a password alone to the second factor, from wherever they wanted to go."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        name = request.resolver_match.view_name if request.resolver_match else ""
        if not settings.STAFF_SECOND_FACTOR or name in _OPEN or not request.user.is_staff:
            return None
        if request.user.is_verified():  # type: ignore[attr-defined]  # set by django_otp's middleware
            return None
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return redirect(f"{reverse('second-factor')}?{urlencode({'next': request.get_full_path()})}")
