"""The tus server: uploads that go on where they broke off, for browsers and programmes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.http import http_date
from django.views.decorators.csrf import csrf_exempt

from philately.domain import files, limits, resumable, staging
from philately.domain.intake import Method, refuse_closed
from philately.domain.quotas import limits_of
from philately.domain.refusals import Overloaded, QuotaUsedUp, TooLarge, UploadRefused
from philately.domain.seasons import join
from philately.models import ResumableUpload, Season, User
from philately.pages import tus_headers
from philately.pages.limiting import sender_of
from philately.pages.signing_in import accepts_key, shows_key, unauthorised
from philately.pages.tus_headers import TusRefused
from philately.queries.permissions import uploads_for
from philately.templatetags.show import sentence

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

_READ_BYTES = 1 << 16
_LONGEST = {"filename": 255, "method": 100, "method_description": 5000}  # characters


def _tus(view: View[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """What every address has in common: version, who asks, and how refusals are answered."""

    @csrf_exempt  # looking for the form's token would read the body; the header's is looked at below
    @accepts_key
    @wraps(view)
    def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        request.method = request.headers.get("X-HTTP-Method-Override", request.method or "").upper()
        if request.method != "OPTIONS" and not request.user.is_authenticated:
            return unauthorised("please show an API key: Authorization: Bearer …")
        try:
            if request.method != "OPTIONS":
                tus_headers.check_version(request.headers)
                _check_token(request)
            response = view(request, *args, **kwargs)
        except Http404 as error:
            response = _refusal(TusRefused(404, str(error)))
        except TusRefused as refusal:
            response = _refusal(refusal)
        response["Tus-Resumable"] = tus_headers.VERSION
        response["Cache-Control"] = "no-store"
        return response

    return answer


@_tus
def uploads(request: HttpRequest, slug: str) -> HttpResponse:
    """Where an upload begins."""
    season = get_object_or_404(Season, slug=slug)
    if request.method == "OPTIONS":
        return _abilities(season)
    if request.method != "POST":
        raise TusRefused(405, "an upload begins with POST", {"Allow": "OPTIONS, POST"})
    return _create(request, season)


@_tus
def upload(request: HttpRequest, token: str) -> HttpResponse:
    """One upload on its way."""
    if request.method == "OPTIONS":
        return _abilities(None)
    deeds = {"HEAD": _head, "PATCH": _patch, "DELETE": _delete}
    if request.method not in deeds:
        raise TusRefused(405, "an upload has HEAD, PATCH and DELETE", {"Allow": ", ".join(["OPTIONS", *deeds])})
    found = uploads_for(request.user).select_related("owner__season").filter(token=token).first()
    if found is None:
        raise Http404("there is no such upload, or it is somebody else's")
    return deeds[request.method](request, found)


def _abilities(season: Season | None) -> HttpResponse:
    response = HttpResponse(status=204)
    response["Tus-Version"] = tus_headers.VERSION
    response["Tus-Extension"] = ",".join(tus_headers.EXTENSIONS)
    response["Tus-Checksum-Algorithm"] = ",".join(tus_headers.ALGORITHMS)
    if season is not None:
        response["Tus-Max-Size"] = str(limits_of(season).upload_bytes)  # of somebody without limits of their own
    return response


def _create(request: HttpRequest, season: Season) -> HttpResponse:
    assert isinstance(request.user, User)  # _tus lets nobody else in
    has_body = _sends_body(request)
    if has_body:
        tus_headers.check_part_type(request.headers)
    announced = _announced(request)
    try:
        limits.spend("UPLOADS", sender_of(request))
    except limits.TooMany as refusal:
        raise TusRefused(429, str(refusal), {"Retry-After": str(refusal.retry_after_s)}) from refusal
    with _refusals():
        refuse_closed(season)
        begun = resumable.begin(join(season, request.user), announced)
    if has_body:
        begun = _with_first_part(request, begun)
    response = _state(request, begun, HttpResponse(status=201))
    response["Location"] = request.build_absolute_uri(reverse("tus-upload", args=[begun.token]))
    return response


def _with_first_part(request: HttpRequest, begun: ResumableUpload) -> ResumableUpload:
    """Where the first part fails its sender does not learn the address, so nothing is kept."""
    try:
        return _append(request, begun, 0)
    except BaseException:
        ResumableUpload.objects.filter(pk=begun.pk, finished_at=None).delete()
        staging.remove(begun.token)
        raise


def _head(request: HttpRequest, found: ResumableUpload) -> HttpResponse:
    if found.finished_at is None:
        _check_there(found)
    response = _state(request, found, HttpResponse(status=200))
    response["Upload-Length"] = str(found.length)
    if found.metadata:
        response["Upload-Metadata"] = found.metadata
    return response


def _patch(request: HttpRequest, found: ResumableUpload) -> HttpResponse:
    tus_headers.check_part_type(request.headers)
    appended = _append(request, found, tus_headers.number(request.headers, "Upload-Offset"))
    return _state(request, appended, HttpResponse(status=204))


def _delete(request: HttpRequest, found: ResumableUpload) -> HttpResponse:
    with _refusals():
        resumable.cancel(found)
    return HttpResponse(status=204)


def _append(request: HttpRequest, found: ResumableUpload, offset: int) -> ResumableUpload:
    checksum = tus_headers.checksum(request.headers)
    if _content_length(request) > found.length - offset:
        raise TusRefused(413, f"more than the {found.length:,} bytes that were announced")
    with _refusals(), _bounded(request):
        return resumable.append(found, offset, _chunks(request), checksum)


def _state(request: HttpRequest, found: ResumableUpload, response: HttpResponse) -> HttpResponse:
    response["Upload-Offset"] = str(found.offset)
    if found.finished_at is None:
        response["Upload-Expires"] = http_date(found.expires_at.timestamp())
    elif found.batch_id is not None:
        response["Upload-Result"] = request.build_absolute_uri(reverse("batch", args=[found.batch_id]))
    elif found.dry_run_id is not None:
        response["Upload-Result"] = request.build_absolute_uri(reverse("dry-run", args=[found.dry_run_id]))
    return response


def _check_there(found: ResumableUpload) -> None:
    """Raises TusRefused where the upload cannot go on."""
    with _refusals():
        resumable.refuse_gone(found)


def _announced(request: HttpRequest) -> resumable.Announced:
    """What is told before the first byte; raises TusRefused with a sentence about what is missing."""
    length = tus_headers.upload_length(request.headers)
    told = tus_headers.metadata(request.headers)
    for key, what in (("filename", "the name of the file"), ("method", "how the structures were made, in a few words")):
        if not told.get(key, "").strip():
            raise TusRefused(400, f"Upload-Metadata lacks {key}: {what}")
    for key, longest in _LONGEST.items():
        if len(told.get(key, "")) > longest:
            raise TusRefused(400, f"the {key} in Upload-Metadata has more than {longest:,} characters, the limit")
    if told.get("consent") != "yes":
        raise TusRefused(400, "Upload-Metadata lacks consent: yes, which puts the structures under the data licence")
    if told.get("dry_run", "no") not in ("yes", "no"):
        raise TusRefused(400, "the dry_run in Upload-Metadata is neither yes nor no")
    return resumable.Announced(
        length=length,
        file_name=told["filename"],
        method=Method(told["method"].strip(), told.get("method_description", "")),
        consent=True,
        is_dry_run=told.get("dry_run") == "yes",
        metadata=request.headers.get("Upload-Metadata", ""),
    )


def _check_token(request: HttpRequest) -> None:
    """A session's request carries the token that pages have; a key needs none, no browser sends it by itself."""
    if shows_key(request):
        return
    if _sends_body(request):
        tus_headers.check_part_type(request.headers)  # a form's body would be read for its token
    if CsrfViewMiddleware(_nothing).process_view(request, _nothing, (), {}) is not None:
        raise TusRefused(403, "the request lacks its X-CSRFToken; please open the upload page again")


