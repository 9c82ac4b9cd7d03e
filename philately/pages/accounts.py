"""Signing up and in, and changing one's password; Django's own view signs out."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, UserCreationForm
from django.contrib.auth.views import LoginView, PasswordChangeView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters

from philately.domain import limits
from philately.models import User
from philately.pages import known_browsers
from philately.pages.addresses import address_of
from philately.pages.limiting import too_many


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


class PasswordForm(_Styled, PasswordChangeForm):
    pass


@sensitive_post_parameters()
def signup(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        try:
            limits.spend("SIGNUPS_FROM_ADDRESS", address_of(request))
        except limits.TooMany as refusal:
            return too_many(request, refusal)
    form = SignUpForm(request.POST or None)
    if not form.is_valid():
        return render(request, "accounts/signup.html", {"form": form, "next": request.GET.get("next", "")})
    user = form.save()
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    answer = redirect(wanted(request))
    known_browsers.remember(answer, user)
    return answer


class SignIn(LoginView):
    """Attempts are counted before the password is looked at, right ones too, so that many at a time get no further.

    An address and an account have so many. A browser that logged in to the account before has its own in place of the
    account's: whoever tries passwords for an account locks out strange browsers for minutes, and its owner never.
    """

    template_name = "accounts/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        name = User.normalize_username(request.POST.get("username", "")[:150]).casefold()
        try:
            limits.spend("LOGINS_FROM_ADDRESS", address_of(request))
            limits.spend("LOGINS_OF_ACCOUNT", known_browsers.told(request, name) or f"account:{name}")
        except limits.TooMany as refusal:
            return too_many(request, refusal)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        answer = super().form_valid(form)
        user = form.get_user()
        assert isinstance(user, User)  # AUTH_USER_MODEL
        known_browsers.remember(answer, user)
        return answer


class ChangePassword(PasswordChangeView):
    """Every other session of the account ends: Django keeps a hash of the password's in each."""

    template_name = "accounts/password.html"
    form_class = PasswordForm
    success_url = reverse_lazy("home")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            limits.spend("LOGINS_OF_ACCOUNT", f"password:{request.user.pk}")
        except limits.TooMany as refusal:
            return too_many(request, refusal)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        messages.info(self.request, "Your password is changed, and you are logged out everywhere else.")
        return super().form_valid(form)


def admin_login(request: HttpRequest) -> HttpResponse:
    """Django's administration has a login of its own, without limits and second factor; this stands in its place."""
    if request.user.is_authenticated:
        raise PermissionDenied  # it sends here whoever is not of staff
    return redirect_to_login(request.GET.get("next", reverse("admin:index")))


def wanted(request: HttpRequest, *, otherwise: str = "home") -> str:
    """Where the visitor was going, if that is on this site."""
    wanted = request.POST.get("next", "")
    own = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return wanted if own else otherwise
