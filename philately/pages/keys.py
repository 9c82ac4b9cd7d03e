"""One's API keys: made, shown once, revoked."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from philately.domain.keys import KeyRefused, make_key, revoke_key
from philately.models import User


class KeyForm(forms.Form):
    name = forms.CharField(
        label="Name",
        max_length=100,
        help_text="where it will be used: a machine, a script",
        error_messages={"required": "Please name the key, so that you recognise it later."},
        widget=forms.TextInput(attrs={"class": "form-control"}),
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def keys(request: HttpRequest) -> HttpResponse:
    """The new key is in the answer to the form itself: nothing keeps it, not even the session."""
    assert isinstance(request.user, User)  # login_required
    form, new_key = KeyForm(request.POST or None), ""
    if form.is_valid():
        try:
            new_key = make_key(request.user, form.cleaned_data["name"])
            form = KeyForm()
        except KeyRefused as refusal:
            form.add_error("name", str(refusal))
    shown = {"form": form, "new_key": new_key, "keys": request.user.api_keys.filter(revoked_at=None).order_by("-pk")}
    return render(request, "accounts/keys.html", shown)


@login_required
@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    assert isinstance(request.user, User)  # login_required
    if not revoke_key(request.user, pk):
        raise Http404("there is no such key, or it is somebody else's")
    messages.info(request, "The key is revoked; whoever shows it is refused from now on.")
    return redirect("keys")
