"""The second factor of staff: shown at login, set up once, with recovery codes."""

import segno
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from django_otp import login as mark_verified
from django_otp.models import Device

from philately.domain import limits, second_factor
from philately.models import User
from philately.pages.accounts import wanted
from philately.pages.limiting import too_many


class CodeForm(forms.Form):
    code = forms.CharField(
        label="Code",
        max_length=40,
        error_messages={"required": "Please type the code."},
        widget=forms.TextInput(
            attrs={"class": "form-control", "autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}
        ),
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@sensitive_post_parameters("code")
def second_factor_page(request: HttpRequest) -> HttpResponse:
    """Asks for a code; who has shown one sees how many recovery codes are left."""
    user = _staff(request)
    if not second_factor.is_enrolled(user):
        return redirect("second-factor-enrol")
    form = CodeForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        try:
            limits.spend("CODES", f"user:{user.pk}")
        except limits.TooMany as refusal:
            return too_many(request, refusal)
        if form.is_valid():
            device = second_factor.verify(user, form.cleaned_data["code"])
            if device is not None:
                _let_in(request, device)
                return redirect(wanted(request, otherwise="second-factor"))
            form.add_error("code", _wrong(user))
    shown = {
        "form": form,
        "next": request.POST.get("next", request.GET.get("next", "")),
        "verified": _is_verified(request),
        "codes_left": second_factor.recovery_codes_left(user),
    }
    return render(request, "accounts/second_factor.html", shown)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@sensitive_post_parameters("code")
def enrol(request: HttpRequest) -> HttpResponse:
    """Shows an authenticator's secret until its first code is right. Whoever has one shows that first."""
    user = _staff(request)
    if second_factor.is_enrolled(user) and not _is_verified(request):
        return redirect("second-factor")
    device = second_factor.begin(user)
    form = CodeForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        try:
            limits.spend("CODES", f"user:{user.pk}")
        except limits.TooMany as refusal:
            return too_many(request, refusal)
        if form.is_valid():
            confirmed = second_factor.confirm(user, form.cleaned_data["code"])
            if confirmed is not None:
                _let_in(request, confirmed)
                messages.info(request, "Your second factor is set up.")
                return _codes(request, user)
            form.add_error("code", _wrong(user))
    secret, qr = _as_text(device.config_url), _as_picture(device.config_url)
    return render(request, "accounts/second_factor_enrol.html", {"form": form, "secret": secret, "qr": qr})


@login_required
@require_POST
@never_cache
def recovery_codes(request: HttpRequest) -> HttpResponse:
    """New ones in place of the old."""
    user = _staff(request)
    if not _is_verified(request):
        return redirect("second-factor")
    return _codes(request, user)


def _codes(request: HttpRequest, user: User) -> HttpResponse:
    """They are in this answer alone: nothing keeps their texts."""
    codes = second_factor.new_recovery_codes(user)
    return render(request, "accounts/recovery_codes.html", {"codes": codes})


def _staff(request: HttpRequest) -> User:
    if not isinstance(request.user, User) or not request.user.is_staff:
        raise Http404("there is nothing here for participants")
    return request.user


def _is_verified(request: HttpRequest) -> bool:
    return bool(request.user.is_verified())  # type: ignore[union-attr]  # set by django_otp's middleware


def _let_in(request: HttpRequest, device: Device) -> None:
    """The session gets another key, and ends after some hours."""
    request.session.cycle_key()
    mark_verified(request, device)
    request.session.set_expiry(settings.STAFF_SESSION_S)


def _wrong(user: User) -> str:
    until = second_factor.waits_until(user)
    when = f" The next one is looked at from {until:%H:%M:%S} UTC on." if until else ""
    return f"This code is wrong, was used before or is too old.{when}"


def _as_text(address: str) -> str:
    """The secret in groups of four, for who cannot scan."""
    secret = address.partition("secret=")[2].partition("&")[0]
    return " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))


def _as_picture(address: str) -> SafeString:
    """An inline SVG without styles, which the content security policy allows. It is segno's own, from our address."""
    svg = segno.make(address, error="m").svg_inline(scale=5, border=4, light="#fff", dark="#000", omitsize=True)
    return SafeString(svg)
