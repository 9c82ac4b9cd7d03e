"""The first page, and the one that monitors ask."""

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from philately import queries


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html", {"seasons": queries.seasons_with_counts()})


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """Answers while the server and its database do."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")
