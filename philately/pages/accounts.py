"""Signing up; Django's own views sign in and out."""

from typing import Any

from django import forms
from django.contrib.auth import login
from django.contrib.auth.forms import AuthenticationForm, UserCreationForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters

from philately.models import User


class _Styled(forms.BaseForm):
    """Its fields look like the site's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["class"] = "form-control"


class LoginForm(_Styled, AuthenticationForm):
    pass


class SignUpForm(_Styled, UserCreationForm):
    class Meta(UserCreationForm.Meta):
        model = User
        fields = ("username",)


@sensitive_post_parameters()
def signup(request: HttpRequest) -> HttpResponse:
    form = SignUpForm(request.POST or None)
    if not form.is_valid():
        return render(request, "accounts/signup.html", {"form": form, "next": request.GET.get("next", "")})
    login(request, form.save(), backend="django.contrib.auth.backends.ModelBackend")
    return redirect(_wanted(request))


def _wanted(request: HttpRequest) -> str:
    """Where the visitor was going, if that is on this site."""
    wanted = request.POST.get("next", "")
    own = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return wanted if own else "home"
