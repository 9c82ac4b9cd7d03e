"""The page of one candidate, for its owner and for organisers."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from philately import queries
from philately.models import Candidate
from philately.pages.seasons import common
from philately.states import CandidateState


@login_required
@require_safe
@never_cache
def candidate(request: HttpRequest, pk: int) -> HttpResponse:
    found = find_candidate(request, pk)
    view = queries.view_of(found.season, request.user)
    # Auditors are asked about what would be stable: that they were asked tells of the hull.
    opinions = [] if view.veiled else queries.opinions_on(found.season.official_run, found)
    shown = {"candidate": found, "batch": found.batch, "row": queries.row_of(view, found), "opinions": opinions}
    return render(request, "candidates/candidate.html", {**common(view), **shown, "is_leaving": is_leaving(found)})


def find_candidate(request: HttpRequest, pk: int) -> Candidate:
    found = queries.visible_candidate(request.user, pk)
    if found is None:
        raise Http404("there is no such candidate, or it is somebody else's")
    return found


def is_leaving(found: Candidate) -> bool:
    """Whether it is withdrawn, or about to be."""
    return hasattr(found, "withdrawal") or found.state == CandidateState.WITHDRAWN
