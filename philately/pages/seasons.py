"""A season: its page, leaderboard, stable set and dump."""

from pathlib import PurePosixPath

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from hull.entries import Formula, HullError
from hull.reference import Coverage
from philately import queries
from philately.domain.files import open_stored
from philately.models import Season
from philately.pages.limiting import limited
from philately.pages.rules_table import rules_in_words

_MEDIA_TYPES = {".json": "application/json", ".parquet": "application/vnd.apache.parquet"}


def find_view(request: HttpRequest, slug: str) -> queries.View:
    """What the visitor may see of the season; 404 where there is none."""
    seasons = Season.objects.select_related("scale", "official_run__release")
    return queries.view_of(get_object_or_404(seasons, slug=slug), request.user)


def common(view: queries.View) -> dict[str, object]:
    """What every page of a season shows. One query."""
    run = view.season.official_run
    practice = run is not None and run.release.coverage != Coverage.FULL
    return {
        "season": view.season,
        "view": view,
        "run": run,
        "judge": view.season.scale.name,
        "auditors": queries.auditor_rows(run),
        "practice": practice,
    }


@require_safe
def season(request: HttpRequest, slug: str) -> HttpResponse:
    view = find_view(request, slug)
    return render(
        request,
        "seasons/season.html",
        {
            **common(view),
            "rules": rules_in_words(view.season),
            "queue": queries.queue_of(view.season, of=view.members if view.veiled else None),
            "counts": queries.stable_counts(view),
            "finds": queries.newest_finds(view),
        },
    )


@require_safe
def leaderboard(request: HttpRequest, slug: str) -> HttpResponse:
    view = find_view(request, slug)
    return render(request, "seasons/leaderboard.html", {**common(view), "board": queries.leaderboard(view)})


@require_safe
def stable(request: HttpRequest, slug: str) -> HttpResponse:
    view = find_view(request, slug)
    system, found_only = _system(request.GET.get("system", "")), "found" in request.GET
    page = queries.stable_page(view, system=system, found_only=found_only, after=request.GET.get("after", ""))
    dump = None if view.veiled else queries.latest_dump(view.season)
    return render(
        request,
        "seasons/stable.html",
        {
            **common(view),
            "system": system,
            "found_only": found_only,
            "page": page,
            "counts": queries.stable_counts(view),
            "dump": dump,
        },
    )


def _system(text: str) -> str:
    """A chemical system however it is written: NaCl, Na-Cl and cl na ask for Cl-Na; what is none stays as it is."""
    symbols = "".join(part[:1].upper() + part[1:] for part in text.replace("-", " ").replace(",", " ").split())
    try:
        return Formula.parse(symbols).chemical_system if symbols else ""
    except HullError:
        return text


@require_safe
@limited("DUMPS")
def dump_file(request: HttpRequest, slug: str, name: str) -> HttpResponse | FileResponse:
    view = find_view(request, slug)
    dump = None if view.veiled else queries.latest_dump(view.season)
    if dump is None or name not in dump.files:
        raise Http404("there is no such file in the season's dump")
    try:
        file = open_stored(f"{dump.stored_in}/{name}")
    except FileNotFoundError as error:
        raise Http404("the dump is not in the storage; it will be made again") from error
    return FileResponse(
        file,
        as_attachment=True,
        filename=f"{slug}-{name}",
        content_type=_MEDIA_TYPES.get(PurePosixPath(name).suffix, "text/plain"),
    )
