"""Taking back: a page that asks whether that is meant, and the deed."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from philately import queries
from philately.domain.withdrawals import WithdrawalRefused, ask, end_release
from philately.models import Batch, Candidate, User
from philately.pages.candidates import find_candidate, is_leaving
from philately.pages.seasons import common
from philately.templatetags.show import sentence


class WithdrawForm(forms.Form):
    reason = forms.CharField(
        label="Reason",
        max_length=500,
        required=False,
        help_text="optional for what is your own; shown beside what is withdrawn",
        widget=forms.TextInput(attrs={"class": "form-control"}),
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def withdraw_candidate(request: HttpRequest, pk: int) -> HttpResponse:
    found = find_candidate(request, pk)
    what = f"the structure {found.detail.file} {found.detail.block}".strip()
    back = reverse("candidate", args=[pk])
    n_standing = 0 if is_leaving(found) else 1
    mine = Candidate.objects.filter(pk=pk)
    return _withdraw(request, mine, view_of=found, what=what, back=back, n_standing=n_standing)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def withdraw_batch(request: HttpRequest, pk: int) -> HttpResponse:
    found = queries.visible_batch(request.user, pk)
    if found is None:
        raise Http404("there is no such batch, or it is somebody else's")
    candidates, back = Candidate.objects.filter(batch=found), reverse("batch", args=[pk])
    view = queries.view_of(found.season, request.user)
    what, n_standing = f"the whole batch {pk}", queries.n_standing(view, found)
    return _withdraw(request, candidates, view_of=found, what=what, back=back, n_standing=n_standing)


def _withdraw(
    request: HttpRequest,
    candidates: QuerySet[Candidate],
    *,
    view_of: Batch | Candidate,
    what: str,
    back: str,
    n_standing: int,
) -> HttpResponse:
    """Asks on GET and does it on POST. Whoever sees a batch may withdraw it: its owner and the season's organisers."""
    assert isinstance(request.user, User)  # login_required
    form = WithdrawForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        reason = form.cleaned_data["reason"]
        try:
            if isinstance(view_of, Batch):
                end_release(view_of, by=request.user, reason=reason)
            asked = ask(candidates, by=request.user, reason=reason)
        except WithdrawalRefused as refusal:
            form.add_error("reason", sentence(str(refusal)))
        else:
            messages.info(request, _told(asked))
            return redirect(back)
    season = view_of.season
    shown = {"form": form, "what": what, "back": back, "n_standing": n_standing}
    return render(request, "batches/withdraw.html", {**common(queries.view_of(season, request.user)), **shown})


def _told(asked: int) -> str:
    if not asked:
        return "There was nothing left to withdraw."
    noun = "structure is" if asked == 1 else "structures are"
    return f"{asked:,} {noun} withdrawn; what was placed leaves the hull within seconds."
