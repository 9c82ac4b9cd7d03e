"""A dry run's page, live while it goes on, its table as CSV, and the button that submits its file."""

import hashlib

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from philately import queries
from philately.domain import dry_runs, quotas
from philately.domain.refusals import UploadRefused
from philately.models import DryRun
from philately.pages.asking import AskedRows
from philately.pages.csv_lines import csv_response, inert
from philately.pages.limiting import limited
from philately.pages.seasons import common
from philately.pages.signing_in import accepts_key
from philately.queries.dry_runs import PASSED
from philately.states import DryRunState

_COLUMNS = ("number", "file", "block", "line", "formula", "n_atoms", "reason", "sentence")


@accepts_key
@login_required
@require_safe
@never_cache
def dry_run(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "dry_runs/dry_run.html", _shown(request, _find(request, pk)))


@login_required
@require_safe
@never_cache
def dry_run_live(request: HttpRequest, pk: int) -> HttpResponse:
    """The part that changes, for a page that has seen the state ``mark``; 204 where there is nothing new."""
    found = _find(request, pk)
    if request.GET.get("mark") == _mark(found):
        return HttpResponse(status=204)
    return render(request, "dry_runs/live.html", _shown(request, found))


@accepts_key
@login_required
@require_safe
@limited("TABLES")
def dry_run_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    found, asked = _find(request, pk), AskedRows.of(request)
    if found.state != DryRunState.DONE:
        raise Http404("the dry run has no table yet")
    rows = queries.dry_rows(found, reason=asked.reason)
    return csv_response(_COLUMNS, map(_cells, rows), name=f"dry-run-{found.pk}.csv")


@login_required
@require_POST
def submit(request: HttpRequest, pk: int) -> HttpResponse:
    found = _find(request, pk)
    try:
        batch, is_new = dry_runs.submit(found)
    except UploadRefused as refusal:
        messages.info(request, f"Not submitted: {refusal}.")
        return redirect("dry-run", pk)
    if not is_new:
        messages.info(request, "You submitted this very file before; here is its batch.")
    return redirect("batch", batch.pk)


def _find(request: HttpRequest, pk: int) -> DryRun:
    found = queries.dry_run_of(request.user, pk)
    if found is None:
        raise Http404("there is no such dry run, or it is somebody else's")
    return found


def _shown(request: HttpRequest, found: DryRun) -> dict[str, object]:
    asked = AskedRows.of(request)
    is_done = found.state == DryRunState.DONE
    estimate = None if found.batch_id else queries.estimate_of_dry_run(found)
    reasons = sorted(((key, n) for key, n in found.counts.items() if key), key=lambda item: (-item[1], item[0]))
    return {
        **common(queries.view_of(found.owner.season, request.user)),
        "dry_run": found,
        "asked": asked,
        "mark": _mark(found),
        "is_running": found.state == DryRunState.WAITING,
        "is_done": is_done,
        "estimate": estimate,
        "quota": quotas.quota_left(found.owner) if estimate else None,
        "n_passed": found.counts.get("", 0),
        "passed": PASSED,
        "reasons": reasons,
        "table": queries.dry_table(found, reason=asked.reason, after=asked.after) if is_done else None,
    }


def _mark(found: DryRun) -> str:
    told = (found.state, found.problem, found.n_done, found.n_total)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _cells(row: queries.DryRow) -> tuple[object, ...]:
    texts = inert(row.file), inert(row.block)
    return (row.number, *texts, row.line, row.formula, row.n_atoms, row.reason, inert(row.sentence))
