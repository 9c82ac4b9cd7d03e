"""Lists of the administration that read a page of rows, however many there are: no count, no offset, no sorting.

Rows come by primary key, the newest first; a page begins before the last row of the one before it. Where a filter
leaves few rows, a page ends after so many that were looked through, says so, and the next one goes on from there.
"""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest

BEFORE = "before"
LOOKED_THROUGH = 20_000  # rows for one page of a list that is narrowed by what no index has


def number(text: str) -> int | None:
    """A primary key that somebody wrote; None where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


class KeysetChangeList(ChangeList):
    """following: the key before which the next page begins, None on the last one. looked_to: the key down to which this
    page looked for what the filter asks, where it did not get to the end."""

    following: int | None = None
    looked_to: int | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """BEFORE is no filter, and no link to one carries it along."""
        for params in (self.params, self.filter_params):
            params.pop(BEFORE, None)
        return super().get_queryset(request, exclude_parameters)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return ["-pk"]

    def get_results(self, request: HttpRequest) -> None:
        before = number(request.GET.get(BEFORE, ""))
        rows = self.queryset if before is None else self.queryset.filter(pk__lt=before)
        floor = self._floor(before) if self._is_narrowed else None
        if floor is not None:
            rows = rows.filter(pk__gte=floor)
        page = list(rows[: self.list_per_page + 1])
        self.result_list = page[: self.list_per_page]
        if len(page) > self.list_per_page:
            self.following = self.result_list[-1].pk
        elif floor is not None:
            self.following = self.looked_to = floor
        self.result_count = len(self.result_list)
        self.full_result_count = None
        self.show_full_result_count = self.show_admin_actions = False
        self.can_show_all = self.multi_page = False

    @property
    def next_page(self) -> str:
        return str(self.get_query_string({BEFORE: self.following}))

    @property
    def _is_narrowed(self) -> bool:
        """By a filter, or a search that goes by no index."""
        assert isinstance(self.model_admin, KeysetAdmin)  # which made this list
        searched = bool(self.query) and self.model_admin.indexed(self.query) is None
        return searched or bool(self.get_filters_params())

    def _floor(self, before: int | None) -> int | None:
        """The key down to which a page looks that begins before this one; None where that is all."""
        keys = self.root_queryset.values_list("pk", flat=True)  # one look into the index each; of both SQLite reads all
        first = keys.order_by("pk").first()
        top = before if before is not None else (keys.order_by("-pk").first() or 0) + 1
        floor = top - LOOKED_THROUGH
        return floor if first is not None and floor > first else None


class KeysetAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Django 5.2 cannot be asked for its type here
    """With such a list. numbers and texts: what a search for a number or anything else looks up, all of it in indexes,
    and ``within`` with it, where their indexes begin with that; without, ``search_fields`` says where it looks."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    sortable_by = ()
    change_list_template = "admin/keyset_list.html"

    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    within: tuple[str, type[Any]] | None = None  # a field, and the model of which it is one of few rows

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList

    def indexed(self, term: str) -> Q | None:
        """What looks a term up in indexes; None where it is to be looked for in ``search_fields``."""
        wanted = number(term.strip())
        fields = self.texts if wanted is None else self.numbers
        if not fields:
            return None
        found = Q()
        for field in fields:
            found |= Q(**{field: term.strip() if wanted is None else wanted})
        if self.within is None:
            return found
        field, model = self.within
        return found & Q(**{f"{field}__in": list(model._default_manager.values_list("pk", flat=True))})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found = self.indexed(search_term) if search_term.strip() else None
        if found is None:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(found), False
