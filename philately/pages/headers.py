"""Headers of every answer beside those that Django and django-csp set."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

_UNUSED = ("camera", "display-capture", "geolocation", "microphone", "payment", "publickey-credentials-get", "usb")
_PERMISSIONS = ", ".join(f"{feature}=()" for feature in _UNUSED)


class SafeHeaders:
    """No page uses a device, is read by another site, or stays in a cache once its owner has left."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.setdefault("Permissions-Policy", _PERMISSIONS)
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        is_somebodys = settings.SESSION_COOKIE_NAME in request.COOKIES or "Authorization" in request.headers
        response.setdefault("Cache-Control", "private, no-store" if is_somebodys else "private, no-cache")
        return response
