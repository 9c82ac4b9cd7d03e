"""The first page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from philately import queries


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html", {"seasons": queries.seasons_with_counts()})
