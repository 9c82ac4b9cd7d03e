"""Every request is counted and timed, and carries an id into the log."""

import logging
import re
import time
from collections.abc import Callable, Iterable
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from prometheus_client import CollectorRegistry, Histogram, Metric, ProcessCollector, disable_created_metrics
from prometheus_client.multiprocess import MultiProcessCollector

from philately.logs import about

log = logging.getLogger(__name__)

ID_HEADER = "X-Request-ID"
_OURS = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each, which nobody asks for
_registry = CollectorRegistry()
_seconds = Histogram(
    "philately_http_request_duration_seconds",
    "Until an answer begins, by view, method and status.",
    ["view", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0),
    registry=_registry,
)
if not settings.METRICS_FOLDER:
    ProcessCollector(registry=_registry)


class Watched:
    """The outermost middleware. An id that comes with a request is kept if it is one; the answer always has one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get(ID_HEADER, "")
        request_id = given if _OURS.fullmatch(given) else uuid4().hex
        began = time.perf_counter()
        with about(request_id=request_id):
            response = self._get_response(request)
            seconds = time.perf_counter() - began
            view = request.resolver_match.view_name if request.resolver_match else "none"
            method = request.method if request.method in _METHODS else "other"
            _seconds.labels(view, method, str(response.status_code)).observe(seconds)
            log.debug("%s %s: %s in %.3f s", method, view, response.status_code, seconds)  # an address may be a secret
        response.headers[ID_HEADER] = request_id
        return response


def families() -> Iterable[Metric]:
    """What this process has seen; with PROMETHEUS_MULTIPROC_DIR what all processes of this web server have."""
    if not settings.METRICS_FOLDER:
        return _registry.collect()
    everybodys = CollectorRegistry()
    MultiProcessCollector(everybodys, path=settings.METRICS_FOLDER)  # type: ignore[no-untyped-call]
    return everybodys.collect()
