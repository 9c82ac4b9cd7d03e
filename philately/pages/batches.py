"""A batch's page, live while it is under way, and its table as CSV."""

import time
from dataclasses import dataclass

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from philately import queries
from philately.models import Batch, User
from philately.pages.asking import AskedRows, number
from philately.pages.csv_lines import csv_response, inert
from philately.pages.limiting import limited
from philately.pages.seasons import common
from philately.pages.signing_in import accepts_key

_PAGE_SIZE = 50
_ESTIMATE_KEPT_S = 30
_COLUMNS = (
    "arrival",
    "file",
    "block",
    "formula",
    "outcome",
    "reason",
    "sentence",
    "energy_per_atom",
    "formation_energy_per_atom",
    "e_above_hull",
    "e_above_hull_on_arrival",
    "decomposition_energy",
    "decomposition",
    "missing_elements",
    "points",
    "is_provisional",
)


@dataclass(frozen=True, slots=True)
class Asked(AskedRows):
    """Which rows of the table the visitor asked for."""

    outcome: str = ""


@login_required
@require_safe
def batches(request: HttpRequest) -> HttpResponse:
    assert isinstance(request.user, User)  # login_required
    before = number(request.GET.get("before", ""))
    rows = queries.batches_of(request.user, before=before, size=_PAGE_SIZE)
    following = rows[_PAGE_SIZE - 1].batch.pk if len(rows) > _PAGE_SIZE else None
    shown = {"batches": rows[:_PAGE_SIZE], "following": following, "dry_runs": queries.dry_runs_of(request.user)[:20]}
    return render(request, "batches/batches.html", shown)


@accepts_key
@login_required
@require_safe
@never_cache
def batch(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "batches/batch.html", _shown(request, _find(request, pk)))


@login_required
@require_safe
@never_cache
def batch_live(request: HttpRequest, pk: int) -> HttpResponse:
    """The part that changes, for a page that has seen the state ``mark``; 204 where there is nothing new.

    A page with an estimate says when that was made, and gets another one once it is old: others' progress changes it.
    """
    found = _find(request, pk)
    account = queries.account_of(queries.view_of(found.season, request.user), found)
    if request.GET.get("mark") == _mark(found, account.progress) and not _is_stale(request):
        return HttpResponse(status=204)
    return render(request, "batches/live.html", _shown(request, found))


@accepts_key
@login_required
@require_safe
@limited("TABLES")
def batch_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    found, asked = _find(request, pk), Asked.of(request)
    view = queries.view_of(found.season, request.user)
    rows = queries.all_rows(view, found, outcome=asked.outcome, reason=asked.reason)
    return csv_response(_COLUMNS, map(_cells, rows), name=f"batch-{found.pk}.csv")


def _find(request: HttpRequest, pk: int) -> Batch:
    found = queries.visible_batch(request.user, pk)
    if found is None:
        raise Http404("there is no such batch, or it is somebody else's")
    return found


def _shown(request: HttpRequest, found: Batch) -> dict[str, object]:
    view = queries.view_of(found.season, request.user)
    asked = Asked.of(request)
    account = queries.account_of(view, found)
    progress = account.progress
    estimate = queries.estimate_of(found, progress)
    return {
        **common(view),
        "batch": found,
        "asked": asked,
        "progress": progress,
        "estimate": estimate,
        "estimated_at": int(time.time()) if estimate else None,
        "mark": _mark(found, progress),
        "tallies": account.tallies,
        "counted_at": account.as_of,
        "table": queries.table_of(view, found, outcome=asked.outcome, reason=asked.reason, after=asked.after),
    }


def _mark(found: Batch, progress: queries.Progress) -> str:
    paused = "p" if found.season.scale.problem else ""
    return progress.mark + paused


def _is_stale(request: HttpRequest) -> bool:
    estimated_at = number(request.GET.get("estimated", ""))
    return estimated_at is not None and time.time() - estimated_at > _ESTIMATE_KEPT_S


def _cells(row: queries.BatchRow) -> tuple[object, ...]:
    return (
        row.arrival,
        inert(row.file),
        inert(row.block),
        row.formula,
        row.outcome,
        row.reason,
        inert(row.sentence),
        row.energy_per_atom,
        row.formation_energy_per_atom,
        row.e_above_hull,
        row.e_above_hull_on_arrival,
        row.decomposition_energy,
        " + ".join(f"{part.fraction:.4f} {part.formula or 'hidden'}" for part in row.decomposition),
        row.missing_text,
        row.points,
        row.is_provisional,
    )
