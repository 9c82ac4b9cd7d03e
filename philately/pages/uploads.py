"""The upload page. Its script sends the file by tus; without it the form does."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from philately.domain import back_pressure, dry_runs, limits, quotas
from philately.domain.files import StorageFull
from philately.domain.intake import Method, accept_upload, refuse_closed
from philately.domain.refusals import Overloaded, QuotaUsedUp, TooLarge, UploadRefused
from philately.domain.seasons import join
from philately.models import Membership, Season, User
from philately.pages.limiting import sender_of, too_many
from philately.pages.seasons import common, find_view
from philately.queries import View, usual_of
from philately.states import Role
from philately.templatetags.show import sentence, size
from validation.effort import Waiting

_EXAMPLE = Waiting(n_structures=1, n_atoms=10)  # whose cost is told before anything is uploaded
_FORM_BYTES = 1_000_000  # of a request beside its file


class UploadForm(forms.Form):
    file = forms.FileField(
        label="File",
        help_text="CIF, extended XYZ, or JSON of pymatgen structures (one a line, or a list), one or many in a file: "
        "a single file, which may be packed with gzip or zstd, or a zip, tar, tar.gz or tar.zst archive",
        error_messages={"required": "Please choose a file.", "empty": "The file is empty."},
    )
    method = forms.CharField(
        label="Method",
        max_length=100,
        help_text="how the structures were made, in a few words",
        error_messages={"required": "Please name the method with which the structures were made."},
    )
    method_description = forms.CharField(
        label="Description of the method",
        max_length=5000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="optional: code, version, seeds, a paper",
    )
    consent = forms.BooleanField(
        error_messages={"required": "A batch is accepted only under the data licence; please tick the box."},
    )
    dry_run = forms.BooleanField(required=False)

    def __init__(self, *args: Any, limit_bytes: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limit_bytes = limit_bytes

    def clean_file(self) -> UploadedFile:
        file: UploadedFile = self.cleaned_data["file"]
        if file.size is not None and file.size > self._limit_bytes:
            raise forms.ValidationError(
                f"The file has {size(file.size)}; at most {size(self._limit_bytes)} "
                "are accepted at once. Please split it into several batches."
            )
        return file


@csrf_exempt  # looking for the token reads the whole body; _upload looks, once the body is known to be acceptable
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HttpRequest, slug: str) -> HttpResponse:
    view = find_view(request, slug)
    try:
        if request.method == "POST":
            limits.spend("UPLOADS", sender_of(request))
        _refuse_unread(request, view.season)
        return _upload(request, view)
    except limits.TooMany as refusal:
        return too_many(request, refusal)
    except Overloaded as refusal:
        answer = render(request, "503.html", {"refusal": sentence(str(refusal))}, status=503)
        answer["Retry-After"] = str(refusal.retry_after_s)
        return answer
    except (TooLarge, QuotaUsedUp) as refusal:
        status = 413 if isinstance(refusal, TooLarge) else 429
        own = quotas.limits_of(view.season, _member(view.season, request))
        shown = {"limit_bytes": own.upload_bytes, "refusal": sentence(str(refusal)), "unread": True}
        return render(request, f"{status}.html", shown, status=status)


@csrf_protect
def _upload(request: HttpRequest, view: View) -> HttpResponse:
    limit_bytes = quotas.limits_of(view.season, _member(view.season, request)).upload_bytes
    form = UploadForm(request.POST or None, request.FILES or None, limit_bytes=limit_bytes)
    if form.is_valid():
        try:
            return _accept(view, request, form)
        except Overloaded:
            raise
        except (UploadRefused, StorageFull) as refusal:
            form.add_error("file", sentence(str(refusal)))
    return render(request, "seasons/upload.html", {**common(view), "form": form, **_limits(view.season, request)})


def _refuse_unread(request: HttpRequest, season: Season) -> None:
    """Raises TooLarge, QuotaUsedUp or Overloaded before the body is read, where its size alone, or any other one, is
    too much."""
    at_least = int(request.META.get("CONTENT_LENGTH") or 0) - _FORM_BYTES
    if request.method != "POST":
        return
    back_pressure.refuse_full_disk(max(0, at_least))
    member = _member(season, request)
    quotas.refuse_too_large(season, at_least, member)
    if member is not None and not _may_send(member, at_least, is_dry_run=True):
        quotas.refuse_upload(member, at_least)


def _may_send(member: Membership, n_bytes: int, *, is_dry_run: bool) -> bool:
    try:
        quotas.refuse_upload(member, n_bytes, is_dry_run=is_dry_run)
    except QuotaUsedUp:
        return False
    return True


def _accept(view: View, request: HttpRequest, form: UploadForm) -> HttpResponse:
    """Raises UploadRefused. Whoever uploads takes part in the season from then on."""
    assert isinstance(request.user, User)  # login_required
    refuse_closed(view.season)
    member = join(view.season, request.user)
    given = form.cleaned_data
    method = Method(given["method"], given["method_description"])
    if given["dry_run"]:
        return redirect("dry-run", dry_runs.accept_dry_run(member, given["file"], method, consent=given["consent"]).pk)
    batch, is_new = accept_upload(member, given["file"], method, consent=given["consent"])
    if not is_new:
        messages.info(request, "You submitted this very file before; here is its batch.")
    return redirect("batch", batch.pk)


def _member(season: Season, request: HttpRequest) -> Membership | None:
    """The visitor's membership; none before the first upload."""
    members = Membership.objects.filter(season=season, user=request.user.pk, role=Role.PARTICIPANT)
    return members.select_related("season").first()


def _limits(season: Season, request: HttpRequest) -> dict[str, object]:
    member = _member(season, request)
    quota = quotas.unused(season) if member is None else quotas.quota_left(member)
    overload = back_pressure.overload_of(season)
    return {
        "overload": sentence(str(overload)) if overload else "",
        "quota": quota,
        "example": _EXAMPLE,
        "example_atom_steps": usual_of(season.scale_id).atom_steps(_EXAMPLE),
        "limit_bytes": quota.limits.upload_bytes,
        "limit_decompressed_bytes": settings.UPLOAD_LIMIT_DECOMPRESSED_BYTES,
        "limit_members": settings.UPLOAD_LIMIT_MEMBERS,
    }
