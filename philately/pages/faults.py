"""What a visitor hears while the database or the storage is away or full: not now, instead of an error of ours."""

import logging
from collections.abc import Callable

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from philately.storage import StorageFault

log = logging.getLogger(__name__)

_RETRY_AFTER_S = 10
_TEXT = "The platform cannot do this at the moment. Please try again in a little while.\n"


class Faults:
    """Answers 503, so that programmes try again by themselves; the log says why. The page is plain text: what is made
    by a template may ask the database for the visitor."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, OperationalError | StorageFault):
            return None
        log.error("%s %s is answered with 503: %s", request.method, request.path, exception)
        response = HttpResponse(_TEXT, status=503, content_type="text/plain; charset=utf-8")
        response["Retry-After"] = str(_RETRY_AFTER_S)
        response["Cache-Control"] = "no-store"
        return response
