"""The upload page."""

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from philately.domain.intake import Method, UploadRefused, accept_upload, refuse_closed
from philately.domain.seasons import join
from philately.models import Batch, User
from philately.pages.seasons import common, find_view
from philately.queries import View
from philately.templatetags.show import size

_FORM_BYTES = 1_000_000  # of a request beside its file


class UploadForm(forms.Form):
    file = forms.FileField(
        label="File",
        help_text="a zip, tar or tar.gz archive of CIF files, or a single CIF with one or many data blocks",
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

    def clean_file(self) -> UploadedFile:
        file: UploadedFile = self.cleaned_data["file"]
        if file.size is not None and file.size > settings.UPLOAD_LIMIT_BYTES:
            raise forms.ValidationError(
                f"The file has {size(file.size)}; at most {size(settings.UPLOAD_LIMIT_BYTES)} "
                "are accepted at once. Please split it into several batches."
            )
        return file


@csrf_exempt  # looking for the token reads the whole body; _upload looks, once the body is known not to be too large
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HttpRequest, slug: str) -> HttpResponse:
    if int(request.META.get("CONTENT_LENGTH") or 0) > settings.UPLOAD_LIMIT_BYTES + _FORM_BYTES:
        return render(request, "413.html", {"limit_bytes": settings.UPLOAD_LIMIT_BYTES}, status=413)
    return _upload(request, slug)


@csrf_protect
def _upload(request: HttpRequest, slug: str) -> HttpResponse:
    view = find_view(request, slug)
    form = UploadForm(request.POST or None, request.FILES or None)
    if form.is_valid():
        try:
            batch, is_new = _accept(view, request, form)
        except UploadRefused as refusal:
            form.add_error("file", _sentence(str(refusal)))
        else:
            if not is_new:
                messages.info(request, "You submitted this very file before; here is its batch.")
            return redirect("batch", batch.pk)
    return render(request, "seasons/upload.html", {**common(view), "form": form, **_limits()})


def _accept(view: View, request: HttpRequest, form: UploadForm) -> tuple[Batch, bool]:
    """Raises UploadRefused. Whoever uploads takes part in the season from then on."""
    assert isinstance(request.user, User)  # login_required
    refuse_closed(view.season)
    member = join(view.season, request.user)
    given = form.cleaned_data
    method = Method(given["method"], given["method_description"])
    return accept_upload(member, given["file"], method, consent=given["consent"])


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].removesuffix(".") + "."


def _limits() -> dict[str, object]:
    return {
        "limit_bytes": settings.UPLOAD_LIMIT_BYTES,
        "limit_decompressed_bytes": settings.UPLOAD_LIMIT_DECOMPRESSED_BYTES,
        "limit_members": settings.UPLOAD_LIMIT_MEMBERS,
    }