def _nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def _sends_body(request: HttpRequest) -> bool:
    return _is_chunked(request) or _content_length(request) > 0


def _is_chunked(request: HttpRequest) -> bool:
    chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    return chunked and bool(request.META.get("wsgi.input_terminated"))


def _content_length(request: HttpRequest) -> int:
    return tus_headers.number(request.headers, "Content-Length") if request.headers.get("Content-Length") else 0


def _chunks(request: HttpRequest) -> Iterator[bytes]:
    """The body as it arrives; raises SenderLost where it breaks off, stalls or takes too long."""
    read = request.META["wsgi.input"].read if _is_chunked(request) else request.read
    ends = time.monotonic() + settings.UPLOAD_PART_LIMIT_S
    try:
        while chunk := read(_READ_BYTES):
            yield chunk
            if time.monotonic() > ends:
                raise TimeoutError
    except OSError as error:
        raise resumable.SenderLost from error


@contextmanager
def _bounded(request: HttpRequest) -> Iterator[None]:
    """Hang up on a sender that is silent: it would keep a thread, and nobody else could resume its upload."""
    socket = request.META.get("gunicorn.socket")
    if socket is None:
        yield
        return
    socket.settimeout(settings.UPLOAD_STALL_S)
    try:
        yield
    finally:
        socket.settimeout(None)


_STATUS: dict[type[Exception], int] = {
    TooLarge: 413,
    QuotaUsedUp: 429,
    UploadRefused: 403,
    resumable.Gone: 410,
    resumable.BeyondLength: 413,
    resumable.WrongChecksum: 460,
    resumable.SenderLost: 503,
    staging.Busy: 423,
    files.StorageFull: 507,
}


@contextmanager
def _refusals() -> Iterator[None]:
    """What the domain refuses, as tus has it."""
    try:
        yield
    except resumable.WrongOffset as error:
        raise TusRefused(409, str(error), {"Upload-Offset": str(error.offset)}) from error
    except Overloaded as error:
        raise TusRefused(503, str(error), {"Retry-After": str(error.retry_after_s)}) from error
    except tuple(_STATUS) as error:
        status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
        raise TusRefused(status, str(error)) from error


def _refusal(refusal: TusRefused) -> HttpResponse:
    text = f"{sentence(refusal.sentence)}\n"
    response = HttpResponse(text, status=refusal.status, content_type="text/plain; charset=utf-8")
    if refusal.status == 460:
        response.reason_phrase = "Checksum Mismatch"
    for name, value in refusal.headers.items():
        response[name] = value
    return response
