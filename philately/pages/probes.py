"""What monitors ask: whether the process lives, whether it can work, and how the platform is."""

import platform
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from ipaddress import ip_address

import django
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import resolve
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder

from philately.domain import tallies
from philately.domain.readiness import Readiness, readiness
from philately.domain.versions import provenance
from philately.pages import watched
from philately.queries import vitals

_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_PROXIED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")


class Probes:
    """Answers monitors before anything looks at hosts, sessions or TLS: they ask each server by its own address, and a
    redirect to HTTPS would pass for health."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in _PATHS:
            return self._get_response(request)
        request.resolver_match = resolve(request.path_info)
        response: HttpResponseBase = request.resolver_match.func(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return response


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers; it asks nobody, so an outage elsewhere does not get web servers killed."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    found = readiness()
    status = HTTPStatus.SERVICE_UNAVAILABLE if found.status == "unready" else HTTPStatus.OK
    return JsonResponse(found.as_json(), status=status, json_dumps_params={"indent": 2})


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    refusal = _refusal(request)
    if refusal is not None:
        return refusal
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    registry = CollectorRegistry()
    registry.register(_Everything())
    return HttpResponse(encode(registry), content_type=content_type)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    if settings.METRICS_TOKEN:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and constant_time_compare(token.strip(), settings.METRICS_TOKEN):
            return None
        headers = {"WWW-Authenticate": "Bearer"}
        return _text("METRICS_TOKEN is to be shown as a bearer token\n", HTTPStatus.UNAUTHORIZED, headers)
    if _is_from_here(request):
        return None
    return _text("without METRICS_TOKEN only this machine may read this\n", HTTPStatus.FORBIDDEN)


def _is_from_here(request: HttpRequest) -> bool:
    """Asked on this machine, and not through a proxy on it: where TLS ends at one there is no telling who asks."""
    if settings.HTTPS or any(name in request.headers for name in _PROXIED):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:  # a socket of the file system
        return False


def _text(text: str, status: HTTPStatus, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(text, status=status, headers=headers, content_type="text/plain")


class _Everything:
    """As prometheus_client's registries collect."""

    def collect(self) -> Iterator[Metric]:
        found = readiness()
        yield from _of_this_process()
        yield from _of_dependencies(found)
        if found.status != "unready":
            yield from _of_the_platform()


def _of_this_process() -> Iterable[Metric]:
    made_by = provenance()
    info = GaugeMetricFamily(
        "philately_build_info", "1, with what runs here.", labels=["version", "commit", "python", "django"]
    )
    versions = (made_by["code"], made_by["commit"], platform.python_version(), django.get_version())
    info.add_metric(versions, 1.0)
    return [info, *watched.families()]


def _of_dependencies(found: Readiness) -> Iterator[Metric]:
    up = GaugeMetricFamily("philately_dependency_up", "1 where it answers this web server.", labels=["dependency"])
    for check in found.checks:
        up.add_metric((check.name,), float(not check.problem))
    yield up


def _of_the_platform() -> Iterator[Metric]:
    """Nothing where the database went away just now: the next scrape will say so."""
    tallies.keep()
    try:
        read = vitals.remembered(settings.METRICS_KEPT_S)
    except DatabaseError:
        return
    yield from read.families
    age = GaugeMetricFamily("philately_figures_age_seconds", "Since the figures from the database were read.")
    age.add_metric((), read.age_s)
    yield age
